"""Named entities and other spans, from tags in the BIO scheme: right if type and both ends are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tfxl.metrics import Metric
from tfxl.metrics._counts import Measure, counts, counts_by_kind, macro, micro

Span = tuple[str, int, int]
"""Type, first word, and the word after the last one."""


class Spans(Metric):
    """F1 (or precision, or recall) of the spans that tag sequences stand for, as CoNLL 2003 and seqeval count them.

    It equals seqeval's default mode, which repairs broken sequences: an `I-` that continues no span of its type begins
    one. Tags of the schemes BIO, IO, BIOES and IOE are understood. Use it for entities and slots, with one sequence of
    tags a row; for parts of speech use `tag_accuracy`.

    Example:
        >>> Spans().score([("B-PER", "I-PER", "O", "B-LOC")], [("B-PER", "I-PER", "B-LOC", "I-LOC")])
        0.5
    """

    class Settings(Metric.Settings):
        """What is measured and how it is averaged."""

        measure: Measure = "f1"
        average: Literal["micro", "macro"] = "micro"
        """`micro` counts all spans alike; `macro` is the mean over the types that are gold or predicted."""

    settings: Settings

    @property
    def name(self) -> str:
        """What is measured: `span_f1`, `span_precision`, `macro_span_f1` and so on."""
        return f"{'macro_' if self.settings.average == 'macro' else ''}span_{self.settings.measure}"

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 3]`: how many spans are gold, predicted, and both; for macro `[rows, 3 x types]`.

        Raises:
            ValueError: A row has more tags on one side than on the other.
        """
        for row, (tags, others) in enumerate(zip(gold, predicted, strict=True)):
            if len(tags) != len(others):
                raise ValueError(f"row {row}: {len(tags)} gold tags, but {len(others)} predicted ones")
        right, answered = ([frozenset(spans(tags)) for tags in side] for side in (gold, predicted))
        if self.settings.average == "micro":
            return counts(right, answered)
        return counts_by_kind(right, answered, sorted({span[0] for row in (*right, *answered) for span in row}))

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where no span is gold or predicted."""
        average = micro if self.settings.average == "micro" else macro
        return average(sums, self.settings.measure)


def spans(tags: Sequence[str]) -> list[Span]:
    """Returns the spans of one sequence of tags, in order.

    A span ends before a tag that is `O`, that begins one (`B`, `S`) or that is of another type, and after a tag that
    ends one (`E`, `S`). Any tag but `O` that continues no span begins one.
    """
    found: list[Span] = []
    start, before = 0, "O"
    for place, tag in enumerate([*tags, "O"]):
        is_cut = tag[0] in "OBS" or before[0] in "OES" or _type(tag) != _type(before)
        if is_cut:
            if before[0] != "O":
                found.append((_type(before), start, place))
            start = place
        before = tag
    return found


def _type(tag: str) -> str:
    """`PER` of `B-PER`; `_` of a bare `B`, as in seqeval."""
    return tag[1:].split("-", 1)[-1] or "_"
