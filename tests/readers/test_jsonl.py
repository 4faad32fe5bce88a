from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError
from tfxl.example import Example
from tfxl.readers.jsonl import Jsonl

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **settings: object) -> list[Example]:
    return list(Jsonl(**settings).read(path))


@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6), is_ascii=st.booleans())
def test_reads_what_json_writes(tmp_path_factory: pytest.TempPathFactory, rows: list, is_ascii: bool) -> None:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=is_ascii) for text, label in rows]
    path = write(tmp_path_factory.mktemp("jsonl") / "rows.jsonl", "\n".join(lines))
    assert [(example.text, example.label or "") for example in read(path)] == rows


@given(content=st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("jsonl") / "rows.jsonl", content)
    with pytest.raises(DataError):
        read(path)


def test_fields_plain_and_gzipped(tmp_path: Path) -> None:
    row = {"id": 7, "a": "गरम चाय", "b": "ठंडी", "y": "positive", "where": "food", "lang": "hi", "more": [1]}
    content = json.dumps(row, ensure_ascii=False) + "\n\n" + json.dumps({**row, "id": None, "lang": ""}) + "\n"
    settings = {"text": "a", "second_text": "b", "label": "y", "domain": "where", "language": "lang", "id": "id"}
    expected = Example("गरम चाय", "ठंडी", "positive", "hi", "food", "7")
    for path in (
        write(tmp_path / "rows.jsonl", content),
        write(tmp_path / "rows.jsonl.gz", gzip.compress(b"\xef\xbb\xbf" + content.encode())),
    ):
        first, second = Jsonl(**settings).read(path, language="mr")
        assert first == expected
        assert (second.language, second.id) == ("mr", f"{path}:3")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("-3e5", "-3e5"),
        ("true", "true"),
        ("null", None),
        ('""', None),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_labels_become_text_as_they_are_written(tmp_path: Path, value: str, label: str | None) -> None:
    assert read(write(tmp_path / "rows.jsonl", f'{{"text": "x", "label": {value}}}'))[0].label == label


@pytest.mark.parametrize(
    ("content", "got", "fix"),
    [
        ("{'text': 1}", "no JSON", "Correct the row"),
        ('["a"]', "a JSON list, not an object", "jq -c"),
        ('[\n{"text": "a"}]', "no JSON", "jq -c"),
        ('{"text": "a", "label": NaN}', "NaN is no JSON", "Correct"),
        ('{"test": "a", "label": "x"}', "no column 'text'", "did you mean 'test'?"),
        ('{"text": "a"}', "no column 'label'", 'label = ""'),
        ('{"text": null, "label": "x"}', "column 'text' is null", "Correct"),
        ('{"text": ["a"], "label": "x"}', "column 'text' holds a list", "Correct"),
        ('{"text": "a", "label": {"b": 1}}', "column 'label' holds a dict", "Correct"),
        ('{"text": "\\ud83d", "label": "x"}', "half of a surrogate pair, U+D83D", "Correct"),
        ("[" * 100_000, "nested too deeply", "jq"),
        ("", "holds no rows", "data"),
    ],
)
def test_says_what_is_wrong_and_how_to_mend_it(tmp_path: Path, content: str, got: str, fix: str) -> None:
    path = write(tmp_path / "rows.jsonl", content)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(path) in error.value.got and got in error.value.got
    assert fix in error.value.fix


def test_wrong_encoding_names_byte_and_line(tmp_path: Path) -> None:
    content = b'{"text": "a", "label": "x"}\n' + '{"text": "плохо", "label": "x"}\n'.encode("windows-1251")
    with pytest.raises(DataError, match="line 2: byte 38 of the file, 0xEF, is not UTF-8"):
        read(write(tmp_path / "rows.jsonl", content))


def test_skips_and_counts_bad_rows(tmp_path: Path) -> None:
    reader = Jsonl(on_error="skip", label="")
    path = write(tmp_path / "rows.jsonl", '{"text": "a"}\nnonsense\n{"text": "b"}\n{"text": null}\n')
    assert [example.text for example in reader.read(path)] == ["a", "b"]
    assert [row.line for row in reader.skipped] == [2, 4]


@pytest.mark.data
def test_real_rows(shared_data: Path) -> None:
    examples = read(shared_data / "nusax_sentiment" / "indonesian.train.jsonl", id="id")
    assert len(examples) == 500
    assert {example.label for example in examples} == {"negative", "neutral", "positive"}


def test_lists_are_labels_and_an_empty_one_is_a_label(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a", "label": ["joy", 1, True]}, {"text": "b", "label": []}, {"text": "c", "label": None}]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert [e.label for e in read(path)] == [("joy", "1", "true"), (), None]


@pytest.mark.parametrize("label", [[None], [["a"]], {"a": 1}, [{"a": 1}], ["\ud800"]])
def test_other_labels_are_refused(tmp_path: Path, label: object) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a", "label": label}), "utf-8")
    with pytest.raises(DataError, match="line 1: column 'label' holds"):
        read(path)


def test_labels_of_several_tasks(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a", "intent": "x", "slots": ["O"]}, {"text": "b", "intent": None, "slots": None}]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    label = {"intent": "intent", "slots": "slots"}
    assert [e.label for e in read(path, label=label)] == [{"intent": "x", "slots": ("O",)}, None]


def test_choices_from_columns_or_from_a_list(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"text": "a", "choice1": "b", "choice2": "c", "options": ["d", "e", "f"], "label": 1}
    path.write_text(json.dumps(row), "utf-8")
    assert read(path, choices=("choice1", "choice2"))[0].choices == ("b", "c")
    assert read(path, choices=("options",))[0].choices == ("d", "e", "f")
    path.write_text(json.dumps({**row, "choice2": None}), "utf-8")
    with pytest.raises(DataError, match="column 'choice2' is null"):
        read(path, choices=("choice1", "choice2"))
    with pytest.raises(DataError, match="column 'label' is null"):
        path.write_text(json.dumps({**row, "label": None}), "utf-8")
        read(path, text="label", label="")
