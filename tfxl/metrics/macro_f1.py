"""The F1 score of each label, averaged so that rare labels count as much as frequent ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import counts_by_kind, label_set, macro


class MacroF1(Metric):
    """The mean of the labels' F1 scores, over the labels that are gold or predicted in at least one row.

    It equals scikit-learn's `f1_score(gold, predicted, average="macro")`. Use it when labels are unevenly frequent.
    A row has one label, or several as a list or tuple (which may be empty); labels may be anything that can be a
    dictionary's key.

    Example:
        >>> MacroF1().score(["yes", "no", "no"], ["yes", "yes", "no"])
        0.6666666666666666
        >>> MacroF1().score([("joy", "trust"), ()], [("joy",), ("joy",)])
        0.3333333333333333
    """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 3 x labels]`: for each label 1 if it is gold, then if it is predicted, then if it is both."""
        right, answered = ([_things(row) for row in side] for side in (gold, predicted))
        # In an order of their own, so that the columns do not depend on the order of a set.
        labels = sorted({label for row in (*right, *answered) for (label,) in row}, key=repr)
        return counts_by_kind(right, answered, labels)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where no label is gold or predicted."""
        return macro(sums)


def _things(labels: Any) -> frozenset[tuple[Any]]:
    return frozenset((label,) for label in label_set(labels))
