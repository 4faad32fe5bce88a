"""The mean reciprocal rank of the first right result."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from tfxl.metrics._ranks import RankMetric, first


class Mrr(RankMetric):
    """The mean over queries of 1 / the rank of the first right candidate; 0 where none was found (Voorhees 1999).

    Use it where people read results from the top and stop at the first right one.

    Example:
        >>> Mrr().score([None] * 4, [1, 2, 4, None])
        0.4375
    """

    class Settings(RankMetric.Settings):
        """How far down a right candidate counts."""

        k: int | None = Field(None, ge=1)
        """Ranks beyond k count as not found; all count if it is not set."""

    settings: Settings

    @property
    def measure(self) -> str:
        """`mrr`, or `mrr@` and k."""
        return f"mrr@{self.settings.k}" if self.settings.k else "mrr"

    def row(self, ranks: Sequence[int]) -> float:
        """Returns 1 / the first rank, or 0."""
        rank = first(ranks)
        return 1 / rank if rank and rank <= (self.settings.k or rank) else 0.0
