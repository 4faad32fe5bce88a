"""Compares two models that answered the same rows: the difference by language, its interval, and a paired test."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl import settings as base_settings
from tfxl.errors import DataError, did_you_mean
from tfxl.evaluation import uncertainty
from tfxl.evaluation.record import Evaluation, Row
from tfxl.metrics import Metric


class Settings(base_settings.Settings):
    """How sure the comparison is."""

    samples: int = Field(default=10_000, ge=100)
    """Bootstrap samples of each interval, and swaps of each test."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from the first model to the second.

    Attributes:
        metric: The kind of the metric.
        first: The first model's score.
        second: The second model's score.
        value: Second minus first.
        low: The lower end of the difference's confidence interval.
        high: The upper end.
        p_value: How often models that are alike differ as much (two-sided); nan where a score is not defined.
        corrected: The p-value corrected for testing each language (Holm); the p-value itself outside the languages.
        rows: How many rows both answered.
        group: Which rows: `{"language": "de"}`, `{"summary": "mean"}` over the languages, or empty for all rows.
    """

    metric: str
    first: float
    second: float
    value: float
    low: float
    high: float
    p_value: float
    corrected: float
    rows: int
    group: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        languages: The difference in each language.
        mean: The difference of the means over the languages in which both models have a score.
        overall: The difference over all rows.
    """

    languages: tuple[Difference, ...]
    mean: Difference
    overall: Difference

    @property
    def left_out(self) -> tuple[str, ...]:
        """The languages in which a model has no score: the mean and the correction of p-values are without them."""
        return tuple(each.group["language"] for each in self.languages if math.isnan(each.value))

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON values; nan becomes null."""
        mean, overall, *languages = (
            {key: None if value != value else value for key, value in asdict(difference).items()}
            for difference in (self.mean, self.overall, *self.languages)
        )
        return {"mean": mean, "overall": overall, "languages": languages, "left_out": list(self.left_out)}


def compare(
    first: Evaluation | str | Path,
    second: Evaluation | str | Path,
    *,
    metric: str | None = None,
    settings: Settings | None = None,
) -> Comparison:
    """Returns the differences of two evaluations, second minus first.

    Args:
        first: An evaluation or its JSON file.
        second: Another of the same rows.
        metric: The metric; the first evaluation's main one if None.
        settings: Samples and confidence; the defaults if None.

    Raises:
        DataError: The evaluations are of different rows, or a file is no evaluation.
    """
    told = settings or Settings()
    left, right = (item if isinstance(item, Evaluation) else Evaluation.read(item) for item in (first, second))
    measure = _metric(left, metric)
    whole, *tests = _tests(measure, _paired(left.rows, right.rows), told)
    differences = [test.difference() for test in tests]
    corrected = uncertainty.holm([difference.p_value for difference in differences])
    return Comparison(
        languages=tuple(replace(d, corrected=value) for d, value in zip(differences, corrected, strict=True)),
        mean=_mean(differences, tests, told),
        overall=whole.difference(),
    )


class _Test:
    """One group of rows that both models answered."""

    def __init__(
        self, metric: Metric, first: np.ndarray, second: np.ndarray, *, group: dict[str, str], settings: Settings
    ) -> None:
        self.metric, self.first, self.second = metric, first, second
        self.group, self.settings = group, settings
        self.samples = settings.samples
        self.seed = (settings.seed, zlib.crc32(repr(sorted(group.items())).encode()))

    def resampled(self) -> np.ndarray:
        return uncertainty.paired_bootstrap(self.metric, self.first, self.second, samples=self.samples, seed=self.seed)

    def swapped(self) -> np.ndarray:
        return uncertainty.permutation_differences(
            self.metric, self.first, self.second, samples=self.samples, seed=self.seed
        )

    def difference(self) -> Difference:
        before, after = (float(self.metric.value(side.sum(axis=0))) for side in (self.first, self.second))
        low, high = uncertainty.interval(self.resampled(), confidence=self.settings.confidence)
        p_value = uncertainty.permutation_test(
            self.metric, self.first, self.second, samples=self.samples, seed=self.seed
        )
        rows = len(self.first)
        return Difference(
            self.metric.name, before, after, after - before, low, high, p_value, p_value, rows, self.group
        )


def _tests(metric: Metric, pairs: Sequence[tuple[Row, Row]], settings: Settings) -> list[_Test]:
    """Returns the test of all rows, and then that of each language."""
    members: dict[str, list[int]] = {}
    for index, (row, _) in enumerate(pairs):
        members.setdefault(row.language, []).append(index)
    groups: list[dict[str, str]] = [{}, *({"language": language} for language in members)]
    # Both models' statistics are made in one go, so that their columns mean the same.
    sides = [np.array(rows) + first for rows in (range(len(pairs)), *members.values()) for first in (0, len(pairs))]
    gold = [row.gold for row, _ in pairs]
    answers = [row.predicted for side in zip(*pairs, strict=True) for row in side]
    statistics = metric.by_group([*gold, *gold], answers, sides)
    return [
        _Test(metric, first, second, group=group, settings=settings)
        for group, first, second in zip(groups, statistics, statistics, strict=True)
    ]


def _mean(differences: Sequence[Difference], tests: Sequence[_Test], settings: Settings) -> Difference:
    """Returns the difference of the means over languages; rows are drawn and swapped within each language.

    A language in which a model has no score does not count.
    """
    both = list(zip(differences, tests, strict=True))
    counted = [each for each in both if not math.isnan(each[0].value)] or both
    differences, tests = zip(*counted, strict=True)
    before, after = (float(np.mean([getattr(d, side) for d in differences])) for side in ("first", "second"))
    resampled = uncertainty.mean_of_draws([test.resampled() for test in tests])
    swapped = uncertainty.mean_of_draws([test.swapped() for test in tests])
    low, high = uncertainty.interval(resampled, confidence=settings.confidence)
    p_value = uncertainty.p_value(after - before, swapped)
    rows = sum(difference.rows for difference in differences)
    kind = differences[0].metric
    return Difference(kind, before, after, after - before, low, high, p_value, p_value, rows, {"summary": "mean"})


def _metric(evaluation: Evaluation, kind: str | None) -> Metric:
    wanted = kind or evaluation.main
    for metric in (registry.build("metrics", spec) for spec in evaluation.metrics):
        if metric.name == wanted:
            return metric
    raise DataError(
        f"metric {wanted!r}",
        expected=f"one of those that were evaluated: {', '.join(evaluation.kinds)}",
        fix=f"{did_you_mean(wanted, evaluation.kinds)}Compare by another metric, or evaluate again.",
    )


def _paired(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Returns the rows side by side, in the first evaluation's order."""
    left, right = _keyed(first), _keyed(second)
    for one, other, place in ((left, right, "second"), (right, left, "first")):
        missing = [key for key in one if key not in other]
        if missing:
            language, name, _ = missing[0]
            raise _different(
                f"{len(missing)} of {len(one)} rows are not in the {place} evaluation, such as {language} {name!r}"
            )
    for key, row in left.items():
        if (row.digest, row.gold) != (right[key].digest, right[key].gold):
            what = "text" if row.digest != right[key].digest else "right answer"
            raise _different(f"{row.language} {row.id!r} has another {what} in the second evaluation")
    return [(row, right[key]) for key, row in left.items()]


def _keyed(rows: Sequence[Row]) -> dict[tuple[str, str, int], Row]:
    """Returns the rows by language, id, and a count that tells rows of one id apart."""
    counts: dict[tuple[str, str], int] = {}
    keyed = {}
    for row in rows:
        name = (row.language, row.id)
        counts[name] = counts.get(name, 0) + 1
        keyed[(*name, counts[name])] = row
    return keyed


def _different(reason: str) -> DataError:
    return DataError(
        reason,
        expected="two evaluations of the same rows: only then does a difference come from the models",
        fix="Evaluate both models on the same files, with the same cleaners.",
    )
