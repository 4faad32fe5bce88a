"""The share of masked pieces that a language model puts first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class PieceAccuracy(Metric):
    """Masked pieces whose most probable filling is right, divided by masked pieces.

    Answers are tables of `pieces` that were masked, how many were `right`, and their `nats`; what is gold does not
    matter, for a text is its own right answer. Scores of models with different vocabularies cannot be compared.

    Example:
        >>> PieceAccuracy().score([None, None], [{"pieces": 3, "right": 2}, {"pieces": 1, "right": 1}])
        0.75
    """

    compares_with_gold = False

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Returns `[rows, 2]`: right pieces, and masked pieces."""
        rows = [(answer["right"], answer["pieces"]) for answer in predicted]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where no piece is masked."""
        return mean(sums)
