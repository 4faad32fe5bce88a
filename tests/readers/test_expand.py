from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl import samples
from tfxl.errors import DataError, RecipeError
from tfxl.readers import expand


def test_replaces_each_name_of_a_language() -> None:
    pattern = "x/{language}/{iso639_3}.{language_name}.csv"
    assert expand(pattern, ["de", "zh", "ace", "pt-BR", "ht"], files=False) == [
        ("x/de/deu.german.csv", "de"),
        ("x/zh/zho.chinese.csv", "zh"),
        ("x/ace/ace.acehnese.csv", "ace"),
        ("x/pt-BR/por.portuguese.csv", "pt-BR"),
        ("x/ht/hat.haitian_creole.csv", "ht"),
    ]


def test_a_path_without_placeholder_is_one_file() -> None:
    assert expand("all.csv", ["de", "zh"], files=False) == [("all.csv", "und")]
    assert expand("all.csv", ["de", "de"], files=False) == [("all.csv", "de")]
    assert expand("all.csv", [], files=False) == [("all.csv", "und")]
    assert expand("a{{b}}.csv", ["de"], files=False) == [("a{b}.csv", "de")]


def test_a_language_that_is_named_twice_is_read_once() -> None:
    assert expand("{language}", ["de", "en", "de"], files=False) == [("de", "de"), ("en", "en")]


@pytest.mark.parametrize(
    "pattern",
    ["{lang}.csv", "{}.csv", "{language.csv", "{language}}.csv", "{language.name}", "{language:5}", "{language!r}"],
)
def test_refuses_other_braces(pattern: str) -> None:
    with pytest.raises(RecipeError) as error:
        expand(pattern, ["de"], files=False)
    assert "{language}" in error.value.expected


@given(parts=st.lists(st.sampled_from([*"{}!:.[]0a", "{language}", "language"]), max_size=12))
def test_any_pattern_is_expanded_or_refused(parts: list[str]) -> None:
    try:
        ((path, code),) = expand("".join(parts), ["de"], files=False)
    except RecipeError:
        return
    assert isinstance(path, str) and code == "de"


def test_suggests_the_placeholder_that_was_meant() -> None:
    with pytest.raises(RecipeError, match="did you mean 'language'"):
        expand("{langauge}.csv", ["de"])


def test_needs_a_language_and_its_name() -> None:
    with pytest.raises(RecipeError, match="no languages"):
        expand("{language}.csv", [])
    with pytest.raises(RecipeError, match="iso639_3 of language 'qaa' is not known"):
        expand("{iso639_3}.csv", ["qaa"])


def test_missing_file_names_file_and_language(tmp_path: Path) -> None:
    for code in ("de", "en"):
        (tmp_path / f"{code}.csv").touch()
    assert [code for _, code in expand(f"{tmp_path}/{{language}}.csv", ["de", "en"])] == ["de", "en"]
    with pytest.raises(DataError) as error:
        expand(f"{tmp_path}/{{language}}.csv", ["de", "th"])
    assert error.value.got == f"{tmp_path / 'th.csv'}: there is no such file for language 'th'"


def test_sample_means_the_data_of_the_package() -> None:
    ((path, code),) = expand("sample:feedback/{language}.train.jsonl", ["sw"], files=False)
    assert Path(path) == samples.folder() / "feedback" / "sw.train.jsonl" and code == "sw"
    with pytest.raises(DataError, match=r"th\.train\.jsonl: there is no such file for language 'th'"):
        expand("sample:feedback/{language}.train.jsonl", ["th"])
