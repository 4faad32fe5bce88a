from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfxl.errors import DataError, InstallationError
from tfxl.readers import huggingface
from tfxl.readers.huggingface import Huggingface

datasets = pytest.importorskip("datasets")

FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Answers every request with two rows, and keeps the requests."""
    asked: list[tuple] = []

    def load(name: str, subset: str | None, *, split: str, streaming: bool) -> object:
        asked.append((name, subset, split, streaming))
        rows = {"text": ["Sehr schön", "很吵"], "label": [1, -1]}
        return datasets.Dataset.from_dict(rows, features=FEATURES).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_streams_rows_and_names_labels(hub: list[tuple]) -> None:
    first, second = Huggingface().read("mylab/reviews", language="de")
    assert (first.text, first.label, first.language, first.id) == ("Sehr schön", "positive", "de", "mylab/reviews:1")
    assert (second.text, second.label) == ("很吵", None)
    assert hub == [("mylab/reviews", None, "train", True)]


def test_names_lists_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = datasets.ClassLabel(names=["O", "B-LOC"])
    columns = {"tags": datasets.Sequence(kind), "layers": datasets.Sequence(datasets.Sequence(kind)), "old": [kind]}
    features = datasets.Features({**columns, "numbers": datasets.Sequence(datasets.Value("int64"))})
    rows = {"tags": [[0, 1, -1], None], "layers": [[[1], [0]], []], "old": [[1], [0]], "numbers": [[1, 0], []]}
    data = datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: data)
    reader = Huggingface(text="tags", label="layers")
    assert [row for _, row in reader.rows("mylab/tags")] == [
        {"tags": ["O", "B-LOC", None], "layers": [["B-LOC"], ["O"]], "old": ["B-LOC"], "numbers": [1, 0]},
        {"tags": None, "layers": [], "old": ["O"], "numbers": []},
    ]


def test_names_labels_in_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = datasets.ClassLabel(names=["O", "B-LOC"])
    table = {"tag": kind, "tags": [kind], "number": datasets.Value("int64")}
    plain = {"number": datasets.Value("int64")}
    columns = {"table": table, "tables": [table], "inner": {"table": table}, "plain": plain}
    one = {"tag": 1, "tags": [0, 1], "number": 1}
    none = {"tag": -1, "tags": None, "number": 0}
    rows = {"table": [one, none], "tables": [[one, none], []], "inner": [{"table": one}, {"table": None}]}
    rows["plain"] = [{"number": 1}, {"number": 0}]
    data = datasets.Dataset.from_dict(rows, features=datasets.Features(columns)).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: data)
    named = {"tag": "B-LOC", "tags": ["O", "B-LOC"], "number": 1}
    nameless = {"tag": None, "tags": None, "number": 0}
    first, second = (row for _, row in Huggingface(text="table", label="tables").rows("mylab/tags"))
    assert first == {
        "table": named,
        "tables": [named, nameless],
        "inner": {"table": named},
        "plain": {"number": 1},
    }
    assert (second["table"], second["tables"]) == (nameless, [])


def test_names_labels_in_tables_of_lists() -> None:
    """Version 3 of datasets gives these for lists of tables."""
    table = {"tag": datasets.ClassLabel(names=["O", "B-LOC"]), "number": datasets.Value("int64")}
    namer = huggingface._namer(SimpleNamespace(feature=table))
    assert namer({"tag": [1, 0], "number": [1, 0]}) == {"tag": ["B-LOC", "O"], "number": [1, 0]}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("reviews:de", ("reviews", "de", "train", True)),
        ("mylab/reviews:de:test", ("mylab/reviews", "de", "test", True)),
        ("mylab/reviews::test[:10]", ("mylab/reviews", None, "test[:10]", True)),
    ],
)
def test_path_holds_subset_and_split(hub: list[tuple], path: str, asked: tuple) -> None:
    assert list(Huggingface().read(path))
    assert hub == [asked]


def test_missing_column_is_an_error(hub: list[tuple]) -> None:
    with pytest.raises(DataError, match="no column 'txt'") as error:
        list(Huggingface(text="txt").read("mylab/reviews"))
    assert "did you mean 'text'?" in error.value.fix


@pytest.mark.parametrize("step", ["load", "read"])
def test_no_network_is_a_data_error(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub\nmore")

    class Broken:
        column_names, features = ("text", "label"), None

        def __iter__(self) -> Broken:
            return self

        __next__ = fail

    monkeypatch.setattr(datasets, "load_dataset", fail if step == "load" else lambda *_, **__: Broken())
    with pytest.raises(DataError) as error:
        list(Huggingface().read("mylab/reviews"))
    assert "no connection" in error.value.got and "\n" not in error.value.got
    assert "folder" in error.value.fix


def test_unknown_name_or_split_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "a", "label": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="test"):
        list(Huggingface().read(f"{tmp_path}::test"))


def test_reads_a_local_folder_without_network(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "ชอบมาก", "label": "x"}\n', encoding="utf-8")
    assert [example.text for example in Huggingface().read(tmp_path, language="th")] == ["ชอบมาก"]


def test_names_the_extra_when_the_package_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InstallationError) as error:
        list(Huggingface().read("mylab/reviews"))
    assert 'pip install "tfxl[huggingface]"' in error.value.fix
