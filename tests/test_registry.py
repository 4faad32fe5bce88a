from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl import registry
from tfxl.cleaners import Cleaner
from tfxl.cleaners.length import Length
from tfxl.errors import RecipeError
from tfxl.samplers.temperature import Temperature

OUTSIDE = '''
"""A part outside tfxl."""
from tfxl.samplers import Sampler

class Poetry(Sampler):
    class Settings(Sampler.Settings):
        metre: str = "iambic"

    def weights(self, counts):
        return dict(counts)
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of parts that is not tfxl's."""
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "poetry.py").write_text(OUTSIDE)
    (tmp_path / "mylab" / "prose.py").write_text("import a_package_that_is_absent\n")
    (tmp_path / "mylab" / "empty.py").write_text("Empty = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "mylab"
    for name in [name for name in sys.modules if name.startswith("mylab")]:
        del sys.modules[name]


def test_names_are_the_files_of_the_drawer() -> None:
    folder = Path(registry.__file__).parent / "samplers"
    assert registry.names("samplers") == sorted(path.stem for path in folder.glob("[a-z]*.py"))


def test_class_name_is_the_module_in_camel_case() -> None:
    assert registry.class_name("tfxl.tasks.question_answering") == "QuestionAnswering"
    assert registry.class_name("bert") == "Bert"


def test_build_takes_a_kind_or_a_table() -> None:
    assert isinstance(registry.build("samplers", "temperature"), Temperature)
    assert registry.build("samplers", {"kind": "temperature", "alpha": 0.5}).settings.alpha == 0.5


def test_defaults_give_way_to_the_spec() -> None:
    spec = {"kind": "temperature", "alpha": 0.5}
    sampler = registry.build("samplers", spec, alpha=0.9, by=("domain",))
    assert (sampler.settings.alpha, sampler.settings.by) == (0.5, ("domain",))
    assert spec == {"kind": "temperature", "alpha": 0.5}


def test_a_part_says_how_it_is_built() -> None:
    sampler = Temperature(alpha=0.5)
    assert registry.build("samplers", sampler.spec()).spec() == sampler.spec()
    assert sampler.spec()["kind"] == "temperature"


def test_a_part_refuses_unknown_settings_and_names_its_kind() -> None:
    with pytest.raises(RecipeError, match=r"temperature\.alfa") as caught:
        Temperature(alfa=0.5)
    assert "did you mean 'alpha'?" in caught.value.fix


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        registry.find("samplers", "temprature")
    assert caught.value.got == "samplers: kind = 'temprature'"
    assert "capped, temperature, uniform" in caught.value.expected
    assert "did you mean 'temperature'?" in caught.value.fix


@pytest.mark.parametrize("spec", [{}, {"alpha": 0.3}, {"kind": 3}, {"kind": None}])
def test_a_table_without_kind_is_refused(spec: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="has no kind"):
        registry.build("samplers", spec)


@pytest.mark.parametrize(
    "kind",
    ["__init__", "_private", "", "../settings", ".", ".temperature", "tfxl..samplers", "temperature\n", "no such"],
)
def test_only_parts_are_found(kind: str) -> None:
    with pytest.raises(RecipeError):
        registry.find("samplers", kind)


def test_a_dotted_kind_is_a_module_elsewhere(outside: str) -> None:
    part = registry.build("samplers", {"kind": f"{outside}.poetry", "metre": "trochaic"})
    assert part.spec() == {"kind": "mylab.poetry", "by": ["language"], "metre": "trochaic"}


def test_a_dotted_kind_that_is_absent_is_an_error_to_mend(outside: str) -> None:
    for kind in (f"{outside}.poetri", "nolab.poetry"):
        with pytest.raises(RecipeError, match="there is no module"):
            registry.find("samplers", kind)


def test_a_module_that_misses_a_package_of_its_own_keeps_its_error(outside: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_absent"):
        registry.find("samplers", f"{outside}.prose")


def test_a_module_without_the_class_is_refused(outside: str) -> None:
    with pytest.raises(RecipeError, match="has no part called Empty"):
        registry.find("samplers", f"{outside}.empty")


def test_kind_is_the_module() -> None:
    assert Length.kind == "length"
    assert Cleaner.kind == "cleaners"


@given(st.text(max_size=30) | st.text("._a/", max_size=6))
def test_any_kind_is_found_or_refused(kind: str) -> None:
    known = registry.names("samplers")
    try:
        assert registry.find("samplers", kind).kind in known
    except RecipeError:
        assert kind not in known
