"""Readers turn files (or a hub's data sets) into examples; the file name is the recipe's `reader`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tfxl.errors import DataError
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.registry import Part

ENCODING = "utf-8"


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

        text: str = "text"
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

    def reject(self, path: str | Path, line: int, reason: str, *, expected: str) -> None:
        """Refuses a row: raises, or notes it in `skipped` when the settings say so.

        Args:
            path: The file.
            line: The line, counted from 1.
            reason: What is wrong with the row.
            expected: What a right row looks like.
        """
        if self.settings.on_error == "raise":
            raise DataError(
                f"{path}, line {line}: {reason}",
                expected=expected,
                fix='Correct the row, or set on_error = "skip" for the reader to count and report such rows.',
            )
        self.skipped.append(BadRow(str(path), line, reason))
