"""How well predicted numbers follow the gold ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from tfxl.metrics import Metric


class Correlation(Metric):
    """Pearson's or Spearman's correlation of predicted and gold numbers, which may be given as text.

    Use it for similarity of texts; Spearman is what the STS tasks are judged by. Spearman is Pearson's correlation of
    ranks, ties sharing their mean rank. The ranks are those among the rows that `statistics` was given, or among each
    group of `by_group`: the score of these rows is exact; in a bootstrap sample of them the ranks stay as they are, so
    that intervals are near Spearman's but not the same.

    Example:
        >>> Correlation(method="pearson").score(["1", "2", "4"], [0.1, 0.2, 0.4])
        1.0
    """

    class Settings(Metric.Settings):
        """Which correlation."""

        method: Literal["pearson", "spearman"] = "spearman"

    settings: Settings

    @property
    def name(self) -> str:
        """The method."""
        return self.settings.method

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 6]`: 1, x, y, x², y² and xy, where x and y are gold and predicted less their means."""
        sides = [np.array([float(item) for item in side]) for side in (gold, predicted)]
        if self.settings.method == "spearman":
            sides = [_ranks(side) for side in sides]
        # Without their means, which change no correlation, the squares lose no digits.
        x, y = (side - side.mean() if side.size else side for side in sides)
        return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)

    def by_group(
        self, gold: Sequence[Any], predicted: Sequence[Any], groups: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yields the statistics of each group, with ranks and means among its own rows."""
        for group in groups:
            yield self.statistics([gold[row] for row in group], [predicted[row] for row in group])

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]` between -1 and 1; nan where one side is the same in all rows."""
        rows, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.stack([xx - x * x / rows, yy - y * y / rows])
            is_defined = (spread > 1e-12 * np.stack([xx, yy])).all(axis=0)
            values = np.clip((xy - x * y / rows) / np.sqrt(spread[0] * spread[1]), -1, 1)
        return np.where(is_defined, values, np.nan)


def _ranks(numbers: np.ndarray) -> np.ndarray:
    """Returns ranks from 1, the mean of them where numbers are equal."""
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
