"""Readers turn files (or a hub's data sets) into examples; the file name is the recipe's `reader`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from tfxl.errors import DataError, did_you_mean
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers._files import (
    CONVERT,
    ENCODING,
    MAX_CHARACTERS,
    PLACEHOLDERS,
    SAMPLE,
    Line,
    expand,
    json_object,
    lines,
    whole,
)
from tfxl.registry import Part

__all__ = [
    "CONVERT",
    "ENCODING",
    "MAX_CHARACTERS",
    "PLACEHOLDERS",
    "SAMPLE",
    "BadRow",
    "Line",
    "Reader",
    "RowReader",
    "as_text",
    "expand",
    "json_object",
    "lines",
    "reject_line",
    "whole",
]


class BadRow(NamedTuple):
    """A row that was skipped: where it stands and why it could not be read."""

    path: str
    line: int
    reason: str


class Reader(Part):
    """Reads examples one after another; never holds a whole file unless its format leaves no choice.

    Rows that cannot be read are an error; with `on_error = "skip"` they are kept in `skipped` instead.
    """

    class Settings(Part.Settings):
        """Where a row says its language, and what to do with a bad row."""

        language: str = ""
        """What holds a row's language; empty if the file is of one language."""
        on_error: Literal["raise", "skip"] = "raise"
        """`skip` goes on after a row that cannot be read, and counts and reports it."""

    settings: Settings
    reads_files = True
    """False for readers whose path is a name elsewhere, such as a data set on a hub."""

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self.skipped: list[BadRow] = []

    @property
    def names_languages(self) -> bool:
        """Whether rows say their language themselves."""
        return bool(self.settings.language)

    def check(self, path: str | Path) -> None:
        """Looks for what can be seen to be wrong before anything is read; most readers leave that to `read`.

        Raises:
            DataError: A file is missing.
        """

    @abstractmethod
    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the examples of one file.

        Args:
            path: The file.
            language: The language of rows that name none themselves.

        Raises:
            DataError: The file is missing, unreadable or empty, a column is missing, or a row is wrong.
        """

    def reject(
        self,
        path: str | Path,
        line: int,
        reason: str,
        *,
        expected: str,
        fix: str = "Correct the row",
        unit: str = "line",
    ) -> None:
        """Refuses a row: raises, or notes it in `skipped` when the settings say so.

        Args:
            path: The file.
            line: The line, counted from 1.
            reason: What is wrong with the row.
            expected: What a right row looks like.
            fix: How to mend the row, without a full stop at the end.
            unit: What `line` counts, in formats whose lines mean nothing.
        """
        if self.settings.on_error == "raise":
            raise DataError(
                f"{path}, {unit} {line}: {reason}",
                expected=expected,
                fix=f'{fix.rstrip(".")}, or set on_error = "skip" for the reader to count and report such rows.',
            )
        self.skipped.append(BadRow(str(path), line, reason))

    def some(self, path: str | Path, examples: Iterable[Example]) -> Iterator[Example]:
        """Yields the examples of a file, and refuses a file that gives none."""
        earlier, found = len(self.skipped), False
        for example in examples:
            found = True
            yield example
        if not found:
            raise _nothing_read(path, self.skipped[earlier:])


class RowReader(Reader):
    """A reader of rows that are named values, one example a row. A part of this kind supplies `rows` alone."""

    class Settings(Reader.Settings):
        """Which columns hold what. An empty name means: there is no such column."""

        text: str = Field("text", min_length=1)
        second_text: str = ""
        label: str | dict[str, str] = "label"
        """The column of the label; for several tasks at once a table of them, such as `{intent = "intent"}`."""
        language: str = ""
        domain: str = ""
        id: str = ""
        choices: tuple[str, ...] = ()
        """The columns of the texts to choose from, or one column that holds a list of them."""

    settings: Settings

    @abstractmethod
    def rows(self, path: str | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yields the line and the values by column name of each row; refuses those it cannot read with `reject`."""

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the examples of one file; blank lines are the only thing that is passed over."""
        found = (self._example(path, line, values, language) for line, values in self.rows(path))
        return self.some(path, (example for example in found if example is not None))

    @property
    def label_columns(self) -> dict[str, str]:
        """The column of each task's label; the task of a single label is an empty name."""
        label = self.settings.label
        return {task: column for task, column in (label if isinstance(label, dict) else {"": label}).items() if column}

    @property
    def columns(self) -> dict[str, str]:
        """The column of each thing that is read (`text`, `label.slots`, `choices.0`), without those that have none."""
        named = {field: getattr(self.settings, field) for field in ("text", "second_text")}
        named |= {f"label.{task}".rstrip("."): column for task, column in self.label_columns.items()}
        named |= {field: getattr(self.settings, field) for field in ("language", "domain", "id")}
        named |= {f"choices.{index}": column for index, column in enumerate(self.settings.choices)}
        return {field: column for field, column in named.items() if column}

    def missing(self, present: Iterable[str]) -> tuple[str, str]:
        """Returns which column is not among the present ones and how to mend it, or empty strings."""
        known = list(present)
        for field, column in self.columns.items():
            if column not in known:
                without = "" if field == "text" or "." in field else f', or set {field} = "" if there is none'
                return column, f"{did_you_mean(column, known)}Set {field} to the name of a column{without}."
        return "", ""

    def _example(self, path: str | Path, line: int, values: Mapping[str, Any], language: str) -> Example | None:
        absent, fix = self.missing(values)
        if absent:
            known = ", ".join(repr(name) for name in values)
            self.reject(path, line, f"no column {absent!r}", expected=f"one of the columns {known}", fix=fix)
            return None
        try:
            fields = {field: self._value(field, values[column]) for field, column in self.columns.items()}
        except ValueError as error:
            right = "text, a number, true or false in each column that is read; in those of labels also a list of them"
            self.reject(path, line, str(error), expected=right)
            return None
        return Example(
            text=fields["text"],
            second_text=fields.get("second_text"),
            label=self._label(fields),
            language=fields.get("language") or language,
            domain=fields.get("domain") or "",
            id=fields.get("id") or f"{path}:{line}",
            source=f"{path}:{line}",
            choices=tuple(text for field in fields if field.startswith("choices.") for text in fields[field]),
        )

    def _value(self, field: str, value: Any) -> Any:
        """Returns what a column holds: text, None, or a tuple of texts where lists are allowed."""
        column, group = self.columns[field], field.partition(".")[0]
        if group in ("label", "choices") and isinstance(value, list | tuple):
            texts = [as_text(item, column) for item in value]
            if None in texts:
                raise ValueError(f"column {column!r} holds a list with null in it")
            return tuple(texts)
        text = as_text(value, column)
        if text is None and group in ("text", "second_text", "choices"):
            raise ValueError(f"column {column!r} is null")
        return (text,) if group == "choices" else text

    def _label(self, fields: Mapping[str, Any]) -> Any:
        """Returns the label, or the labels by task; None where there is none (an empty list is a label)."""
        labels = {task: fields[f"label.{task}".rstrip(".")] for task in self.label_columns}
        labels = {task: None if label == "" else label for task, label in labels.items()}
        if not isinstance(self.settings.label, dict):
            return labels.get("")
        return labels if any(label is not None for label in labels.values()) else None


def as_text(value: Any, name: str) -> str | None:
    """Returns a string, number or truth value as it would stand in a text file; None stays None.

    Args:
        value: What a format such as JSON holds.
        name: What to call the place in a message.

    Raises:
        ValueError: It is something else, or no text that can be encoded.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(f"column {name!r} holds a {type(value).__name__}")
    text = str(value)
    try:
        text.encode(ENCODING)
    except UnicodeEncodeError as error:
        raise ValueError(f"column {name!r} holds half of a surrogate pair, U+{ord(text[error.start]):04X}") from None
    return text


def _nothing_read(path: str | Path, skipped: Sequence[BadRow]) -> DataError:
    if skipped:
        return DataError(
            f"{path}: none of its {len(skipped)} rows could be read; line {skipped[0].line}: {skipped[0].reason}",
            expected="at least one right row",
            fix="Correct the file or the reader's settings.",
        )
    return DataError(f"{path} holds no rows", expected="at least one row", fix="Name a file that holds data.")


def reject_line(reader: Reader, path: str | Path, line: Line) -> bool:
    """Refuses a line that has a problem; returns whether it has one."""
    if line.problem:
        reader.reject(path, line.number, line.problem, expected="text in UTF-8", fix=CONVERT)
    return bool(line.problem)
