"""How good a search is, from the places at which the right candidates stand in its results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class RankMetric(Metric):
    """The mean over queries of a score of the ranks of the right candidates; what is gold does not matter.

    Predicted is the rank of the right candidate, counted from 1; 0 or None if it was not found; a list or tuple of
    ranks if several are right; or a mapping `{"forward": …, "backward": …}` of these, for pairs of texts that are
    searched in both directions.
    """

    class Settings(Metric.Settings):
        """Which ranks count."""

        direction: Literal["forward", "backward", "both"] = "forward"
        """From a text to the text that belongs to it, back, or the mean of the two."""

    settings: Settings

    @property
    def measure(self) -> str:
        """The name without the direction."""
        return self.kind

    @property
    def name(self) -> str:
        """The measure, such as `recall@5`; with `backward_` or `both_` before it if another direction is meant."""
        direction = self.settings.direction
        return self.measure if direction == "forward" else f"{direction}_{self.measure}"

    @abstractmethod
    def row(self, ranks: Sequence[int]) -> float:
        """Returns between 0 and 1 how good a result is.

        Args:
            ranks: The rank of each right candidate, counted from 1; 0 for one that was not found. At least one.
        """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 2]`: how good the row's result is, and 1."""
        rows = [(self._row(places), 1) for _, places in zip(gold, predicted, strict=True)]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no rows."""
        return mean(sums)

    def _row(self, predicted: Any) -> float:
        direction = self.settings.direction
        if not isinstance(predicted, Mapping):
            return self.row(_ranks(predicted))
        directions = ("forward", "backward") if direction == "both" else (direction,)
        return sum(self.row(_ranks(predicted[each])) for each in directions) / len(directions)


def first(ranks: Sequence[int]) -> int:
    """Returns the best rank; 0 if none was found."""
    return min((rank for rank in ranks if rank), default=0)


def _ranks(places: Any) -> list[int]:
    ranks = [int(place or 0) for place in (places if isinstance(places, list | tuple) else [places])]
    return ranks or [0]
