"""How many pieces a language model wavers between where one is masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class PseudoPerplexity(Metric):
    """The exponential of the mean cross-entropy of masked pieces (Salazar et al. 2020). Lower is better.

    The paper masks each piece of a text in turn; here a share of them is masked at once, which costs one pass. Answers
    are those of `piece_accuracy`. Models with different vocabularies cannot be compared.

    Example:
        >>> PseudoPerplexity().score([None], [{"pieces": 2, "nats": 2 * math.log(7)}])
        7.0
    """

    higher_is_better = False
    compares_with_gold = False

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Returns `[rows, 2]`: the nats of all masked pieces, and how many there are."""
        rows = [(answer["nats"], answer["pieces"]) for answer in predicted]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`, at least 1; nan where no piece is masked."""
        return np.exp(mean(sums))
