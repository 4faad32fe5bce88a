"""The share of queries with a right answer among the first k results."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from tfxl.metrics._ranks import RankMetric, first


class Recall(RankMetric):
    """Recall at k: the share of queries that find a right candidate among the first k; with k = 1 it is accuracy.

    Use it for retrieval where each query has one right candidate. Where several are right, one of them is enough.

    Example:
        >>> Recall(k=5).score([None] * 4, [1, 5, 6, None])
        0.5
        >>> Recall(direction="backward").score([None], [{"forward": 3, "backward": 1}])
        1.0
    """

    class Settings(RankMetric.Settings):
        """How far down a right candidate counts."""

        k: int = Field(1, ge=1)

    settings: Settings

    @property
    def measure(self) -> str:
        """`accuracy@1`, or `recall@` and k."""
        return "accuracy@1" if self.settings.k == 1 else f"recall@{self.settings.k}"

    def row(self, ranks: Sequence[int]) -> float:
        """Returns 1 if a right candidate is among the first k, else 0."""
        return float(0 < first(ranks) <= self.settings.k)
