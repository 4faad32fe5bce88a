"""Reads JSON Lines: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfxl.readers import RowReader, json_object, lines, reject_line

_RIGHT = 'one JSON object a line, such as {"text": "…", "label": "…"}'


class Jsonl(RowReader):
    """Reads files with one JSON object a line, plain or gzipped (`.gz`). For tables use `csv`.

    Numbers and truth values become text as they are written: a label 1 is the label `"1"`.
    """

    def rows(self, path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number and the object of each line."""
        for line in lines(path):
            if not line.text.strip() or reject_line(self, path, line):
                continue
            try:
                yield line.number, json_object(line.text)
            except ValueError as error:
                fix = "Correct the row"
                if line.number == 1 and line.text.lstrip().startswith("["):
                    fix = "Convert a file that is one JSON array: jq -c '.[]' FILE > NEW"
                self.reject(path, line.number, str(error), expected=_RIGHT, fix=fix)
