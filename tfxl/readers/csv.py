"""Reads tables with a header: comma-separated values (RFC 4180), and tab-separated values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tfxl.errors import DataError, did_you_mean
from tfxl.readers import MAX_CHARACTERS, Line, RowReader, lines, reject_line

_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')
_RIGHT = 'fields without quotes, or "quoted" as a whole with "" for a quote inside'
_FIX = "Correct the quotes, or set quoting = false if quotes are ordinary characters in this file"


class Csv(RowReader):
    """Reads files in which a row is a line (or several, inside quotes) and the first row names the columns.

    Use it for `.csv` and `.tsv`, plain or gzipped. For files with one JSON object a line use `jsonl`.
    """

    class Settings(RowReader.Settings):
        """How the table is written.

        An empty `delimiter` means a tab for files named `.tsv` or `.tab`, else a comma. `quoting` that is not set means
        yes, except with tabs, where a quote is usually just a character. `columns` names the columns of a file that has
        no header. `label_separator` stands between the labels of a cell that holds several; for labels of several tasks
        it may be a table by task. An empty cell then means: no label applies.
        """

        delimiter: str = Field("", max_length=1)
        quoting: bool | None = None
        columns: tuple[str, ...] = ()
        label_separator: str | dict[str, str] = ""

        @field_validator("delimiter")
        @classmethod
        def _is_no_quote(cls, value: str) -> str:
            if value in ('"', "\n", "\r") and value:
                raise ValueError('one character other than a quote or a line break, such as ";"')
            return value

    settings: Settings

    def rows(self, path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the line at which each row begins, and its values by column name."""
        header = list(self.settings.columns)
        if header:
            self._check_header(path, header)
        for number, fields in self._records(path):
            if not header:
                header = fields
                self._check_header(path, header)
            elif len(fields) == len(header):
                yield number, self._split(dict(zip(header, fields, strict=True)))
            else:
                self.reject(
                    path,
                    number,
                    f"{len(fields)} field{'s' * (len(fields) != 1)}",
                    expected=f"{len(header)} fields: {', '.join(header)}",
                    fix="Correct the row (a field that holds a delimiter must stand in quotes)",
                )

    def _split(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns a row with a list in each label column that holds several labels."""
        told = self.settings.label_separator
        for task, column in self.label_columns.items():
            if separator := told.get(task, "") if isinstance(told, dict) else told:
                labels = [label.strip() for label in values[column].split(separator)]
                values[column] = [label for label in labels if label]
        return values

    def _delimiter(self, path: str | Path) -> str:
        is_tabbed = Path(str(path).removesuffix(".gz")).suffix.lower() in (".tsv", ".tab")
        return self.settings.delimiter or ("\t" if is_tabbed else ",")

    def _check_header(self, path: str | Path, header: list[str]) -> None:
        absent, fix = self.missing(header)
        known = ", ".join(repr(name) for name in header)
        if absent:
            if len(header) == 1 and (other := re.search(r"[;\t|,]", header[0])):
                fix = f"Set delimiter = {other[0]!r} for the reader: the header has it."
            raise DataError(f"{path}: no column {absent!r}", expected=f"one of the columns {known}", fix=fix)
        for name in self.columns.values():
            if header.count(name) > 1:
                raise DataError(
                    f"{path}: {header.count(name)} columns are called {name!r}",
                    expected="one column of each name",
                    fix=f"{did_you_mean(name, set(header) - {name})}Rename the others.",
                )

    def _records(self, path: str | Path) -> Iterator[tuple[int, list[str]]]:
        """Yields the first line and the fields of each row, the header included."""
        delimiter, quoting = self._delimiter(path), self.settings.quoting
        parser = _Parser(delimiter, quoting=delimiter != "\t" if quoting is None else quoting)
        source = _Source(lines(path))
        for line in source:
            if not line.text.strip(" \r\n"):
                continue
            source.taken.clear()
            try:
                fields = parser.fields(line, source)
            except _MalformedError as error:
                if error.is_open:  # only the line with the open quote is wrong; what was looked through is not lost
                    source.rewind()
                reason = f"{error} (the row ends at line {source.number})" if source.taken else str(error)
                self.reject(path, line.number, reason, expected=_RIGHT, fix=_FIX)
                continue
            wrong = next((part for part in (line, *source.taken) if part.problem), None)
            if wrong is None:
                yield line.number, fields
            else:
                reject_line(self, path, wrong)


class _MalformedError(ValueError):
    """A row breaks the quoting rules; `is_open` if a quote is never closed."""

    def __init__(self, reason: str, *, is_open: bool = False) -> None:
        super().__init__(reason)
        self.is_open = is_open


class _Source(Iterator[Line]):
    """Lines that can be given back: `taken` holds those read since it was cleared."""

    def __init__(self, source: Iterator[Line]) -> None:
        self._source, self._back, self.taken, self.number = source, list[Line](), list[Line](), 0

    def __next__(self) -> Line:
        line = self._back.pop() if self._back else next(self._source)
        self.taken.append(line)
        self.number = line.number
        return line

    def rewind(self) -> None:
        self._back.extend(reversed(self.taken))
        self.taken.clear()


class _Parser:
    """Cuts a row into fields, taking further lines where a quoted field goes on."""

    def __init__(self, delimiter: str, *, quoting: bool) -> None:
        self._delimiter, self._quoting = delimiter, quoting
        self._plain = re.compile(rf'[^"\r\n{re.escape(delimiter)}]*')

    def fields(self, line: Line, following: Iterator[Line]) -> list[str]:
        text = line.text
        if not self._quoting or '"' not in text:
            return text.rstrip("\r\n").split(self._delimiter)
        fields, position = list[str](), 0
        while True:
            if text.startswith('"', position):
                field, text, position = self._quoted(text, position + 1, following)
            else:
                match = self._plain.match(text, position)
                field, position = (match[0], match.end()) if match else ("", position)
            fields.append(field)
            if not text[position:].strip("\r\n"):
                return fields
            if text[position] != self._delimiter:
                wrong = "a quote inside a field" if text[position] == '"' else "text after a closing quote"
                raise _MalformedError(f"{wrong}, field {len(fields)}")
            position += 1

    @staticmethod
    def _quoted(text: str, position: int, following: Iterator[Line]) -> tuple[str, str, int]:
        """Returns a quoted field, the line that it ends in, and the place after its closing quote."""
        parts, size = list[str](), 0
        while True:
            match = _QUOTED.match(text, position)
            end = match.end() if match else position
            parts.append(text[position:end])
            size += end - position
            if end < len(text):
                return "".join(parts).replace('""', '"'), text, end + 1
            line = next(following, None)
            if line is None or size > MAX_CHARACTERS:
                raise _MalformedError("a quote is opened and never closed", is_open=True)
            text, position = line.text, 0
