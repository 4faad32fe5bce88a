"""Reads plain text, a text a line; with a second file, pairs of lines that belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tfxl.errors import DataError
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers import Line, Reader, expand, lines, reject_line


class Parallel(Reader):
    """Reads line-aligned files (translations, as NTREX has them), plain or gzipped (`.gz`).

    Line n of the path is `text`, line n of the file that `other` names is `second_text`. Use it for retrieval and
    similarity; for pairs in one table use `csv`. Without `other` each line of the path is a text of its own. Lines that
    are blank on both sides are passed over; one that is blank on one side is no pair, and refused.

    Example:
        >>> example = next(Parallel(other="ntrex/eng.txt").read("ntrex/deu.txt.gz", language="de"))
        >>> example.second_text
        "Welsh AMs worried about 'looking like muppets'"
    """

    class Settings(Reader.Settings):
        """Where the other side stands."""

        other: str = ""
        """The path of the second side; it may hold the same placeholders as paths in recipes, such as `{language}`."""
        language: Literal[""] = ""
        """Cannot be set: a line is text alone."""

    settings: Settings

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the pairs of the two files."""
        return self.some(path, self._examples(path, language))

    def _examples(self, path: str | Path, language: str) -> Iterator[Example]:
        ((other, _),) = expand(self.settings.other, [language]) if self.settings.other else [("", "")]
        for first, second in _paired(str(path), other):
            text, second_text = first.text.strip(), second.text.strip() if second else None
            if not (text or second_text) or reject_line(self, path, first):
                continue
            if second and reject_line(self, other, second):
                continue
            if not text or second_text == "":
                blank = other if text else path
                self.reject(blank, first.number, "a blank line, but none on the other side", expected="text in both")
                continue
            place = f"{path}:{first.number}"
            yield Example(text, second_text, language=language, id=place, source=place)


def _paired(path: str, other: str) -> Iterator[tuple[Line, Line | None]]:
    """Yields the lines of two files by number; the second ones are None if there is one file only."""
    if not other:
        yield from ((line, None) for line in lines(path))
        return
    sides = lines(path), lines(other)
    for pair in itertools.zip_longest(*sides):
        first, second = pair
        if first is None or second is None:
            # The longer file is read to its end, so that both counts can be told.
            rest = sum(1 for side in sides for _ in side)
            ended, longest = (path, other) if first is None else (other, path)
            number = (first or second).number
            raise DataError(
                f"{ended} has {number - 1} lines, {longest} has {number + rest}",
                expected="files with the same number of lines, line n of each belonging together",
                fix="Name the two sides of the same text, or correct the file that lacks lines.",
            )
        yield first, second
