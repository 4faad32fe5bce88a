"""Normalised discounted cumulative gain: how near the top all right results stand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from tfxl.metrics._ranks import RankMetric


class Ndcg(RankMetric):
    """Gain of the right candidates among the first k, over that of the best order (Järvelin and Kekäläinen 2002).

    A candidate is right or not; one at rank r gains 1 / log2(1 + r). Use it where a query has several right candidates,
    and give the rank of each of them, 0 for those that were not found.

    Example:
        >>> Ndcg(k=10).score([None] * 3, [1, 3, (1, 2, 0)])
        0.7551202123295405
    """

    class Settings(RankMetric.Settings):
        """How far down a right candidate counts."""

        k: int = Field(10, ge=1)

    settings: Settings

    @property
    def measure(self) -> str:
        """`ndcg@` and k."""
        return f"ndcg@{self.settings.k}"

    def row(self, ranks: Sequence[int]) -> float:
        """Returns the gain of the ranks over the gain of the first ranks."""
        best = _gain(range(1, min(len(ranks), self.settings.k) + 1))
        return _gain([rank for rank in ranks if 0 < rank <= self.settings.k]) / best


def _gain(ranks: Sequence[int]) -> float:
    return sum(1 / math.log2(1 + rank) for rank in ranks)
