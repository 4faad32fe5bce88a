"""How far predicted numbers are from the gold ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class MeanAbsoluteError(Metric):
    """The mean distance of predicted numbers from the gold ones; numbers may be given as text. Lower is better.

    Use it beside `correlation`, which does not see numbers that are all too high.

    Example:
        >>> MeanAbsoluteError().score(["1", "2"], [1.5, 2])
        0.25
    """

    higher_is_better = False
    best = 0.0

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 2]`: the distance, and 1."""
        pairs = zip(gold, predicted, strict=True)
        rows = [(abs(float(right) - float(answer)), 1) for right, answer in pairs]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no rows."""
        return mean(sums)
