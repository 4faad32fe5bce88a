"""Which labels are taken for which: confusion matrices, and precision, recall and F1 of each label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfxl.evaluation.uncertainty import Seed, interval, resampled_sums

SHARES = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How well one label is told apart; nan where a share is not defined.

    Attributes:
        label: The label.
        precision: Of the rows that got the label, the share that should have.
        recall: Of the rows that should have the label, the share that got it.
        f1: The harmonic mean of the two.
        support: The number of rows that should have the label.
        intervals: The lower and the upper end of each share's interval, by its name.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    intervals: Mapping[str, tuple[float, float]]


def confusion_matrix(gold: Sequence[str], predicted: Sequence[str], *, labels: Sequence[str]) -> np.ndarray:
    """Returns counts `[labels, labels]` int64: gold in rows, predicted in columns."""
    index = {label: position for position, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrix, ([index[label] for label in gold], [index[label] for label in predicted]), 1)
    return matrix


def label_counts(
    gold: Sequence[Collection[str]], predicted: Sequence[Collection[str]], *, labels: Sequence[str]
) -> np.ndarray:
    """Returns `[rows, labels x 3]`: whether each label was rightly given, should be given, and was given.

    Args:
        gold: The right labels of each row, one or several, or none.
        predicted: The labels that each row got.
        labels: All labels, in the order of the report.
    """
    index = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(gold), 3, len(labels)))
    for row, (expected, answer) in enumerate(zip(gold, predicted, strict=True)):
        for part, those in enumerate((set(expected) & set(answer), expected, answer)):
            counts[row, part, [index[label] for label in those]] = 1
    return counts.reshape(len(gold), -1)


def classification_report(
    counts: np.ndarray, *, labels: Sequence[str], samples: int = 0, confidence: float = 0.95, seed: Seed = 0
) -> list[LabelScores]:
    """Returns the scores of each label.

    Args:
        counts: What `label_counts` gave of the rows.
        labels: The labels in their order.
        samples: Bootstrap samples of the intervals; with 0 they are nan.
        confidence: How much of the samples an interval holds.
        seed: The same seed gives the same intervals.
    """
    found = _shares(counts.sum(axis=0, keepdims=True))
    drawn = _shares(resampled_sums(counts, samples=samples, seed=seed))
    support = np.split(counts.sum(axis=0), 3)[1]
    return [
        LabelScores(
            label,
            **{name: float(values[0, place]) for name, values in found.items()},
            support=int(support[place]),
            intervals={name: interval(values[:, place], confidence=confidence) for name, values in drawn.items()},
        )
        for place, label in enumerate(labels)
    ]


def _shares(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns each share `[samples, labels]` of sums of counts `[samples, labels x 3]`."""
    right, support, answered = np.split(sums, 3, axis=1)
    parts = {"precision": (right, answered), "recall": (right, support), "f1": (2 * right, answered + support)}
    with np.errstate(invalid="ignore"):
        return {name: part / whole for name, (part, whole) in parts.items()}
