from __future__ import annotations

import contextlib
import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError
from tfxl.example import Example
from tfxl.readers._sentences import is_written
from tfxl.readers.conllu import Conllu

LETTERS = st.characters(codec="utf-8", exclude_characters="\x00\t\r\n", exclude_categories=("Z", "C"))
WORD = st.tuples(st.text(LETTERS, min_size=1, max_size=5), st.sampled_from(["NOUN", "VERB"]), st.booleans())
SENTENCES = st.lists(st.lists(WORD, min_size=1, max_size=6), min_size=1, max_size=4)


def line(number: object, form: str, tag: str = "X", misc: str = "_") -> str:
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t0\tdep\t_\t{misc}\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **settings: object) -> list[Example]:
    return list(Conllu(**settings).read(path, language="de"))


FUSED = (
    "# sent_id = n01\n# genre = news\n# text = Wir gehen zum Zug.\n"
    + line(1, "Wir", "PRON")
    + line("1.1", "nicht", "PART")
    + line(2, "gehen", "VERB")
    + line("3-4", "zum", "_")
    + line(3, "zu", "ADP")
    + line(4, "dem", "DET")
    + line("5-6", "Zug.", "_", "Lang=de|SpaceAfter=No")
    + line(5, "Zug", "NOUN")
    + line(6, ".", "PUNCT")
    + "\n"
)


@given(sentences=SENTENCES)
def test_reads_what_was_written(tmp_path_factory: pytest.TempPathFactory, sentences: list) -> None:
    content = "\n".join(
        "".join(
            line(number, form, tag, "_" if space else "SpaceAfter=No")
            for number, (form, tag, space) in enumerate(words, 1)
        )
        for words in sentences
    )
    examples = read(write(tmp_path_factory.mktemp("conllu") / "rows.conllu", content))
    for example, words in zip(examples, sentences, strict=True):
        assert list(zip(example.words, example.label, strict=True)) == [word[:2] for word in words]
        assert example.text == "".join(form + " " * space for form, _, space in words).rstrip(" ")
        assert is_written(example.words, example.text)


@given(content=st.text("1-2.\t\n#a=_ ", max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    reader = Conllu(on_error="skip")
    with contextlib.suppress(DataError):
        list(reader.read(write(tmp_path_factory.mktemp("conllu") / "rows.conllu", content)))


@pytest.mark.parametrize(
    ("fused", "text", "words", "label"),
    [
        ("first", "Wir gehen zum Zug.", "Wir gehen zum Zug.", "PRON VERB ADP NOUN"),
        ("joined", "Wir gehen zum Zug.", "Wir gehen zum Zug.", "PRON VERB ADP+DET NOUN+PUNCT"),
        ("split", "Wir gehen zu dem Zug .", "Wir gehen zu dem Zug .", "PRON VERB ADP DET NOUN PUNCT"),
    ],
)
def test_fused_words_and_empty_nodes(tmp_path: Path, fused: str, text: str, words: str, label: str) -> None:
    path = write(tmp_path / "rows.conllu", FUSED)
    (example,) = read(path, fused=fused, domain="genre")
    assert example == Example(text, None, tuple(label.split()), "de", "news", "n01", "", tuple(words.split()))
    assert example.source == f"{path}:1"


def test_columns_and_comments(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.conllu", "# lang = sw\n# id = 7\n" + line(1, "moja", "NUM") + "\n" + line(1, "b"))
    first, second = read(path, column="deprel", language="lang", id="id")
    assert (first.label, first.language, first.id) == (("dep",), "sw", "7")
    assert (second.language, second.id, second.domain) == ("de", f"{path}:5", "")


def test_spaces_in_words_and_none_after_them(tmp_path: Path) -> None:
    rows = line(1, "10 000") + line(2, "。", misc="SpaceAfter=No|Gloss=.") + line(3, "我", misc="NoSpaceAfter=No")
    assert read(write(tmp_path / "rows.conllu", rows))[0].text == "10 000 。我"


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("1\ta\tX\n", "line 1: number of columns: 3, the first one '1'"),
        ("a O\n", "line 1: number of columns: 1, the first one 'a O'"),
        (line("x", "a"), "line 1: number of columns: 10, the first one 'x'"),
        (line(1, "a") + line(3, "b"), "line 2: word 3 where word 2 should stand"),
        (line(1, "a") + line(1, "b"), "line 2: word 1 where word 2 should stand"),
        (line("2-3", "a"), "line 1: word 2-3 where word 1 should stand"),
        (line("1-0", "a"), "line 1: word 1-0 where word 1 should stand"),
        (line("1-2", "ab") + line(1, "a") + "\n", "line 2: word 2, the last one of 'ab', is missing"),
        (line("1-2", "ab") + line(1, "a") + line("2-3", "c"), "line 3: word 2, the last one of 'ab', is missing"),
        ("# text = a\n\n", "holds no rows"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, content: str, got: str) -> None:
    path = write(tmp_path / "rows.conllu", content)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(path) in error.value.got and got in error.value.got and error.value.fix
    if "line" in got:
        good = "\n" + line(1, "gut")
        reader = Conllu(on_error="skip")
        assert [e.text for e in reader.read(write(path, content + good))] == ["gut"]
        assert len(reader.skipped) == 1


@pytest.mark.data
def test_every_sentence_of_the_public_treebanks_has_its_text(shared_data: Path) -> None:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        counts = {row["path"]: int(row["rows"]) for row in csv.DictReader(stream, delimiter="\t")}
    files = [path for path in counts if path.startswith("ud_pud/")]
    assert files
    for path in files:
        with gzip.open(shared_data / path, "rt", encoding="utf-8") as stream:
            texts = [text.removeprefix("# text = ").strip() for text in stream if text.startswith("# text = ")]
        examples = list(Conllu().read(shared_data / path))
        assert len(examples) == counts[path]
        assert [example.text for example in examples] == texts
        assert all(is_written(example.words, example.text) for example in examples)
        assert len({tag for example in examples for tag in example.label} - {"_"}) <= 17
