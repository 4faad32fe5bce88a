from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.readers._sentences import is_written
from tfxl.readers.conll import Conll

LETTERS = st.characters(codec="utf-8", exclude_characters="\x00\t\r\n", exclude_categories=("Z", "C"))
WORD = st.text(LETTERS, min_size=1, max_size=6)
TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-weather/find"])
SENTENCES = st.lists(st.lists(st.tuples(WORD, TAG), min_size=1, max_size=6), min_size=1, max_size=5)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, language: str = "de", **settings: object) -> list[Example]:
    return list(Conll(**settings).read(path, language=language))


@given(sentences=SENTENCES, gap=st.sampled_from(["\n", "\r\n", "\n \n", "\n\n\n"]), tab=st.booleans())
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]], gap: str, tab: bool
) -> None:
    between = "\t" if tab else "  "
    content = ("\n" + gap).join("\n".join(f"{word}{between}{tag}" for word, tag in rows) for rows in sentences)
    examples = read(write(tmp_path_factory.mktemp("conll") / "rows.conll", content))
    assert [list(zip(e.words, e.label, strict=True)) for e in examples] == sentences
    assert all(e.text == " ".join(e.words) for e in examples)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("conll") / "rows.conll", content)
    reader = Conll(on_error="skip")
    try:
        examples = list(reader.read(path, language="ja"))
    except DataError:
        examples = []
    for example in examples:
        assert is_written(example.words, example.text) and len(example.words) == len(example.label)
        example.text.encode()


@given(content=st.text("a#\t\n =O", max_size=40))
def test_every_letter_is_in_an_example_or_in_a_refused_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    path = write(tmp_path_factory.mktemp("conll") / "rows.conll", "x\tO\n\n" + content)
    reader = Conll(on_error="skip")
    found = sum("".join([*e.words, *e.label]).count("a") for e in reader.read(path))
    in_comments = sum(line.count("a") for line in content.split("\n") if line.startswith("#"))
    assert reader.skipped or content.count("a") - in_comments <= found <= content.count("a")


def test_columns_comments_and_labels_of_several_tasks(tmp_path: Path) -> None:
    content = (
        "# id = 3\n# text-en: How hot is it?\n# text = Wie heiß ist es?\n# intent = weather/find\n"
        "1\tWie\tweather/find\tO\n2\theiß\tweather/find\tB-weather/attribute\n"
        "3\tist\tweather/find\tO\n4\tes\tweather/find\tO\n5\t?\tweather/find\tO\n"
    )
    path = write(tmp_path / "rows.conll", content)
    label = {"intent": "# intent", "slots": "4"}
    (example,) = read(path, words=2, label=label, text="# text", id="# id")
    slots = ("O", "B-weather/attribute", "O", "O", "O")
    assert example == Example(
        "Wie heiß ist es?",
        label={"intent": "weather/find", "slots": slots},
        language="de",
        id="3",
        words=("Wie", "heiß", "ist", "es", "?"),
    )
    assert example.source == f"{path}:1"
    (example,) = read(path, words=-3, label=-1)
    assert (example.text, example.label, example.id) == ("Wie heiß ist es ?", slots, f"{path}:1")
    assert read(path, words=2, label="# intent")[0].label == "weather/find"
    assert read(path, words=2, label="")[0].label is None
    assert read(path, words=2, domain="# intent")[0].domain == "weather/find"


def test_language_of_a_comment_decides_about_spaces(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.conll", "# language = zh\n我\tO\n想\tO\n\n我\tO\n想\tO\n")
    assert [(e.text, e.language) for e in Conll(language="# language").read(path, language="de")] == [
        ("我想", "zh"),
        ("我 想", "de"),
    ]


def test_words_that_begin_with_a_hash_are_words(tmp_path: Path) -> None:
    path = write(tmp_path / "tab.conll", "#\tO\n#\tB-X\na\tO\n\n#tag\tO\n# no = comment here\tO\n")
    assert [e.words for e in read(path)] == [("#", "#", "a"), ("#tag", "# no = comment here")]
    path = write(tmp_path / "space.conll", "# one two three\n#x O\na O\n\n# O\na O\n\n# key = v\nb O\n# O\n")
    assert [e.words for e in read(path)] == [("#x", "a"), ("#", "a"), ("b", "#")]


def test_spaces_of_other_scripts_do_not_divide_columns_and_blank_words_keep_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "space.conll", "10\u00a0000 O\n\u3000 B-X\na O\n")
    assert read(path)[0].words == ("10\u00a0000", "\ufffd", "a")
    path = write(tmp_path / "tab.conll", "New York\tB-LOC\n\tO\n \tO\n")
    assert read(path)[0].words == ("New York", "\ufffd", "\ufffd")


def test_documents_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.conll", "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n")
    assert [(e.words, e.label) for e in read(path)] == [(("EU", "rejects"), ("B-ORG", "O"))]
    assert read(path, label=2)[0].label == ("NNP", "VBZ")


@pytest.mark.parametrize("mark", ["-DOCSTART-", "-DOCSTART- O", "-DOCSTART-\tO", "-DOCSTART- -X- -X- -X- O"])
@pytest.mark.parametrize("space", [" ", "\t"])
def test_documents_may_have_other_columns_than_words(tmp_path: Path, mark: str, space: str) -> None:
    rows = "EU NNP I-NP B-ORG\nrejects VBZ I-VP O\n".replace(" ", space)
    path = write(tmp_path / "rows.conll", f"{mark}\n\n{rows}\n{mark}\n{rows}")
    assert [(e.words, e.label) for e in read(path)] == [(("EU", "rejects"), ("B-ORG", "O"))] * 2


@pytest.mark.parametrize("mark", ["-DOCSTART-", "-DOCSTART-\tO", "# first = yes\n-DOCSTART- -X- -X- O"])
def test_comments_may_stand_below_the_mark_of_a_document(tmp_path: Path, mark: str) -> None:
    comments = "# id = 3\n# a remark\n# text = Ja!\n"
    path = write(tmp_path / "rows.conll", f"{mark}\n{comments}Ja\tO\n!\tO\n\n{mark}\n\n{comments}Ja\tO\n!\tO\n")
    found = read(path, text="# text", id="# id")
    assert [(e.id, e.text, e.words) for e in found] == [("3", "Ja!", ("Ja", "!"))] * 2


@pytest.mark.parametrize(
    ("content", "settings", "got", "fix"),
    [
        ("a\tO\nb\n", {}, "line 2: 1 column, not 2", "tabs"),
        ("a\tO\nb O\n", {}, "line 2: 1 column, not 2", "tabs"),
        ("a O\nNew York O\n", {}, "line 2: 3 columns, not 2", "Correct the line"),
        ("a\n", {}, "line 1: 1 column, not at least 2", "Correct the line"),
        ("a\tO\n", {"label": 4}, "line 1: 2 columns, not at least 4", "Correct the line"),
        ("\na\tO\nb\t\n", {}, "line 2: word 2 of the sentence has no tag in column -1", "Correct"),
        ("# intent = x\na\tO\n", {"label": "# intnt"}, "no comment '# intnt' above the sentence", "Correct"),
        ("a\tO\n\xff\tO\n", {}, "line 2: byte 4 of the file, 0xFF, is not UTF-8", "iconv"),
        ("a\tO\nb\x00\tO\n", {}, "line 2: byte 5 of the file is NUL", "iconv"),
        ("", {}, "holds no rows", "data"),
        ("# only = a comment\n\n", {}, "holds no rows", "data"),
    ],
)
def test_says_what_is_wrong_and_how_to_mend_it(
    tmp_path: Path, content: str, settings: dict, got: str, fix: str
) -> None:
    path = write(tmp_path / "rows.conll", content.encode("latin-1"))
    with pytest.raises(DataError) as error:
        read(path, **settings)
    assert str(path) in error.value.got and got in error.value.got
    assert fix in error.value.fix


def test_skips_the_sentence_with_a_bad_line_and_reads_on(tmp_path: Path) -> None:
    reader = Conll(on_error="skip")
    path = write(tmp_path / "rows.conll", b"a\tO\n\nb\tO\nc\nd\n\n\xff\tO\ne\tO\n\nf\tO\n")
    assert [e.words for e in reader.read(path)] == [("a",), ("f",)]
    assert [row.line for row in reader.skipped] == [4, 7]


def test_a_sentence_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfxl.readers._sentences.MAX_CHARACTERS", 50)
    reader = Conll(on_error="skip")
    path = write(tmp_path / "rows.conll", "a\tO\n" * 100 + "\nb\tO\n")
    assert [e.words for e in reader.read(path)] == [("b",)]
    assert len(reader.skipped) == 1 and "longer than 50" in reader.skipped[0].reason


def test_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.conll.gz", gzip.compress("मैं\tO\n".encode()))
    assert [(e.text, e.label) for e in read(path)] == [("मैं", ("O",))]


@pytest.mark.parametrize(
    "settings",
    [{"words": 0}, {"label": 0}, {"label": "tags"}, {"label": {"a": "0"}}, {"id": "id"}, {"text": 1}, {"label": "#"}],
)
def test_refuses_places_that_cannot_be(settings: dict) -> None:
    with pytest.raises(RecipeError):
        Conll(**settings)


@pytest.mark.data
@pytest.mark.parametrize("name", ["panx", "uner", "masakhaner2", "xsid"])
def test_every_sentence_of_the_public_sets(shared_data: Path, name: str) -> None:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        counts = {row["path"]: int(row["rows"]) for row in csv.DictReader(stream, delimiter="\t")}
    settings: dict = {"xsid": {"words": 2, "label": {"intent": "# intent", "slots": 4}, "text": "# text"}}.get(name, {})
    files = [path for path in counts if path.startswith(f"{name}/")]
    assert files
    for path in files:
        language = path.split("/")[1].split(".")[0].split("_")[0].removesuffix("-st")
        examples = list(Conll(**settings).read(shared_data / path, language=language))
        assert len(examples) == counts[path], path
        for example in examples:
            tags = example.label["slots"] if name == "xsid" else example.label
            assert len(tags) == len(example.words) and {tag[0] for tag in tags} <= set("BIO")
            assert is_written(example.words, example.text)
