from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.readers.squad import Squad

CONTEXT = "Die 👩‍👩‍👧 lebt in Köln. كولن مدينة"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def questions(draw: st.DrawFn) -> dict:
    context = draw(st.text(st.characters(codec="utf-8"), min_size=3, max_size=20))
    starts = draw(st.lists(st.integers(0, len(context) - 1), max_size=3))
    answers = [{"text": context[s : s + draw(st.integers(1, 5))], "answer_start": s} for s in starts]
    return {"id": draw(TEXT), "question": draw(TEXT), "context": context, "answers": answers}


def nested(rows: list[dict]) -> dict:
    def paragraph(row: dict) -> dict:
        return {"context": row["context"], "qas": [{k: v for k, v in row.items() if k != "context"}]}

    return {"version": "1.1", "data": [{"title": "T", "paragraphs": [paragraph(row) for row in rows]}]}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def read(path: Path, **settings: object) -> list[Example]:
    return list(Squad(**settings).read(path, language="de"))


@given(rows=st.lists(questions(), min_size=1, max_size=4), indent=st.sampled_from([None, 2]), escaped=st.booleans())
def test_both_forms_give_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], indent: int | None, escaped: bool
) -> None:
    folder = tmp_path_factory.mktemp("squad")
    expected = [
        (r["id"], r["question"], r["context"], tuple((a["text"], a["answer_start"]) for a in r["answers"]))
        for r in rows
    ]
    flat = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows)
    paths = [
        write(folder / "a.json", json.dumps(nested(rows), indent=indent, ensure_ascii=escaped)),
        write(folder / "b.jsonl", flat),
    ]
    for path in paths:
        assert [(e.id, e.text, e.second_text, e.label) for e in read(path)] == expected


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        ([{"text": "Köln", "answer_start": 18}], (("Köln", 18),)),
        ([{"text": "Köln", "answer_start": "18"}, {"text": "lebt", "answer_start": 10}], (("Köln", 18), ("lebt", 10))),
        ({"text": ["كولن"], "answer_start": [24]}, (("كولن", 24),)),
        ({"text": "👩‍👩‍👧", "answer_start": 4}, (("👩‍👩‍👧", 4),)),
        ({"text": [], "answer_start": []}, ()),
        ([], ()),
        (None, ()),
        ([{"text": "", "answer_start": 0}], ()),
    ],
)
def test_answers_in_each_form(tmp_path: Path, answers: object, label: tuple) -> None:
    assert CONTEXT[18:].startswith("Köln") and CONTEXT[24:].startswith("كولن")
    path = write(tmp_path / "rows.jsonl", {"question": "?", "context": CONTEXT, "answers": answers})
    assert read(path, id="")[0].label == label


def test_impossible_questions_have_no_answer_and_unknown_ones_no_label(tmp_path: Path) -> None:
    row = {"id": "1", "question": "?", "context": "a b", "is_impossible": True, "plausible_answers": []}
    plain = {**row, "answers": [{"text": "b", "answer_start": 2}]}
    path = write(tmp_path / "rows.json", nested([row, plain, {**plain, "is_impossible": False}]))
    assert [example.label for example in read(path)] == [(), (), (("b", 2),)]
    assert [example.label for example in read(path, answers="")] == [None] * 3


def test_contexts_may_be_in_another_language(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"id": "1", "question": "Ina?", "context": "a b", "answers": []})
    (found,) = read(path, context_language="EN")
    assert found.second_language == "en"
    with pytest.raises(RecipeError, match="english"):
        read(path, context_language="english")


def test_fields_may_have_other_names(tmp_path: Path) -> None:
    row = {"q": "Wo?", "question": "Ina?", "passage": "a b", "lang": "hau", "source": "wiki", "nr": 7, "answers": []}
    path = write(tmp_path / "rows.jsonl", row)
    found = read(path, question="q", context="passage", id="nr", language="lang", domain="source")
    assert found == [Example("Wo?", "a b", (), "hau", "wiki", "7")]
    assert found[0].source == f"{path}:1"
    path = write(tmp_path / "rows.json", nested([{"question": "?", "context": "a", "answers": []}]))
    assert [(e.domain, e.id) for e in read(path, id="", domain="title")] == [("T", f"{path}:1")]


@pytest.mark.parametrize(
    ("row", "got", "unit"),
    [
        ({"answers": [{"text": "c", "answer_start": 1}]}, "answer 'c' does not stand at character 1", "nor anywhere"),
        ({"answers": [{"text": "b", "answer_start": 3}]}, "answer 'b' does not stand at character 3", "stands at 2"),
        ({"answers": [{"text": "b", "answer_start": -1}]}, "starts at '-1', which is no number", ""),
        ({"answers": [{"text": "b"}]}, "no answers of the form", ""),
        ({"answers": ["b"]}, "no answers of the form", ""),
        ({"answers": {"text": ["b"], "answer_start": []}}, "no answers of the form", ""),
        ({"answers": "b"}, "no answers of the form", ""),
        ({"question": None, "answers": []}, "field 'question' is null", ""),
        ({"context": None, "answers": []}, "field 'context' is null", ""),
        ({"answer": []}, "no field 'answers'", "did you mean 'answer'?"),
        ({"question": "\ud800", "answers": []}, "half of a surrogate pair", ""),
    ],
)
def test_a_wrong_question_is_refused_or_skipped(tmp_path: Path, row: dict, got: str, unit: str) -> None:
    good = {"id": "1", "question": "?", "context": "a b", "answers": []}
    bad = {"id": "x7", "question": "?", "context": "a b", **row}
    contents = {
        "line 2": "\n".join(json.dumps(item) for item in (good, bad, good)),
        "question 2": json.dumps(nested([good, bad, good])),
    }
    for place, content in contents.items():
        path = write(tmp_path / "rows.json", content)
        with pytest.raises(DataError) as error:
            read(path)
        assert f"{path}, {place}: question 'x7': " in error.value.got
        assert got in error.value.got and unit in error.value.got
        reader = Squad(on_error="skip")
        assert [example.id for example in reader.read(path)] == ["1", "1"]
        assert [skipped.line for skipped in reader.skipped] == [2]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ('{"data": [{"paragraphs": [{"qas": [}', "no JSON"),
        ('{"data": 3}', "the file has no list 'data'"),
        ('{"version": 1.0, "data": [{"paragraph": []}]}', "the article before question 1 has no list 'paragraphs'"),
        ('{"data": [{"paragraphs": [{"context": "a"}]}]}', "the paragraph before question 1 has no list 'qas'"),
        ('{"data": []}', "holds no rows"),
        ("[1]", "not an object"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str, got: str) -> None:
    path = write(tmp_path / "rows.json", content)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(path) in error.value.got and got in error.value.got


def test_a_nested_file_that_is_not_utf_8_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'{"data": [\xff')
    with pytest.raises(DataError, match="byte 10 of the file, 0xFF, is not UTF-8"):
        read(path, on_error="skip")


def test_a_broken_first_line_is_one_bad_line(tmp_path: Path) -> None:
    good = {"id": "1", "question": "?", "context": "a", "answers": []}
    path = write(tmp_path / "rows.jsonl", '{"id": "0", "quest\n' + json.dumps(good))
    assert [example.id for example in read(path, on_error="skip")] == ["1"]


def test_long_lines_and_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfxl.readers._files.MAX_CHARACTERS", 100)
    rows = [{"id": str(i), "question": "?", "context": "長" * 90, "answers": []} for i in range(3)]
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress(json.dumps(nested(rows), ensure_ascii=False).encode()))
    assert [example.id for example in read(path)] == ["0", "1", "2"]


def test_needs_a_question() -> None:
    with pytest.raises(RecipeError):
        Squad(question="")


@pytest.mark.data
@pytest.mark.parametrize("name", ["xquad", "mlqa", "tydiqa_goldp", "afriqa"])
def test_every_question_of_the_public_sets(shared_data: Path, name: str) -> None:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        counts = {row["path"]: int(row["rows"]) for row in csv.DictReader(stream, delimiter="\t")}
    columns = ("question", "question_pivot") if name == "afriqa" else ("question",)
    files = [(path, column) for path in counts if path.startswith(f"{name}/") for column in columns]
    assert files
    for path, column in files:
        examples = list(Squad(question=column).read(shared_data / path))
        assert len(examples) == counts[path]
        for example in examples:
            assert example.label and example.text
            assert all(example.second_text[start:].startswith(text) for text, start in example.label)
