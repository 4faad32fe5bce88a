"""Reads data sets of the Hugging Face Hub, or local folders in its layout, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tfxl.errors import DataError, InstallationError
from tfxl.readers import RowReader

Namer = Callable[[Any], Any]
"""Turns the numbers of labels in a value into names."""


class Huggingface(RowReader):
    """Streams a data set; the path is its name, `NAME`, `NAME:SUBSET` or `NAME:SUBSET:SPLIT`.

    `facebook/xnli:de:validation` is one. Without a split it is `train`; without a subset (`NAME::SPLIT`) the data set
    chooses. Labels that are stored as numbers with names become the names. Needs the extra `tfxl[huggingface]`, and a
    network unless the data set is cached or a local folder.
    """

    reads_files = False

    def rows(self, path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each row, counted from 1, and its values by column name."""
        data = _load(str(path))
        names = _label_names(data)
        absent, fix = self.missing(data.column_names or self.columns.values())
        if absent:
            known = ", ".join(repr(name) for name in data.column_names)
            raise DataError(f"{path}: no column {absent!r}", expected=f"one of the columns {known}", fix=fix)
        rows = iter(data)
        number = 0
        while (row := _guard(str(path), lambda: next(rows, None))) is not None:
            number += 1
            yield number, _in_table(names, row)


def _load(path: str) -> Any:
    try:
        import datasets  # takes seconds, and may be absent
    except ImportError:
        raise InstallationError(
            "the package datasets is not installed",
            expected="datasets 3 or later, which reads the Hugging Face Hub",
            fix='pip install "tfxl[huggingface]"',
        ) from None
    name, _, rest = path.partition(":")
    subset, _, split = rest.partition(":")
    return _guard(path, lambda: datasets.load_dataset(name, subset or None, split=split or "train", streaming=True))


def _guard(path: str, step: Callable[[], Any]) -> Any:
    """Does a step of the library; it raises errors of many libraries below it, so all of them are caught here."""
    try:
        return step()
    except (ConnectionError, TimeoutError) as error:
        raise DataError(
            f"data set {path!r}: no connection to the Hugging Face Hub ({_first_line(error)})",
            expected="a network, a data set that is cached, or a local folder",
            fix="Check the network, or download the data set elsewhere and name its folder.",
        ) from error
    except Exception as error:
        raise DataError(
            f"data set {path!r}: {_first_line(error)}",
            expected="NAME, NAME:SUBSET or NAME:SUBSET:SPLIT of a data set that exists",
            fix="Correct the name, subset or split; the data set's page lists them.",
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _label_names(data: Any) -> dict[str, Namer]:
    """Returns for each column with numbered labels what turns the numbers into names."""
    return _namers(data.features or {})


def _namers(kinds: Mapping[str, Any]) -> dict[str, Namer]:
    namers = {name: _namer(kind) for name, kind in kinds.items()}
    return {name: namer for name, namer in namers.items() if namer}


def _namer(kind: Any) -> Namer | None:
    """Returns what turns the numbers in a kind of column into names, also in lists and tables; None for other kinds."""
    if hasattr(kind, "int2str"):
        return partial(_name, kind)
    if isinstance(kind, Mapping):
        namers = _namers(kind)
        return partial(_in_table, namers) if namers else None
    # datasets before 4 also writes a list of a kind as [kind].
    inner = kind[0] if isinstance(kind, list) and kind else getattr(kind, "feature", None)
    namer = None if inner is None else _namer(inner)
    if namer is None:
        return None
    # datasets before 4 also makes a table of lists of a list of tables.
    turned = _namer({name: [each] for name, each in inner.items()}) if isinstance(inner, Mapping) else None
    return partial(_in_list, namer, turned or namer)


def _in_list(namer: Namer, turned: Namer, values: Any) -> Any:
    if isinstance(values, Mapping):
        return turned(values)
    return None if values is None else [namer(value) for value in values]


def _in_table(namers: Mapping[str, Namer], values: Any) -> Any:
    return None if values is None else {name: namers.get(name, _same)(value) for name, value in values.items()}


def _name(kind: Any, value: int | None) -> str | None:
    return None if value is None or value < 0 else kind.int2str(value)  # the Hub's sets write -1 for unlabelled


def _same(value: Any) -> Any:
    return value
