"""Which labels are taken for which: confusion matrices, and precision, recall and F1 of each label."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How well one label is told apart; nan where a share is not defined.

    Attributes:
        label: The label.
        precision: Of the rows that got the label, the share that should have.
        recall: Of the rows that should have the label, the share that got it.
        f1: The harmonic mean of the two.
        support: The number of rows that should have the label.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(gold: Sequence[str], predicted: Sequence[str], *, labels: Sequence[str]) -> np.ndarray:
    """Returns counts `[labels, labels]` int64: gold in rows, predicted in columns."""
    index = {label: position for position, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrix, ([index[label] for label in gold], [index[label] for label in predicted]), 1)
    return matrix


def classification_report(matrix: np.ndarray, *, labels: Sequence[str]) -> list[LabelScores]:
    """Returns the scores of each label.

    Args:
        matrix: Counts `[labels, labels]`: gold in rows, predicted in columns.
        labels: The labels in the matrix's order.
    """
    return _report(labels, right=np.diag(matrix), support=matrix.sum(axis=1), answered=matrix.sum(axis=0))


def label_set_report(
    gold: Sequence[Collection[str]], predicted: Sequence[Collection[str]], *, labels: Sequence[str]
) -> list[LabelScores]:
    """Returns the scores of each label where a row has several labels, or none.

    Args:
        gold: The right labels of each row.
        predicted: The labels that each row got.
        labels: All labels, in the order of the report.
    """
    both = [set(expected) & set(answer) for expected, answer in zip(gold, predicted, strict=True)]
    counts = [Counter(itertools.chain.from_iterable(rows)) for rows in (both, map(set, gold), map(set, predicted))]
    right, support, answered = (np.array([count[label] for label in labels], dtype=np.int64) for count in counts)
    return _report(labels, right=right, support=support, answered=answered)


def _report(
    labels: Sequence[str], *, right: np.ndarray, support: np.ndarray, answered: np.ndarray
) -> list[LabelScores]:
    return [
        LabelScores(
            label,
            precision=_share(right[i], answered[i]),
            recall=_share(right[i], support[i]),
            f1=_share(2 * right[i], answered[i] + support[i]),
            support=int(support[i]),
        )
        for i, label in enumerate(labels)
    ]


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
