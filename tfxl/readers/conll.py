"""Reads words in columns: one word a line with its tags, a blank line after each sentence (CoNLL)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers import Reader
from tfxl.readers._sentences import BLANK_WORD, Sentence, join, keyed, sentences

Place = int | str
"""A column, counted from 1, or from the end with -1 for the last; or a comment, written `# key`."""

_COLUMN = re.compile(r"-?[1-9]\d*")
_SPACE = re.compile("[ \t]+")
_DOCUMENT = "-DOCSTART-"
_COMMENTS = ("text", "language", "domain", "id")


class Conll(Reader):
    """Reads sentences of tagged words: entities, parts of speech, slots; plain or gzipped (`.gz`).

    Columns stand apart by tabs, or by spaces in lines without a tab. `# key = value` and `# key: value` above a
    sentence are comments; `-DOCSTART-` lines are passed over. For the ten columns of Universal Dependencies use
    `conllu`.

    Example:
        >>> reader = Conll(words=2, label={"intent": "# intent", "slots": 4})
        >>> example = next(reader.read("xsid/de.valid.conll", language="de"))
    """

    class Settings(Reader.Settings):
        """Where words, tags and the rest stand: a column's number, or a comment as `# key`. Empty means nowhere."""

        words: int = 1
        """The column of the words, counted from 1; from the end with -1 for the last."""
        label: Place | dict[str, Place] = -1
        """The column of the tags, or a comment; for several tasks a table, as `{intent = "# intent", slots = 4}`."""
        text: str = ""
        """A comment with the text as it was written, for spaces as they were; used where it is the words in order."""
        language: str = ""
        """A comment with the sentence's language."""
        domain: str = ""
        """A comment with the sentence's domain."""
        id: str = ""
        """A comment with the sentence's id."""

        @field_validator("words")
        @classmethod
        def _is_a_column(cls, value: int) -> int:
            if not value:
                raise ValueError("a column counted from 1, or from the end with -1 for the last")
            return value

        @field_validator("label")
        @classmethod
        def _are_places(cls, value: Place | dict[str, Place]) -> Place | dict[str, Place]:
            for place in value.values() if isinstance(value, dict) else [value]:
                if not (_COLUMN.fullmatch(str(place)) or _key(str(place)) or place == ""):
                    raise ValueError('a column counted from 1 (or from the end, -1), or a comment such as "# intent"')
            return value

        @field_validator("text", "language", "domain", "id")
        @classmethod
        def _is_a_comment(cls, value: str) -> str:
            if value and not _key(value):
                raise ValueError('a comment such as "# text"')
            return value

    settings: Settings

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the sentences of one file."""
        return self.some(path, self._examples(path, language))

    def _examples(self, path: str | Path, language: str) -> Iterator[Example]:
        table = _Table(columns=[self.settings.words, *map(int, filter(_is_column, self._labels().values()))])
        # Marks of documents are passed over before columns are counted: theirs need not be those of words.
        found = sentences(self, path, table.is_comment, expected=table.expected, is_passed_over=_is_document)
        for sentence in found:
            rows = self._rows(path, sentence, table)
            if rows and (example := self._example(path, sentence, rows, language)):
                yield example

    def _rows(self, path: str | Path, sentence: Sentence, table: _Table) -> list[list[str]]:
        """Returns the cells of each word; none if one of the lines is wrong."""
        rows = []
        for line, text in sentence.rows:
            try:
                rows.append(table.cells(text))
            except ValueError as error:
                fix = "Correct the line (columns stand apart by tabs or, where the first line has none, by spaces)"
                self.reject(path, line, str(error), expected=table.expected, fix=fix)
                return []
        return rows

    def _example(self, path: str | Path, sentence: Sentence, rows: list[list[str]], language: str) -> Example | None:
        told, place = self.settings, f"{path}:{sentence.line}"
        words = tuple(_cells(rows, told.words, blank=BLANK_WORD))
        try:
            labels = {task: _label(sentence, rows, place) for task, place in self._labels().items()}
        except ValueError as error:
            self.reject(path, sentence.line, str(error), expected="what the label setting names, in every sentence")
            return None
        found = {field: sentence.comments.get(_key(getattr(told, field)), "") for field in _COMMENTS}
        language = found["language"] or language
        return Example(
            text=join(words, language, written=found["text"]),
            label=labels if isinstance(told.label, dict) else labels.get(""),
            language=language,
            domain=found["domain"],
            id=found["id"] or place,
            source=place,
            words=words,
        )

    def _labels(self) -> dict[str, Place]:
        """Returns the place of each task's label; the task of a single label is an empty name."""
        label = self.settings.label
        return {task: place for task, place in (label if isinstance(label, dict) else {"": label}).items() if place}


class _Table:
    """The columns of one file, which are as many in each line as in the first one."""

    def __init__(self, columns: Sequence[int]) -> None:
        self._least = max(*(abs(column) for column in columns), len(set(columns)))
        self._width, self._tabs = 0, False
        self.expected = f"a line of at least {self._least} columns for each word, and a blank line after each sentence"

    def is_comment(self, text: str) -> bool:
        """Whether a line above a sentence is a comment. A word may begin with `#` too: then it has its columns."""
        if text.startswith("# ") and keyed(text):
            return True
        columns = len(_SPACE.split(text.strip(" ")))
        return text.startswith("#") and "\t" not in text and (self._tabs or columns != (self._width or self._least))

    def cells(self, text: str) -> list[str]:
        """Returns the cells of a line; raises ValueError if they are too few, or not as many as in the first line."""
        tabs = self._tabs if self._width else "\t" in text
        cells = [cell.strip() for cell in (text.split("\t") if tabs else _SPACE.split(text.strip(" \t")))]
        if len(cells) < self._least or self._width not in (0, len(cells)):
            wanted = self._width or f"at least {self._least}"
            raise ValueError(f"{len(cells)} column{'s' * (len(cells) != 1)}, not {wanted}")
        self._width, self._tabs = len(cells), tabs
        return cells


def _label(sentence: Sentence, rows: list[list[str]], place: Place) -> Any:
    """Returns the tags in a column, or the value of a comment."""
    if _is_column(place):
        tags = tuple(_cells(rows, int(place)))
        if "" in tags:
            raise ValueError(f"word {tags.index('') + 1} of the sentence has no tag in column {place}")
        return tags
    if _key(str(place)) not in sentence.comments:
        known = ", ".join(f"# {key}" for key in sentence.comments) or "none"
        raise ValueError(f"no comment {place!r} above the sentence (there are: {known})")
    return sentence.comments[_key(str(place))] or None


def _cells(rows: list[list[str]], column: int, *, blank: str = "") -> list[str]:
    return [row[column - (column > 0)] or blank for row in rows]


def _is_document(text: str) -> bool:
    return _SPACE.split(text.strip(" \t"), maxsplit=1)[0] == _DOCUMENT


def _is_column(place: Place) -> bool:
    return _COLUMN.fullmatch(str(place)) is not None


def _key(place: str) -> str:
    """Returns the key of a comment written as `# key`; empty if it is none."""
    return place[1:].strip() if place.startswith("#") else ""
