"""The share of rows whose answer is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class Accuracy(Metric):
    """Right answers divided by rows; an answer is right when it equals the gold one.

    Use it when every row matters alike. Where some labels are rare, look at `macro_f1` too.

    Example:
        >>> Accuracy().score(["yes", "no"], ["yes", "yes"])
        0.5
    """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 2]`: 1 if the answer is right, and 1."""
        right = [expected == answer for expected, answer in zip(gold, predicted, strict=True)]
        return np.stack([np.array(right, dtype=float), np.ones(len(right))], axis=-1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no rows."""
        return mean(sums)
