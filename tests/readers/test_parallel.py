from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.readers.parallel import Parallel

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n\ufeff"), max_size=12).map(str.strip)


def write(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), "utf-8", newline="")
    return path


def read(path: Path, other: object = "", **settings: object) -> list[Example]:
    return list(Parallel(other=str(other), **settings).read(path, language="de"))


@given(rows=st.lists(st.tuples(TEXT.filter(bool), TEXT.filter(bool)), min_size=1, max_size=6))
def test_reads_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("parallel")
    one, other = (write(folder / name, *side) for name, side in zip("ab", zip(*rows, strict=True), strict=True))
    assert [(e.text, e.second_text) for e in read(one, other)] == rows
    assert [(e.text, e.second_text) for e in read(one)] == [(row[0], None) for row in rows]


def test_rows_have_place_and_language_and_no_label(tmp_path: Path) -> None:
    one, other = write(tmp_path / "de.txt", "", "Hallo ", "Ja"), write(tmp_path / "en.txt", " ", "Hello", "Yes")
    assert read(one, other)[0] == Example("Hallo", "Hello", None, "de", "", f"{one}:2")
    assert [example.source for example in read(one, other)] == [f"{one}:2", f"{one}:3"]


def test_the_other_side_may_depend_on_the_language(tmp_path: Path) -> None:
    write(tmp_path / "deu.en", "Hello")
    one = tmp_path / "deu.de.gz"
    one.write_bytes(gzip.compress(b"Hallo\r\n"))
    assert read(one, tmp_path / "{iso639_3}.en")[0].second_text == "Hello"
    with pytest.raises(DataError, match="no such file for language 'de'"):
        read(one, tmp_path / "{language}.en")
    with pytest.raises(RecipeError, match="did you mean 'language'"):
        read(one, tmp_path / "{langauge}.en")


@pytest.mark.parametrize(
    ("lengths", "got"), [((3, 5), "a has 3 lines, {}b has 5"), ((6, 1), "b has 1 lines, {}a has 6")]
)
def test_different_numbers_of_lines_are_an_error_that_names_both(
    tmp_path: Path, lengths: tuple[int, int], got: str
) -> None:
    one, other = (write(tmp_path / name, *["x"] * length) for name, length in zip("ab", lengths, strict=True))
    with pytest.raises(DataError) as error:
        read(one, other, on_error="skip")
    assert error.value.got == f"{tmp_path}/{got.format(f'{tmp_path}/')}"


def test_a_line_that_is_blank_on_one_side_is_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", "1", "", "3", "4"), write(tmp_path / "b", "1", "2", " ", "4")
    with pytest.raises(DataError, match=r"a, line 2: a blank line, but none on the other side"):
        read(one, other)
    reader = Parallel(other=str(other), on_error="skip")
    assert [example.text for example in reader.read(one)] == ["1", "4"]
    assert [(Path(row.path).name, row.line) for row in reader.skipped] == [("a", 2), ("b", 3)]


def test_a_bad_byte_on_either_side_refuses_the_pair(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", "1", "2", "3"), tmp_path / "b"
    other.write_bytes(b"1\n\xff\n3\n")
    reader = Parallel(other=str(other), on_error="skip")
    assert [example.text for example in reader.read(one)] == ["1", "3"]
    assert "byte 2 of the file, 0xFF" in reader.skipped[0].reason
    assert [example.text for example in Parallel(other=str(one), on_error="skip").read(other)] == ["1", "3"]


def test_lines_have_no_column_for_the_language() -> None:
    with pytest.raises(RecipeError):
        Parallel(language="lang")


@pytest.mark.data
def test_every_line_of_the_public_set(shared_data: Path) -> None:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        counts = {row["path"]: int(row["rows"]) for row in csv.DictReader(stream, delimiter="\t")}
    files = [path for path in counts if path.startswith("ntrex/")]
    assert files
    reader = Parallel(other=str(shared_data / "ntrex" / "eng.txt"))
    for path in files:
        examples = list(reader.read(shared_data / path))
        assert len(examples) == counts[path] and all(e.text and e.second_text for e in examples)
