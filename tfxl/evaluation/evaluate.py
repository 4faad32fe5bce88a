"""Scores a model's answers: over all rows, by language, script, length and domain, with intervals."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl import graphemes, packages
from tfxl import settings as base_settings
from tfxl.errors import DataError
from tfxl.evaluation.groups import Group, base, groups, named
from tfxl.evaluation.record import Evaluation, HardExample, Row, frozen
from tfxl.evaluation.score import Score
from tfxl.evaluation.uncertainty import bootstrap, interval, mean_of_draws
from tfxl.example import Example, Prediction
from tfxl.metrics import Metric


class Settings(base_settings.Settings):
    """How sure the intervals are, and how rows are grouped by length."""

    before: bool = True
    """Whether a run also answers the test rows before training, to show what training changed."""
    samples: int = Field(default=1000, ge=0)
    """Bootstrap samples of each interval; 0 gives no intervals."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    length_unit: Literal["characters", "graphemes"] = "characters"
    """What lengths count: Unicode characters, or what readers see as one (an emoji, a letter with its marks)."""
    length_bands: tuple[int, ...] = (20, 50, 100, 200)
    """The longest length of each band; a last band holds what is longer."""
    hardest_per_language: int = Field(default=3, ge=0)
    """Wrong answers kept with their text: the worst, and of equally bad ones those that the model was surest of."""

    @model_validator(mode="after")
    def _bands_ascend(self) -> Self:
        if any(low >= high for low, high in itertools.pairwise((0, *self.length_bands))):
            raise ValueError("lengths above 0 that ascend")
        return self


def _label(example: Example) -> Any:
    return example.label


def evaluate(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    task_metrics: Sequence[Metric],
    *,
    gold: Callable[[Example], Any] = _label,
    answers: Sequence[Any] | None = None,
    trained_languages: Sequence[str] = (),
    settings: Settings | None = None,
) -> Evaluation:
    """Returns what a model scored.

    Scores of each label are made where the answers are labels, or sets of labels, to which each prediction gives a
    score; confusion matrices where they are single labels.

    Args:
        examples: The rows, with their right answers.
        predictions: The model's answers, in the same order.
        task_metrics: What to measure; the first is the one that the model is judged by.
        gold: Takes the right answer from an example, in the form that the metrics expect.
        answers: The predicted answers in the same form; the predictions' labels if None.
        trained_languages: The languages that had training rows, for the transfer gap.
        settings: Intervals and groups; the defaults if None.

    Raises:
        DataError: There are no rows, a row has no right answer, or the answers are not as many as the rows.
    """
    told = settings or Settings()
    _check(examples, predictions)
    found = [prediction.label for prediction in predictions] if answers is None else answers
    rows = _rows(examples, predictions, gold=gold, answers=found, settings=told)
    _check_gold(rows, task_metrics)
    trained = tuple(trained_languages)
    return Evaluation(
        metrics=tuple(metric.spec() for metric in task_metrics),
        scores=_all_scores(task_metrics, rows, trained=trained, settings=told),
        labels=_labels(rows),
        trained_languages=trained,
        rows=rows,
        hardest=_hardest(examples, rows, _shortfalls(task_metrics, rows), told.hardest_per_language),
        settings=told.as_toml(),
        versions=packages.versions(),
    )


def _check(examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    if not examples or len(examples) != len(predictions):
        raise DataError(
            f"{len(examples)} examples and {len(predictions)} predictions",
            expected="at least one example, and one prediction for each",
            fix="Evaluate on files that have rows in the languages asked for, and predict every row.",
        )


def _check_gold(rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
    for row in rows:
        if any(metric.lacks(row.gold) for metric in metrics):
            raise DataError(
                f"{row.id or 'a row'} has no label",
                expected="a right answer in every row that is evaluated",
                fix="Add the label, or predict instead of evaluating.",
            )


def _rows(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    gold: Callable[[Example], Any],
    answers: Sequence[Any],
    settings: Settings,
) -> tuple[Row, ...]:
    measure = _length(settings.length_unit)
    rows = []
    for example, prediction, answer in zip(examples, predictions, answers, strict=True):
        texts = [text for text in (example.text, example.second_text) if text is not None]
        rows.append(
            Row(
                id=example.id,
                language=example.language,
                domain=example.domain,
                length=sum(map(measure, texts)),
                digest=_digest(texts),
                gold=frozen(gold(example)),
                predicted=frozen(answer),
                # More digits than anyone reads would double the file.
                scores={label: round(float(score), 6) for label, score in prediction.scores.items()},
            )
        )
    return tuple(rows)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _length(unit: str) -> Callable[[str], int]:
    return len if unit == "characters" else graphemes.count


def _labels(rows: Sequence[Row]) -> tuple[str, ...]:
    """Returns the labels in the model's order, or nothing if the answers are neither labels nor sets of labels."""
    if not (all(map(_is_label, rows)) or all(map(_is_label_set, rows))):
        return ()
    gold = (label for row in rows for label in ([row.gold] if isinstance(row.gold, str) else row.gold))
    return tuple(dict.fromkeys([*(label for row in rows for label in row.scores), *gold]))


def _is_label(row: Row) -> bool:
    return isinstance(row.gold, str) and isinstance(row.predicted, str) and row.predicted in row.scores


def _is_label_set(row: Row) -> bool:
    """Whether both answers are sets of labels that have scores; sequences of words' labels have none."""
    if not (isinstance(row.gold, tuple) and isinstance(row.predicted, tuple) and row.scores):
        return False
    return all(isinstance(label, str) and label in row.scores for label in (*row.gold, *row.predicted))


def _all_scores(
    task_metrics: Sequence[Metric], rows: Sequence[Row], *, trained: Sequence[str], settings: Settings
) -> tuple[Score, ...]:
    members = groups(rows, length_bands=settings.length_bands)
    return tuple(
        score for metric in task_metrics for score in _scores(metric, rows, members, trained=trained, settings=settings)
    )


def _scores(
    metric: Metric,
    rows: Sequence[Row],
    rows_of: Mapping[Group, np.ndarray],
    *,
    trained: Sequence[str],
    settings: Settings,
) -> list[Score]:
    """Returns one metric's scores: over all rows, by group, and the summaries of the languages."""
    gold, predicted = [row.gold for row in rows], [row.predicted for row in rows]
    covered = metric.covers(gold)
    counted = {group: members[covered[members]] for group, members in rows_of.items() if covered[members].any()}
    statistics = metric.by_group(gold, predicted, counted.values())
    scores, draws = [], {}
    for (group, members), part in zip(counted.items(), statistics, strict=True):
        # Each group has draws of its own, so that its interval does not depend on which other groups there are.
        seed = (settings.seed, zlib.crc32("=".join(group).encode()))
        drawn = bootstrap(metric, part, samples=settings.samples, seed=seed)
        low, high = interval(drawn, confidence=settings.confidence)
        value = float(metric.value(part.sum(axis=0)))
        score = Score(metric.name, value, low, high, len(members), named(group))
        scores.append(score)
        if group[0] == "language":
            draws[group[1]] = (score, drawn)
    return [*scores, *_summaries(metric, draws, trained=trained, confidence=settings.confidence)]


Draws = dict[str, tuple[Score, np.ndarray]]
"""Each language's score and its bootstrap scores `[samples]`."""


def _summaries(metric: Metric, draws: Draws, *, trained: Sequence[str], confidence: float) -> list[Score]:
    """Returns the mean over languages, the worst language, and the transfer gap.

    Languages are drawn independently of each other: the interval is about the rows, the languages are as given.
    """
    bases = {base(language) for language in trained}
    means = {"mean": draws}
    if trained:
        means["trained"] = {code: drawn for code, drawn in draws.items() if base(code) in bases}
        means["untrained"] = {code: drawn for code, drawn in draws.items() if base(code) not in bases}
    found = {name: _mean(members) for name, members in means.items() if members}
    make = partial(_summary, metric.name, confidence=confidence)
    summaries = [make(name, *values) for name, values in found.items()]
    if "trained" in found and "untrained" in found:
        (seen, seen_draws, _), (unseen, unseen_draws, _) = found["trained"], found["untrained"]
        rows = sum(score.rows for score, _ in draws.values())
        summaries.append(make("transfer_gap", seen - unseen, seen_draws - unseen_draws, rows))
    return [*summaries, *_worst(metric, draws)]


def _mean(draws: Draws) -> tuple[float, np.ndarray, int]:
    """Returns the mean over languages, its bootstrap means `[samples]`, and the rows that it rests on.

    A language without a score (no row has a span, and none was found) does not count, nor does one in a draw that has
    none of its rows with a span.
    """
    counted = [each for each in draws.values() if not np.isnan(each[0].value)] or list(draws.values())
    value = float(np.mean([score.value for score, _ in counted]))
    return value, mean_of_draws([drawn for _, drawn in counted]), sum(score.rows for score, _ in counted)


def _summary(kind: str, name: str, value: float, drawn: np.ndarray, rows: int, *, confidence: float) -> Score:
    low, high = interval(drawn, confidence=confidence)
    return Score(kind, value, low, high, rows, {"summary": name})


def _worst(metric: Metric, draws: Draws) -> list[Score]:
    defined = [score for score, _ in draws.values() if not np.isnan(score.value)]
    if not defined:
        return []
    pick = min if metric.higher_is_better else max
    worst = pick(defined, key=lambda score: score.value)
    group = {"summary": "worst", **worst.group}
    return [Score(worst.metric, worst.value, worst.low, worst.high, worst.rows, group)]


def _shortfalls(task_metrics: Sequence[Metric], rows: Sequence[Row]) -> np.ndarray:
    """Returns `[rows]`: how far each row's own score is from that of a right answer; nan where a row has none.

    The score is by the first metric that has one of single rows: a correlation, for one, has none.
    """
    gold, predicted = [row.gold for row in rows], [row.predicted for row in rows]
    for metric in task_metrics:
        found = np.abs(metric.best - metric.value(metric.statistics(gold, predicted)))
        if not np.isnan(found).all():
            return found
    return np.full(len(rows), np.nan)


def _hardest(
    examples: Sequence[Example], rows: Sequence[Row], shortfalls: np.ndarray, per_language: int
) -> tuple[HardExample, ...]:
    """Returns each language's worst answers, the worst first; of equally bad ones, the surest first."""
    wrong = [
        (row, example, shortfall)
        for row, example, shortfall in zip(rows, examples, shortfalls.tolist(), strict=True)
        # Where nothing is gold, there is no other answer to show: the text is its own. A right answer may differ from
        # what is gold, such as one of several answers to a question: then only the row's score tells.
        if row.gold is not None and row.predicted != row.gold and shortfall != 0
    ]
    # A row without a score, or without confidence, has nothing to rank by, so such rows keep their order at the end.
    wrong.sort(key=lambda each: (-np.nan_to_num(each[2]), -np.nan_to_num(each[0].confidence, nan=-1.0)))
    kept: dict[str, int] = {}
    hardest = []
    for row, example, _ in wrong:
        kept[row.language] = kept.get(row.language, 0) + 1
        if kept[row.language] <= per_language:
            texts = (example.text, example.second_text)
            hardest.append(HardExample(row.id, row.language, *texts, row.gold, row.predicted, row.confidence))
    return tuple(hardest)
