from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tfxl import recipes
from tfxl.errors import RecipeError

RECIPE = """# First line.
#
#   Indented.

# Not the head.
name = "x"
[data]
languages = ["en", "no"]
sampler = {kind = "temperature", alpha = 0.7}
cleaners = ["unicode"]
[tuner]
kind = "frozen"
layers = 3
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipes") / "mine.toml"
    file.write_text(RECIPE, encoding="utf-8")
    return file


def test_every_recipe_of_tfxl_reads_and_says_how_it_is_run_and_what_to_expect() -> None:
    assert recipes.names()
    for name in recipes.names():
        assert recipes.read(name)["name"] == name
        comment = recipes.comment(name)
        assert comment.partition("\n")[0].endswith(".")
        assert f"tfxl train {name}" in comment
        parts = dict(re.findall(r"^(Needs|Hardware|Expected): +(.+)", comment, re.MULTILINE))
        assert set(parts) == {"Needs", "Hardware", "Expected"}, name
        assert re.search(r"\d\d\.\d", comment.partition("Expected:")[2]), name


def test_norwegian_is_no_truth_value(path: Path) -> None:
    assert recipes.read(path)["data"]["languages"] == ["en", "no"]


def test_comment_is_the_head(path: Path) -> None:
    assert recipes.comment(path) == "First line.\n\n  Indented."


def test_a_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sentiment").write_text("not TOML")
    assert recipes.find("sentiment").parent == recipes.FOLDER


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'sentiment'"):
        recipes.find("sentimant")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=3", 3),
        ("training.learning_rate=3e-5", 3e-5),
        ("training.jit=true", True),
        ("training.schedule='cosine'", "cosine"),
        ("training.schedule=cosine", "cosine"),
        ("training.schedule=", ""),
        ("training.strategy = mirrored", "mirrored"),
        ("training.name=a=b", "a=b"),
        ("training.name=no", "no"),
        ("training.names=['en', 'no']", ["en", "no"]),
        ("training.table={a = 1}", {"a": 1}),
        ("training.day=2025-01-01x", "2025-01-01x"),
    ],
)
def test_values_are_toml_or_text(path: Path, override: str, value: Any) -> None:
    read = recipes.read(path, [override])["training"]
    assert next(iter(read.values())) == value


def test_later_overrides_win(path: Path) -> None:
    assert recipes.read(path, ["training.epochs=3", "training.epochs=4"])["training"] == {"epochs": 4}


def test_overrides_leave_the_rest(path: Path) -> None:
    plain = tomllib.loads(RECIPE)
    read = recipes.read(path, ["data.sampler.alpha=0.1", "seed=7"])
    plain["data"]["sampler"]["alpha"] = 0.1
    assert read == {**plain, "seed": 7}


def test_a_changed_kind_takes_its_settings_with_it(path: Path) -> None:
    assert recipes.read(path, ["tuner.kind=full"])["tuner"] == {"kind": "full"}
    assert recipes.read(path, ["tuner.rate=2", "tuner.kind=gradual"])["tuner"] == {"kind": "gradual", "rate": 2}
    assert recipes.read(path, ["tuner.kind=frozen"])["tuner"] == {"kind": "frozen", "layers": 3}


@pytest.mark.parametrize(
    ("overrides", "tuner"),
    [
        (["tuner.kind=full", "tuner={kind='gradual'}"], {"kind": "gradual"}),
        (["tuner={kind='gradual', rate=2}", "tuner.kind=full"], {"kind": "full"}),
        (["tuner={kind='gradual', rate=2}", "tuner.rate=3", "tuner.kind=full"], {"kind": "full", "rate": 3}),
        (["tuner.rate=3", "tuner={kind='gradual'}", "tuner.kind=full"], {"kind": "full"}),
        (["tuner=gradual", "tuner.kind=full"], {"kind": "full"}),
        (["tuner.kind=full", "tuner=gradual"], "gradual"),
        (["tuner.kind=full", "tuner.rate=2", "tuner.kind=gradual"], {"kind": "gradual", "rate": 2}),
        (["tuner.rate=2", "seed=3", "data.sampler.kind=uniform", "tuner.kind=full"], {"kind": "full", "rate": 2}),
        (["tuner.inner.kind=a", "tuner.kind=full"], {"kind": "full", "inner": {"kind": "a"}}),
        (
            ["tuner.inner.rate=2", "tuner.kind=a", "tuner.inner.kind=b"],
            {"kind": "a", "inner": {"kind": "b", "rate": 2}},
        ),
    ],
)
def test_of_kinds_tables_and_settings_the_later_win(path: Path, overrides: list[str], tuner: Any) -> None:
    assert recipes.read(path, overrides)["tuner"] == tuner


def test_a_later_kind_wins_over_an_earlier_table_around_it(path: Path) -> None:
    whole = "data={languages=['de'], sampler={kind='capped', limit=3}}"
    assert recipes.read(path, [whole, "data.sampler.kind=uniform"])["data"]["sampler"] == {"kind": "uniform"}
    assert recipes.read(path, ["data.sampler.kind=uniform", whole])["data"]["sampler"] == {"kind": "capped", "limit": 3}


def test_a_part_named_by_its_kind_takes_settings(path: Path) -> None:
    read = recipes.read(path, ["data.sampler=uniform", "data.reader=jsonl", "data.reader.text=review"])
    assert read["data"]["sampler"] == "uniform"
    assert read["data"]["reader"] == {"kind": "jsonl", "text": "review"}


@pytest.mark.parametrize("override", ["", "training", "=3", "training.=3", ".epochs=3", "a..b=1", " =1"])
def test_overrides_without_name_or_value_are_refused(path: Path, override: str) -> None:
    with pytest.raises(RecipeError, match=r"section\.setting=value"):
        recipes.read(path, [override])


def test_nothing_can_be_set_inside_a_value(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.languages\.first"):
        recipes.read(path, ["data.languages.first=en"])


def test_broken_files_are_named_with_the_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "x"\n[data\n')
    with pytest.raises(RecipeError, match=r"broken\.toml: .*line 2"):
        recipes.read(broken)
    broken.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(RecipeError, match="UTF-8"):
        recipes.read(broken)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(names, names.filter(lambda name: name != "kind"), values)
def test_any_toml_value_comes_through_an_override(path: Path, section: str, key: str, value: Any) -> None:
    text = tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")
    read = recipes.read(path, [f"new-{section}.{key}={text}"])
    assert read[f"new-{section}"] == {key: value}


@given(st.text())
def test_any_override_is_applied_or_refused(path: Path, override: str) -> None:
    try:
        assert isinstance(recipes.read(path, [override]), dict)
    except RecipeError as error:
        assert error.got and error.expected and error.fix
