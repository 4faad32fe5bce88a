"""The F1 score over all labels of all rows together, so that frequent labels count most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import counts, label_set, micro


class MicroF1(Metric):
    """The F1 score of the labels of all rows, counted together.

    It equals scikit-learn's `f1_score(gold, predicted, average="micro")`. Use it where a row has several labels, as a
    list or tuple (which may be empty); with one label a row it is accuracy. Rows without gold or predicted labels
    neither help nor harm.

    Example:
        >>> MicroF1().score([("joy", "trust"), ()], [("joy",), ("joy",)])
        0.5
    """

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 3]`: how many labels are gold, predicted, and both."""
        return counts([label_set(row) for row in gold], [label_set(row) for row in predicted])

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where no label is gold or predicted."""
        return micro(sums)
