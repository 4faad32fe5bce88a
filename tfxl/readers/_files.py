"""Files of text: which files a path stands for, and what they hold."""

from __future__ import annotations

import gzip
import io
import json
import re
import string
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tfxl import languages, samples
from tfxl.errors import DataError, RecipeError, did_you_mean
from tfxl.example import UNKNOWN_LANGUAGE

ENCODING = "utf-8"
MAX_CHARACTERS = 10_000_000
"""The longest line or row that is read; a longer one comes from a quote that nobody closed, or is no text."""

SAMPLE = "sample:"
"""The prefix of a path to data that comes with tfxl."""

PLACEHOLDERS = ("language", "iso639_3", "language_name", "task")

CONVERT = (
    "Convert the file: iconv -f OLD -t UTF-8 FILE > NEW, where OLD is what it was saved in, such as windows-1252, "
    "windows-1251, gb18030 or UTF-16."
)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how the "surrogateescape" handler marks a byte that it could not decode
_OTHER_UNICODE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # byte order marks of UTF-16 and UTF-32


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
    with _opened(path) as stream:
        yield from _checked_lines(io.TextIOWrapper(stream, ENCODING, errors="surrogateescape", newline=""))


def whole(path: str | Path) -> str:
    """Returns the text of a UTF-8 file, plain or gzipped (`.gz`), for formats that cannot be read line by line.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    with _opened(path) as stream:
        content = stream.read()
    try:
        return content.decode(ENCODING).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} of the file, 0x{content[error.start]:02X}, is not UTF-8",
            expected="text in UTF-8",
            fix=CONVERT,
        ) from None


def json_object(text: str) -> dict[str, Any]:
    """Returns a JSON object; its numbers stay text, so that 1.0 and 1e5 remain the names that they are.

    Raises:
        ValueError: The text is no JSON, or no object; the message says why.
    """
    try:
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Opens a file, gzipped if its name says so, and tells what is wrong with one that cannot be read."""
    try:
        with gzip.open(path) if Path(path).suffix == ".gz" else Path(path).open("rb") as stream:
            if stream.peek(4).startswith(_OTHER_UNICODE):
                raise DataError(f"{path} begins with a mark of UTF-16 or UTF-32", expected="UTF-8", fix=CONVERT)
            yield stream
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


def expand(pattern: str, codes: Sequence[str], *, files: bool = True) -> list[tuple[str, str]]:
    """Returns the path and the language of each file that a pattern stands for.

    `{language}` is replaced with the code as it is given, `{iso639_3}` with its three-letter code, `{language_name}`
    with its English name in small letters with `_` for spaces; `{task}` stays for the reader `by_task`. The
    prefix `sample:` means data that comes with tfxl.

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
    if used <= {"task"}:
        pairs = [(pattern.format(task="{task}"), codes[0] if len(set(codes)) == 1 else UNKNOWN_LANGUAGE)]
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
    names = {"language": code, "iso639_3": language.iso639_3, "language_name": name, "task": "{task}"}
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
