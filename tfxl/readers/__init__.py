"""Readers turn files (or a hub's data sets) into examples; the file name is the recipe's `reader`."""

from __future__ import annotations

import gzip
import io
import re
import string
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from tfxl import languages, samples
from tfxl.errors import DataError, RecipeError, did_you_mean
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.registry import Part

ENCODING = "utf-8"
MAX_CHARACTERS = 10_000_000
"""The longest line or row that is read; a longer one comes from a quote that nobody closed, or is no text."""

SAMPLE = "sample:"
"""The prefix of a path to data that comes with tfxl."""

PLACEHOLDERS = ("language", "iso639_3", "language_name")

_CONVERT = (
    "Convert the file: iconv -f OLD -t UTF-8 FILE > NEW, where OLD is what it was saved in, such as windows-1252, "
    "windows-1251, gb18030 or UTF-16."
)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how the "surrogateescape" handler marks a byte that it could not decode
_OTHER_UNICODE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # byte order marks of UTF-16 and UTF-32


class BadRow(NamedTuple):
    """A row that was skipped: where it stands and why it could not be read."""

    path: str
    line: int
    reason: str


class Reader(Part):
    """Reads examples one after another; never holds a whole file.

    Rows that cannot be read are an error; with `on_error = "skip"` they are kept in `skipped` instead.
    """

    class Settings(Part.Settings):
        """Which columns hold what, and what to do with a bad row. An empty name means: there is no such column."""

        text: str = Field("text", min_length=1)
        second_text: str = ""
        label: str = "label"
        language: str = ""
        domain: str = ""
        id: str = ""
        on_error: Literal["raise", "skip"] = "raise"

    settings: Settings
    reads_files = True
    """False for readers whose path is a name elsewhere, such as a data set on a hub."""

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self.skipped: list[BadRow] = []

    @abstractmethod
    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the examples of one file.

        Args:
            path: The file.
            language: The language of rows that name none themselves.

        Raises:
            DataError: The file is missing, unreadable or empty, a column is missing, or a row is wrong.
        """

    def reject(self, path: str | Path, line: int, reason: str, *, expected: str, fix: str = "Correct the row") -> None:
        """Refuses a row: raises, or notes it in `skipped` when the settings say so.

        Args:
            path: The file.
            line: The line, counted from 1.
            reason: What is wrong with the row.
            expected: What a right row looks like.
            fix: How to mend the row, without a full stop at the end.
        """
        if self.settings.on_error == "raise":
            raise DataError(
                f"{path}, line {line}: {reason}",
                expected=expected,
                fix=f'{fix.rstrip(".")}, or set on_error = "skip" for the reader to count and report such rows.',
            )
        self.skipped.append(BadRow(str(path), line, reason))


class RowReader(Reader):
    """A reader of rows that are named values, one example a row. A part of this kind supplies `rows` alone."""

    @abstractmethod
    def rows(self, path: str | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yields the line and the values by column name of each row; refuses those it cannot read with `reject`."""

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the examples of one file; blank lines are the only thing that is passed over."""
        earlier, found = len(self.skipped), False
        for line, values in self.rows(path):
            example = self._example(path, line, values, language)
            if example is not None:
                found = True
                yield example
        if not found:
            raise _nothing_read(path, self.skipped[earlier:])

    @property
    def columns(self) -> dict[str, str]:
        """The column of each field of an example, without the fields that have no column."""
        named = self.settings.model_dump(include={"text", "second_text", "label", "language", "domain", "id"})
        return {field: column for field, column in named.items() if column}

    def missing(self, present: Iterable[str]) -> tuple[str, str]:
        """Returns which column is not among the present ones and how to mend it, or empty strings."""
        known = list(present)
        for field, column in self.columns.items():
            if column not in known:
                without = "" if field == "text" else f', or set {field} = "" if there is none'
                return column, f"{did_you_mean(column, known)}Set {field} to the name of a column{without}."
        return "", ""

    def _example(self, path: str | Path, line: int, values: Mapping[str, Any], language: str) -> Example | None:
        absent, fix = self.missing(values)
        if absent:
            known = ", ".join(repr(name) for name in values)
            self.reject(path, line, f"no column {absent!r}", expected=f"one of the columns {known}", fix=fix)
            return None
        try:
            fields = {field: _as_text(values[column], column) for field, column in self.columns.items()}
            for field in fields.keys() & {"text", "second_text"}:
                if fields[field] is None:
                    raise ValueError(f"column {self.columns[field]!r} is null")
        except ValueError as error:
            self.reject(path, line, str(error), expected="text, a number, true or false in each column that is read")
            return None
        return Example(
            text=fields["text"] or "",
            second_text=fields.get("second_text"),
            label=fields.get("label") or None,
            language=fields.get("language") or language,
            domain=fields.get("domain") or "",
            id=fields.get("id") or f"{path}:{line}",
            source=f"{path}:{line}",
        )


def _as_text(value: Any, column: str) -> str | None:
    """Returns a string, number or truth value as it would stand in a text file."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(f"column {column!r} holds a {type(value).__name__}")
    text = str(value)
    try:
        text.encode(ENCODING)
    except UnicodeEncodeError as error:
        raise ValueError(f"column {column!r} holds half of a surrogate pair, U+{ord(text[error.start]):04X}") from None
    return text


def _nothing_read(path: str | Path, skipped: Sequence[BadRow]) -> DataError:
    if skipped:
        return DataError(
            f"{path}: none of its {len(skipped)} rows could be read; line {skipped[0].line}: {skipped[0].reason}",
            expected="at least one right row",
            fix="Correct the file or the reader's settings.",
        )
    return DataError(f"{path} holds no rows", expected="at least one row", fix="Name a file that holds data.")


class Line(NamedTuple):
    """One line of a text file, its line ending included; `problem` says what is wrong with it."""

    number: int
    text: str
    problem: str = ""


def lines(path: str | Path) -> Iterator[Line]:
    r"""Yields the lines of a UTF-8 file, plain or gzipped (`.gz`), with any line ending and with or without a BOM.

    Only `\n`, `\r\n` and `\r` end a line: other separators of Unicode are text.

    Raises:
        DataError: The file cannot be read, or is UTF-16 or UTF-32.
    """
    try:
        with gzip.open(path) if Path(path).suffix == ".gz" else Path(path).open("rb") as stream:
            if stream.peek(4).startswith(_OTHER_UNICODE):
                raise DataError(f"{path} begins with a mark of UTF-16 or UTF-32", expected="UTF-8", fix=_CONVERT)
            yield from _checked_lines(io.TextIOWrapper(stream, ENCODING, errors="surrogateescape", newline=""))
    except FileNotFoundError:
        raise _no_such_file(Path(path), "") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="a file that can be read, gzipped if its name ends in .gz",
            fix="Check the path and its permissions, or fetch the file again.",
        ) from None


def _checked_lines(stream: io.TextIOWrapper) -> Iterator[Line]:
    number = position = 0
    while text := stream.readline(MAX_CHARACTERS):
        number += 1
        problem = _problem(text, position)
        position += _bytes(text)
        while len(text) == MAX_CHARACTERS and text[-1] not in "\r\n":
            problem = f"longer than {MAX_CHARACTERS:,} characters"
            rest = stream.readline(MAX_CHARACTERS)
            position += _bytes(rest)
            if len(rest) < MAX_CHARACTERS or rest[-1] in "\r\n":
                break
        yield Line(number, text.removeprefix("\ufeff") if number == 1 else text, problem)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(ENCODING, "surrogateescape"))


def _problem(text: str, position: int) -> str:
    if "\x00" in text:
        return (
            f"byte {position + _bytes(text[: text.index(chr(0))])} of the file is NUL: the file is no text, or UTF-16"
        )
    if not text.isascii() and (wrong := _NOT_UTF8.search(text)):
        byte, place = ord(wrong[0]) - 0xDC00, position + _bytes(text[: wrong.start()])
        return f"byte {place} of the file, 0x{byte:02X}, is not UTF-8"
    return ""


def reject_line(reader: Reader, path: str | Path, line: Line) -> bool:
    """Refuses a line that has a problem; returns whether it has one."""
    if line.problem:
        reader.reject(path, line.number, line.problem, expected="text in UTF-8", fix=_CONVERT)
    return bool(line.problem)


def expand(pattern: str, codes: Sequence[str], *, files: bool = True) -> list[tuple[str, str]]:
    """Returns the path and the language of each file that a pattern stands for.

    `{language}` is replaced with the code as it is given, `{iso639_3}` with its three-letter code, `{language_name}`
    with its English name in small letters with `_` for spaces. The prefix `sample:` means data that comes with tfxl.

    Args:
        pattern: A path. Without a placeholder it is one file, whose language is the only one given or else unknown:
            its rows may name theirs.
        codes: Language codes, in the order of the answer.
        files: Whether each path must be a file that exists; False for names on a hub.

    Raises:
        RecipeError: A placeholder is unknown, or there is no language to put in.
        DataError: A file is missing.
    """
    used = _placeholders(pattern)
    if not used:
        pairs = [(pattern.format(), codes[0] if len(set(codes)) == 1 else UNKNOWN_LANGUAGE)]
    else:
        pairs = [(pattern.format_map(_names(code, pattern, used)), code) for code in dict.fromkeys(codes)]
    if not pairs:
        raise RecipeError(f"{pattern!r} with no languages", expected="at least one language", fix="Name languages.")
    if not (files or pattern.startswith(SAMPLE)):
        return pairs
    return [(_existing(path, code), code) for path, code in pairs]


def _placeholders(pattern: str) -> set[str]:
    try:
        parts = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
        wrong = next((name for _, name, form, turn in parts if name not in PLACEHOLDERS or form or turn), None)
    except ValueError:
        parts, wrong = [], ""
    if wrong is None:
        return {str(name) for _, name, _, _ in parts}
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    raise RecipeError(
        f"path {pattern!r}" + (f": {{{wrong}}} cannot be replaced" if wrong else ""),
        expected=f"only {known} in braces",
        fix=f"{did_you_mean(wrong, PLACEHOLDERS)}Rename it; write {{{{ and }}}} for braces that belong to the path.",
    )


def _names(code: str, pattern: str, used: set[str]) -> dict[str, str]:
    language = languages.find(code)
    name = language.name.lower().replace(" ", "_")
    names = {"language": code, "iso639_3": language.iso639_3, "language_name": name}
    for placeholder in sorted(used):
        if not names[placeholder]:
            raise RecipeError(
                f"path {pattern!r}: the {placeholder} of language {code!r} is not known",
                expected="a language that tfxl knows by that",
                fix="Use {language} in the path.",
            )
    return names


def _existing(path: str, code: str) -> str:
    place = samples.folder() / path.removeprefix(SAMPLE) if path.startswith(SAMPLE) else Path(path)
    if not place.exists():
        raise _no_such_file(place, "" if code == UNKNOWN_LANGUAGE else code)
    return str(place)


def _no_such_file(path: Path, code: str) -> DataError:
    folder = path.parent
    beside = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    hint = did_you_mean(path.name, beside) if beside else f"There is no folder {folder} either. "
    return DataError(
        f"{path}: there is no such file" + (f" for language {code!r}" if code else ""),
        expected="a file that exists" + (" for each language" if code else ""),
        fix=f"{hint}Correct the path" + (" or the list of languages." if code else "."),
    )
