"""The share of words whose tag is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import mean


class TagAccuracy(Metric):
    """Right tags divided by words, over the words of all rows together.

    Use it for parts of speech. For entities, where most words are outside, use `spans`.

    Example:
        >>> TagAccuracy().score([("DET", "NOUN"), ("VERB",)], [("DET", "VERB"), ("VERB",)])
        0.6666666666666666
    """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 2]`: how many tags are right, and how many words there are.

        Raises:
            ValueError: A row has more tags on one side than on the other.
        """
        pairs = zip(gold, predicted, strict=True)
        rows = [
            (sum(tag == other for tag, other in zip(tags, others, strict=True)), len(tags)) for tags, others in pairs
        ]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no words."""
        return mean(sums)
