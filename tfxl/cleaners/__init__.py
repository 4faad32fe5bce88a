"""Cleaners mend or drop examples before training; each tells how many it changed and dropped, per language."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.registry import Part


class Cleaner(Part):
    """Looks at one example at a time. A cleaner may remember what it saw (duplicates), so use it for one pass only."""

    @abstractmethod
    def clean(self, example: Example) -> Example | None:
        """Returns the example, mended or as it was, or None to drop it."""


def on_texts(mend: Callable[[str], str], example: Example) -> Example:
    """Returns an example all of whose texts are mended: the text, the second text, and the choices."""
    second = None if example.second_text is None else mend(example.second_text)
    return replace(example, text=mend(example.text), second_text=second, choices=tuple(map(mend, example.choices)))


@dataclass(slots=True)
class Count:
    """What one cleaner did to the examples of one language."""

    seen: int = 0
    changed: int = 0
    dropped: int = 0


CleaningReport = dict[tuple[str, str], Count]
"""Counts by (kind of cleaner, language)."""


def clean_all(
    cleaners: Sequence[Cleaner], examples: Iterable[Example], report: CleaningReport, *, may_drop: bool = True
) -> Iterator[Example]:
    """Yields the examples that pass every cleaner, in order.

    Args:
        cleaners: Applied one after another.
        examples: A stream of examples.
        report: Filled while the stream is read.
        may_drop: False keeps examples that a cleaner would drop, and the languages that examples name: rows to be
            scored stay as many as they were, so that scores can be compared.
    """
    counts = defaultdict(Count, report)
    for example in examples:
        current: Example | None = example
        for cleaner in cleaners:
            if current is not None:
                count = counts[cleaner.kind, current.language]
                current = _clean_one(cleaner, current, count, may_drop=may_drop)
        report.update(counts)
        if current is not None:
            yield current


def _clean_one(cleaner: Cleaner, example: Example, count: Count, *, may_drop: bool) -> Example | None:
    count.seen += 1
    cleaned = cleaner.clean(example)
    if cleaned is None:
        count.dropped += may_drop
        return None if may_drop else example
    if not may_drop and example.language != UNKNOWN_LANGUAGE:
        cleaned = replace(cleaned, language=example.language)
    count.changed += cleaned != example
    return cleaned
