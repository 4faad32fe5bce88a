"""The F1 score of each label, averaged so that rare labels count as much as frequent ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric


class MacroF1(Metric):
    """The mean of the labels' F1 scores, over the labels that are gold or predicted in at least one row.

    It equals scikit-learn's `f1_score(gold, predicted, average="macro")`. Use it when labels are unevenly frequent.
    Labels may be anything that can be a dictionary's key.

    Example:
        >>> MacroF1().score(["yes", "no", "no"], ["yes", "yes", "no"])
        0.6666666666666666
    """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 3 x labels]`: for each label 1 if it is gold, then if it is predicted, then if it is both."""
        labels = {label: index for index, label in enumerate(dict.fromkeys([*gold, *predicted]))}
        expected, answered = (_one_hot([labels[label] for label in side], len(labels)) for side in (gold, predicted))
        return np.concatenate([expected, answered, expected * answered], axis=-1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no rows."""
        gold, predicted, both = np.split(np.asarray(sums, dtype=float), 3, axis=-1)
        present = gold + predicted > 0
        scores = np.divide(2 * both, gold + predicted, out=np.zeros_like(both), where=present)
        labels = present.sum(axis=-1)
        return np.divide(scores.sum(axis=-1), labels, out=np.full(labels.shape, np.nan), where=labels > 0)


def _one_hot(indices: Sequence[int], size: int) -> np.ndarray:
    """Returns `[rows, size]` with a 1 at each row's index."""
    return np.eye(size)[np.array(indices, dtype=int)]
