"""Consistency: how often the answer stays the same when an item is asked in another language. It needs no labels."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfxl.errors import DataError
from tfxl.evaluation.evaluate import Settings
from tfxl.evaluation.record import frozen, write_whole
from tfxl.evaluation.score import Score
from tfxl.evaluation.uncertainty import bootstrap, interval
from tfxl.example import Example
from tfxl.metrics.accuracy import Accuracy

AGREEMENT = "agreement"


@dataclass(frozen=True)
class Consistency:
    """How often languages get the same answer.

    Attributes:
        languages: In the order of the data.
        pairs: For each two languages, in that order, the share of their common items with the same answer.
        everywhere: The share of the items that all languages have whose answer is the same in all of them.
        items: For each item, in its order, its answer by language.
    """

    languages: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Score]
    everywhere: Score
    items: Mapping[str, Mapping[str, Any]]

    def of(self, first: str, second: str) -> Score | None:
        """Returns the agreement of two languages, in either order; None of a language with itself."""
        return self.pairs.get((first, second)) or self.pairs.get((second, first))

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON values."""
        return {
            "languages": list(self.languages),
            "pairs": [score.as_json() for score in self.pairs.values()],
            "everywhere": self.everywhere.as_json(),
            "items": {item: dict(answers) for item, answers in self.items.items()},
        }

    def write(self, path: str | Path) -> Path:
        """Writes the JSON file and returns its path."""
        return write_whole(path, json.dumps(self.as_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def item_of(example: Example) -> str:
    """Returns what names an item in every language: the row's id, or its line where it has none of its own."""
    # A reader gives rows without an id their place, which begins with the file.
    return example.id.rpartition(":")[2] if example.id == example.source else example.id


def consistency(
    examples: Sequence[Example], answers: Sequence[Any], *, settings: Settings | None = None
) -> Consistency:
    """Returns how often the answer changes with the language of the same item.

    Args:
        examples: Rows of a parallel set; one item has one id, or one line number, in every language.
        answers: The model's answer to each, a label or several.
        settings: Samples and confidence of the intervals; the defaults if None.

    Raises:
        DataError: The answers are no labels, a language has an item twice, or no item is in two languages.
    """
    told = settings or Settings()
    items = _items(examples, answers)
    languages = tuple(dict.fromkeys(example.language for example in examples))
    pairs = {}
    for first, second in itertools.combinations(languages, 2):
        common = [row for row in items.values() if first in row and second in row]
        if common:
            same = [row[first] == row[second] for row in common]
            pairs[first, second] = _score(same, {"first": first, "second": second}, told)
    if not pairs:
        raise DataError(
            f"no item in two of the languages {', '.join(languages)}",
            expected="a parallel set: the same ids, or the same line numbers, in each language",
            fix="Set id in data.reader to the column that names the item, and test several languages.",
        )
    whole = [row for row in items.values() if len(row) == len(languages)]
    everywhere = _score([len(set(row.values())) == 1 for row in whole], {"summary": "everywhere"}, told)
    return Consistency(languages, pairs, everywhere, items)


def _items(examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, dict[str, Hashable]]:
    items: dict[str, dict[str, Hashable]] = defaultdict(dict)
    for example, answer in zip(examples, answers, strict=True):
        found, item = frozen(answer), item_of(example)
        if not isinstance(found, str | tuple) or (isinstance(found, tuple) and not all(map(_is_text, found))):
            raise DataError(
                f"{example.place}: the answer {found!r}"[:300],
                expected="answers that are labels, which mean the same in every language",
                fix="Measure a model that gives labels.",
            )
        if example.language in items[item]:
            raise DataError(
                f"{example.place}: item {item!r} is in {example.language} already",
                expected="each item once in each language",
                fix="Set id in data.reader to a column that names the items.",
            )
        items[item][example.language] = found
    return dict(items)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _score(same: Sequence[bool], group: dict[str, str], settings: Settings) -> Score:
    metric = Accuracy()
    statistics = metric.statistics([True] * len(same), same)
    drawn = bootstrap(metric, statistics, samples=settings.samples, seed=settings.seed)
    low, high = interval(drawn, confidence=settings.confidence)
    value = float(metric.value(statistics.sum(axis=0))) if same else np.nan
    return Score(AGREEMENT, float(value), low, high, len(same), group)
