"""Metrics compare gold answers with predicted ones. No TensorFlow here.

A metric is split in two so that intervals and tests cost almost nothing: `statistics` gives each row a few numbers, and
`value` makes the score from their sums. A bootstrap sample is then one matrix product.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from tfxl.registry import Part


class Metric(Part):
    """One score, the higher the better unless the part says otherwise."""

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0
    """The score of right answers."""
    compares_with_gold: ClassVar[bool] = True
    """Whether the score needs a right answer in every row; where texts are their own answers, gold is None."""

    def lacks(self, gold: Any) -> bool:
        """Whether a right answer is missing that the metric compares with."""
        return self.compares_with_gold and gold is None

    @property
    def name(self) -> str:
        """What a score is called in tables and logs: the kind, unless the settings change what is measured."""
        return self.kind

    def covers(self, gold: Sequence[Any]) -> np.ndarray:
        """Returns `[rows]` bool: which rows count; only they are in a score's number of rows."""
        return np.ones(len(gold), bool)

    @abstractmethod
    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, numbers]` float64: what each row adds to the score.

        Args:
            gold: Gold answers in the form of `Example.label`.
            predicted: Predicted answers in the same form.
        """

    def by_group(
        self, gold: Sequence[Any], predicted: Sequence[Any], groups: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yields the statistics `[rows of the group, numbers]` of each group; their columns mean the same in all.

        A metric whose numbers of a row depend on the rows beside it, such as ranks, makes them from each group alone.

        Args:
            gold: Gold answers in the form of `Example.label`.
            predicted: Predicted answers in the same form.
            groups: The indices of each group's rows; groups may share rows.
        """
        statistics = self.statistics(gold, predicted)
        for group in groups:
            yield statistics[group]

    @abstractmethod
    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns the scores `[…]` of sums of statistics `[…, numbers]`; nan where the score is not defined."""

    def score(self, gold: Sequence[Any], predicted: Sequence[Any]) -> float:
        """Returns the score of all rows together."""
        return float(self.value(self.statistics(gold, predicted).sum(axis=0)))
