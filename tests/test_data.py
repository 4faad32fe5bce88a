"""The rows of a run: which are used, refused, counted and planned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tfxl.cleaners import Count
from tfxl.data import DataReport, read, training_batches
from tfxl.errors import DataError
from tfxl.progress import SILENT, Progress
from tfxl.recipe import assemble, resolve

RECIPE = """
name = "rows"
[data]
reader = {kind = "jsonl", language = "lang"}
train = "ROWS"
test = "ROWS"
languages = ["de", "zh"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["a", "b"]
max_length = 12
"""


def write(folder: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Writes rows of language and text, and a recipe that reads them."""
    lines = [json.dumps({"lang": lang, "text": text, "label": "a"}, ensure_ascii=False) for lang, text in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "rows.toml").write_text(RECIPE.replace("ROWS", str(folder / "rows.jsonl")), encoding="utf-8")
    return folder / "rows.toml"


def rows_of(recipe: Path, *overrides: str, split: str = "train") -> tuple[list[tuple[str, str]], DataReport]:
    run = resolve(recipe, *overrides)
    report = DataReport()
    found = read(run, assemble(run), split, report=report, progress=SILENT)
    return [(each.language, each.text) for each in found], report


def test_a_row_whose_language_is_none_is_named_or_skipped(tmp_path):
    recipe = write(tmp_path, [("de", "gut"), ("german", "schlecht"), ("zh", "好")])
    with pytest.raises(DataError, match=r"rows\.jsonl:2: language 'german'") as caught:
        rows_of(recipe)
    assert "did you mean 'de'" in caught.value.fix
    skipping = 'data.reader={kind="jsonl", language="lang", on_error="skip"}'
    found, report = rows_of(recipe, skipping)
    assert found == [("de", "gut"), ("zh", "好")]
    assert [(bad.line, bad.reason.split(": ")[-1]) for bad in report["train"].skipped] == [(2, "language 'german'")]


def test_rows_of_other_languages_are_counted(tmp_path):
    found, report = rows_of(write(tmp_path, [("de", "gut"), ("fr", "bon"), ("fr", "bien"), ("de-AT", "leiwand")]))
    assert found == [("de", "gut"), ("de-AT", "leiwand")]
    assert report["train"].other_languages == {"fr": 2}


def test_few_rows_are_drawn_of_those_that_are_left(tmp_path):
    """Rows that cleaners drop are no examples of a language."""
    same = [("zh", "好" * 8)] * 40
    recipe = write(tmp_path, [("de", "gut"), *same, *(("zh", text) for text in ("很差劲", "房间很脏", "早餐好吃"))])
    few = ("data.few_shot=4", 'data.few_shot_languages=["zh"]', 'data.languages=["de"]', 'data.cleaners=["duplicates"]')
    found, report = rows_of(recipe, *few)
    assert len({text for language, text in found if language == "zh"}) == 4
    assert report["train"].rows == {"de": 1, "zh": 4}


def test_scored_rows_keep_the_language_that_they_name(tmp_path):
    text = "Das Zimmer war sauber und das Frühstück war sehr gut"
    recipe = write(tmp_path, [("zh", text), ("de", text)])
    pytest.importorskip("lingua")
    rename = 'data.cleaners=[{kind="language_id", languages=["de", "zh"], mismatch="rename"}]'
    assert rows_of(recipe, rename)[0] == [("de", text), ("de", text)]
    assert rows_of(recipe, rename, split="test")[0] == [("zh", text), ("de", text)]


def test_a_row_that_is_refused_does_not_take_its_duplicate_with_it(tmp_path):
    """And rows of languages that are not asked for are counted, whatever their labels."""
    recipe = write(tmp_path, [])
    rows = [("de", "gut", "c"), ("de", "gut", "a"), ("de", "Gut", "b"), ("fr", "bon", "c"), ("zh", "好", None)]
    lines = [json.dumps({"lang": lang, "text": text, "label": label}) for lang, text, label in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    skipping = 'data.reader={kind="jsonl", language="lang", on_error="skip"}'
    found, report = rows_of(recipe, 'data.cleaners=["duplicates"]', skipping)
    assert found == [("de", "gut")]
    train = report["train"]
    assert [bad.line for bad in train.skipped] == [1, 5]
    assert train.other_languages == {"fr": 1}
    assert train.cleaning["duplicates", "de"] == Count(seen=2, dropped=1)
    with pytest.raises(DataError, match=r"rows\.jsonl:1"):
        rows_of(recipe)


def test_a_row_whose_language_a_cleaner_names_is_checked_too(tmp_path):
    pytest.importorskip("lingua")
    recipe = write(tmp_path, [])
    text = "Das Zimmer war sauber und das Frühstück war sehr gut"
    lines = [json.dumps({"lang": lang, "text": text, "label": label}) for lang, label in [("fr", "c"), ("de", "a")]]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rename = 'data.cleaners=[{kind="language_id", languages=["de", "fr"], mismatch="rename"}]'
    with pytest.raises(DataError, match="label 'c'"):
        rows_of(recipe, rename)


class Told(Progress):
    """Keeps the tables that it is told."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, object]]] = {}

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        self.tables[title] = [dict(zip(columns, row, strict=True)) for row in rows]


def plan(recipe: Path, *overrides: str) -> list[dict[str, object]]:
    folder = recipe.parent / "scratch"
    folder.mkdir(exist_ok=True)
    run, told = resolve(recipe, "training.epochs=4", "data.sampler=uniform", *overrides), Told()
    batches = training_batches(run, assemble(run), folder, report=DataReport(), progress=told)
    assert sum(map(len, batches.plan(0))) == sum(batches.counts().values())
    return told.tables["Sampling plan"]


def test_the_plan_counts_what_is_drawn(tmp_path):
    """Where texts are read in windows, windows are drawn."""
    recipe = write(tmp_path, [("de", "gut")] * 6 + [("zh", "好")] * 2)
    german, chinese = plan(recipe)
    assert german == {
        "language": "de",
        "rows": 6,
        "share of steps": "50.0%",
        "times seen per epoch": "0.67",
        "in all": "2.7",
    }
    assert (chinese["times seen per epoch"], chinese["in all"]) == ("2.00", "8.0")
    write(tmp_path, [("de", "gut")] * 6 + [("zh", "好 吃 " * 20)] * 2)
    german, chinese = plan(recipe, "task.stride=2")
    assert (german["rows"], german["windows"]) == (6, 6)
    assert chinese["rows"] == 2
    drawn = (6 + chinese["windows"]) / 2
    assert float(str(chinese["times seen per epoch"])) == pytest.approx(drawn / chinese["windows"], abs=0.01)
