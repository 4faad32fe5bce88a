"""Data of several tasks, each with a reader of its own."""

from __future__ import annotations

import pytest

from tfxl.errors import DataError
from tfxl.readers import expand
from tfxl.readers.by_task import ByTask


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mood.de").write_text('{"text": "gut", "label": "positive"}\n', encoding="utf-8")
    (tmp_path / "names.de").write_text("Köln\tB-LOC\n\n", encoding="utf-8")
    return tmp_path


def test_labels_are_by_task(folder):
    reader = ByTask(tasks={"mood": "jsonl", "names": {"kind": "conll"}})
    ((path, language),) = expand(f"{folder}/{{task}}.{{language}}", ["de"], files=reader.reads_files)
    rows = list(reader.read(path, language=language))
    assert [row.label for row in rows] == [{"mood": "positive"}, {"names": ("B-LOC",)}]
    assert [row.task for row in rows] == ["mood", "names"]
    assert {row.language for row in rows} == {"de"}


def test_pairs_without_a_label_are_still_for_their_task(folder):
    (folder / "find.de").write_text('{"text": "wo?", "second_text": "da"}\n', encoding="utf-8")
    reader = ByTask(tasks={"find": {"kind": "jsonl", "second_text": "second_text", "label": ""}})
    (row,) = reader.read(f"{folder}/{{task}}.de")
    assert row.label == {"find": None} and row.task == "find"


def test_skipped_rows_are_reported(folder):
    with (folder / "mood.de").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    reader = ByTask(tasks={"mood": "jsonl"}, on_error="skip")
    assert len(list(reader.read(f"{folder}/{{task}}.de"))) == 1
    assert [row.line for row in reader.skipped] == [2]


def test_a_missing_file_is_found_before_anything_is_read(folder):
    reader = ByTask(tasks={"mood": "jsonl", "missing": "jsonl"})
    with pytest.raises(DataError, match="'missing'"):
        reader.check(f"{folder}/{{task}}.de")
    with pytest.raises(DataError, match="none"):
        ByTask().check("any")
