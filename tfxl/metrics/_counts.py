"""Scores from counts: means, and precision, recall and F1 of what is gold, what is predicted, and what is both."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from typing import Any, Literal

import numpy as np

Measure = Literal["f1", "precision", "recall"]


def mean(sums: np.ndarray) -> np.ndarray:
    """Returns the first number over the second of sums `[…, 2]`; nan where the second is 0."""
    total, number = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def label_set(label: Any) -> frozenset[Hashable]:
    """Returns the labels of one row: a list or tuple holds several, anything else is one."""
    return frozenset(label if isinstance(label, list | tuple | set | frozenset) else [label])


def counts(gold: Sequence[Set[Any]], predicted: Sequence[Set[Any]]) -> np.ndarray:
    """Returns `[rows, 3]` float64: how many of a row's things are gold, predicted, and both."""
    pairs = zip(gold, predicted, strict=True)
    rows = [(len(expected), len(answered), len(expected & answered)) for expected, answered in pairs]
    return np.array(rows, dtype=float).reshape(-1, 3)


def counts_by_kind(gold: Sequence[Set[Any]], predicted: Sequence[Set[Any]], kinds: Sequence[Any]) -> np.ndarray:
    """Returns `[rows, 3 x kinds]` float64: `counts` for each kind; all that are gold first, then predicted, then both.

    Args:
        gold: The right things of each row, as (kind, …).
        predicted: The predicted things of each row, as (kind, …).
        kinds: The kinds, in the order of the columns.
    """
    columns = {kind: index for index, kind in enumerate(kinds)}
    table = np.zeros((len(gold), 3, len(columns)))
    for row, (expected, answered) in enumerate(zip(gold, predicted, strict=True)):
        for group, things in enumerate((expected, answered, expected & answered)):
            for thing in things:
                table[row, group, columns[thing[0]]] += 1
    return table.reshape(len(gold), 3 * len(columns))


def score(gold: np.ndarray, predicted: np.ndarray, both: np.ndarray, measure: Measure = "f1") -> np.ndarray:
    """Returns a measure of counts `[…]`: 0 where it would divide by 0, but nan where nothing is gold or predicted."""
    above, below = {"f1": (2 * both, gold + predicted), "precision": (both, predicted), "recall": (both, gold)}[measure]
    values = np.divide(above, below, out=np.zeros(np.shape(both)), where=below > 0)
    return np.where(gold + predicted > 0, values, np.nan)


def micro(sums: np.ndarray, measure: Measure = "f1") -> np.ndarray:
    """Returns the measure `[…]` of sums of `counts` `[…, 3]`."""
    gold, predicted, both = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    return score(gold, predicted, both, measure)


def macro(sums: np.ndarray, measure: Measure = "f1") -> np.ndarray:
    """Returns the mean `[…]` of the measure over the kinds that occur, of sums of `counts_by_kind`."""
    gold, predicted, both = np.split(np.asarray(sums, dtype=float), 3, axis=-1)
    values = score(gold, predicted, both, measure)
    present = ~np.isnan(values)
    number = present.sum(axis=-1)
    total = np.where(present, values, 0).sum(axis=-1)
    return np.divide(total, number, out=np.full(np.shape(number), np.nan), where=number > 0)
