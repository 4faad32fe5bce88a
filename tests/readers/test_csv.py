from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.readers import csv as reader_module
from tfxl.readers.csv import Csv

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **settings: object) -> list[Example]:
    return list(Csv(**settings).read(path))


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8), end=st.sampled_from(["\r\n", "\n", "\r"]))
def test_reads_what_the_standard_library_writes(tmp_path_factory: pytest.TempPathFactory, rows: list, end: str) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("text", "label", "domain"), *rows])
    path = write(tmp_path_factory.mktemp("csv") / "rows.csv", stream.getvalue())
    examples = read(path, domain="domain")
    assert [(example.text, example.label or "", example.domain) for example in examples] == rows


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("csv") / "rows.csv", b"text,label\n" + content)
    reader = Csv(on_error="skip")
    try:
        examples = list(reader.read(path))
    except DataError:
        examples = []
    for example in examples:
        example.text.encode()


@given(content=st.text('ab",\n', max_size=40))
def test_every_letter_is_in_an_example_or_in_a_refused_row(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    path = write(tmp_path_factory.mktemp("csv") / "rows.csv", "text,label\n,\n" + content)
    reader = Csv(on_error="skip")
    read_letters = sum(len(re.findall("[ab]", e.text + (e.label or ""))) for e in reader.read(path))
    letters = len(re.findall("[ab]", content))
    assert read_letters <= letters if reader.skipped else read_letters == letters


def test_quotes_delimiters_and_line_breaks_inside_quotes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.csv", 'text,label\r\n"Er sagte: ""Nein"", und ging.\r\nSpäter kam er.",neutral\r\n好,positive'
    )
    first, second = read(path)
    assert first.text == 'Er sagte: "Nein", und ging.\r\nSpäter kam er.'
    assert (second.text, second.label, second.id) == ("好", "positive", f"{path}:4")


def test_names_columns_and_takes_language_and_domain_from_them(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "nr;satz;noch;klasse;sprache;gebiet\n7;ห้องพัก;สะอาด;1;th;hotel\n8;a;b;;;\n")
    reader = Csv(
        text="satz", second_text="noch", label="klasse", language="sprache", domain="gebiet", id="nr", delimiter=";"
    )
    first, second = reader.read(path, language="de")
    assert first == Example("ห้องพัก", "สะอาด", "1", "th", "hotel", "7")
    assert second == Example("a", "b", None, "de", "", "8")


def test_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", b"\xef\xbb\xbf\r\ntext,label\r\n\r\n   \r\nhello,x\r\n\r\n")
    assert [(e.text, e.id) for e in read(path)] == [("hello", f"{path}:5")]
    path = write(tmp_path / "more.csv", b"\xef\xbb\xbftext,label\nhello,x\n")
    assert [e.text for e in read(path)] == ["hello"]


def test_tabs_have_no_quotes_unless_told(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.tsv", 'text\tlabel\n"Ja" und 5" lang\tx\n"zu\tx\n')
    assert [e.text for e in read(path)] == ['"Ja" und 5" lang', '"zu']
    path = write(tmp_path / "quoted.tsv", 'text\tlabel\n"a\tb"\tx\n')
    assert [e.text for e in read(path, quoting=True)] == ["a\tb"]


def test_gzip_and_files_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.tsv.gz", gzip.compress("नमस्ते\thi\n".encode()))
    assert [(e.text, e.label) for e in read(path, columns=("text", "label"))] == [("नमस्ते", "hi")]


def test_a_row_of_empty_fields_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.tsv", "text\tlabel\n\t\n")
    assert [(e.text, e.label) for e in read(path)] == [("", None)]


def test_separators_of_unicode_do_not_end_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\na\u2028b\x85c\x0bd,x\n")
    assert [e.text for e in read(path)] == ["a\u2028b\x85c\x0bd"]


@pytest.mark.parametrize(
    ("content", "got", "fix"),
    [
        ("text,label\na,b,c\n", "line 2: 3 fields", "quotes"),
        ("text,label\na\n", "line 2: 1 field", "quotes"),
        ('text,label\n5" lang,x\n', "line 2: a quote inside a field, field 1", "quoting = false"),
        ('text,label\n"a" b,x\n', "line 2: text after a closing quote, field 1", "quoting = false"),
        ('text,label\na,x\n"b,x\nc,x\n', "line 3: a quote is opened and never closed", "quoting = false"),
        ('text,label\n"a\nb" c,x\n', "line 2: text after a closing quote, field 1 (the row ends at line 3)", "quoting"),
        ("text,label\na\x00b,x\n", "line 2: byte 12 of the file is NUL", "iconv"),
        ("Text,label\na,x\n", "no column 'text'", "did you mean 'Text'?"),
        ("text,lable\na,x\n", "no column 'label'", 'label = ""'),
        ("text;label\na;x\n", "no column 'text'", "delimiter = ';'"),
        ("text,text,label\na,b,x\n", "2 columns are called 'text'", "Rename"),
        ("", "holds no rows", "data"),
        ("\n\n", "holds no rows", "data"),
        ("text,label\n", "holds no rows", "data"),
    ],
)
def test_says_what_is_wrong_and_how_to_mend_it(tmp_path: Path, content: str, got: str, fix: str) -> None:
    path = write(tmp_path / "rows.csv", content)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(path) in error.value.got and got in error.value.got
    assert fix in error.value.fix


def test_wrong_encoding_names_byte_and_line(tmp_path: Path) -> None:
    content = "text,label\nschön,x\n".encode() + "süß,x\n".encode("windows-1252")
    path = write(tmp_path / "rows.csv", content)
    with pytest.raises(DataError) as error:
        read(path)
    assert f"line 3: byte {content.index(0xFC)} of the file, 0xFC, is not UTF-8" in error.value.got
    assert "iconv -f OLD -t UTF-8" in error.value.fix


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\na,x\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16"):
        read(path, on_error="skip")


def test_skips_and_counts_bad_rows_and_reads_on(tmp_path: Path) -> None:
    content = b'text,label\na,x\nb\n"c,x\nd,x\n' + b"\xff,x\n" + b"e,x\n"
    reader = Csv(on_error="skip")
    path = write(tmp_path / "rows.csv", content)
    assert [e.text for e in reader.read(path)] == ["a", "d", "e"]
    assert [(row.line, row.reason) for row in reader.skipped] == [
        (3, "1 field"),
        (4, "a quote is opened and never closed"),
        (6, "byte 26 of the file, 0xFF, is not UTF-8"),
    ]


def test_a_bad_byte_inside_a_quoted_row_refuses_the_whole_row(tmp_path: Path) -> None:
    reader = Csv(on_error="skip")
    path = write(tmp_path / "rows.csv", b'text,label\n"a\n\xff\nb",x\nc,x\n')
    assert [e.text for e in reader.read(path)] == ["c"]
    assert [row.line for row in reader.skipped] == [3]


def test_all_rows_skipped_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of its 2 rows could be read; line 2: 1 field"):
        read(write(tmp_path / "rows.csv", "text,label\na\nb\n"), on_error="skip")


def test_huge_fields_are_read_and_endless_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "rows.csv", "text,label\n" + "长" * 300_000 + ",x\n" + '"' + "y\n" * 100_000 + '",x\n')
    assert [len(e.text) for e in read(path)] == [300_000, 200_000]
    for module in ("tfxl.readers._files", "tfxl.readers.csv"):
        monkeypatch.setattr(f"{module}.MAX_CHARACTERS", 1000)
    reader = Csv(on_error="skip")
    path = write(tmp_path / "more.csv", "text,label\n" + "长" * 3000 + ",x\na,b\n" + '"' + "y,y\n" * 400)
    assert [e.text for e in reader.read(path)] == ["a", *["y"] * 399]
    assert [row.line for row in reader.skipped] == [2, 4]
    assert "longer than 1,000" in reader.skipped[0].reason


def test_missing_folder_unreadable_file_and_damaged_gzip(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "text,label\na,x\n")
    with pytest.raises(DataError) as error:
        read(tmp_path / "trian.csv")
    assert "did you mean 'train.csv'?" in error.value.fix
    with pytest.raises(DataError, match="no folder"):
        read(tmp_path / "nowhere" / "train.csv")
    with pytest.raises(DataError, match="directory"):
        read(tmp_path)
    for damaged in (b"no gzip", gzip.compress(b"text,label\na,x\n")[:-9]):
        with pytest.raises(DataError, match="can be read"):
            read(write(tmp_path / "rows.csv.gz", damaged))


def test_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\na,x\nb\n")
    stream = Csv().read(path)
    assert next(stream).text == "a"
    with pytest.raises(DataError):
        next(stream)


@pytest.mark.parametrize("delimiter", ['"', "\n", ",,"])
def test_refuses_a_delimiter_that_cannot_be_one(delimiter: str) -> None:
    with pytest.raises(RecipeError):
        Csv(delimiter=delimiter)


def test_the_module_hides_nothing() -> None:
    assert csv is not reader_module and hasattr(csv, "writer")


@pytest.mark.data
def test_real_tables(shared_data: Path) -> None:
    reader = Csv(text="sentence1", second_text="sentence2", id="")
    path = shared_data / "pawsx" / "de.test.tsv.gz"
    with gzip.open(path) as stream:
        rows = sum(1 for _ in stream) - 1
    assert sum(1 for _ in reader.read(path)) == rows


def test_a_separator_makes_a_label_of_several(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\na,joy|trust\nb,\nc, joy \n")
    assert [e.label for e in read(path, label_separator="|")] == [("joy", "trust"), (), ("joy",)]
    assert [e.label for e in read(path)] == ["joy|trust", None, " joy "]
    with pytest.raises(RecipeError):
        Csv(label_separator=1)


def test_labels_of_several_tasks_with_separators_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,intent,slots\nHow hot,weather/find,O B-x\nHi,,\n")
    label = {"intent": "intent", "slots": "slots"}
    found = [e.label for e in read(path, label=label, label_separator={"slots": " "})]
    assert found == [{"intent": "weather/find", "slots": ("O", "B-x")}, {"intent": None, "slots": ()}]
    assert [e.label for e in read(path, label=label)] == [{"intent": "weather/find", "slots": "O B-x"}, None]
    with pytest.raises(DataError, match="no column 'slot'") as error:
        read(path, label={"slots": "slot"})
    assert "did you mean 'slots'? Set label.slots to the name of a column." in error.value.fix


def test_columns_of_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "premise,one,two,label\nEs regnet.,Ich bleibe.,,0\n")
    (example,) = read(path, text="premise", choices=("one", "two"))
    assert example.choices == ("Ich bleibe.", "") and example.label == "0"
    with pytest.raises(DataError) as error:
        read(path, text="premise", choices=("one", "three"))
    assert "no column 'three'" in error.value.got and "Set choices.1 to" in error.value.fix
