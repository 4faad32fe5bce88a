"""Evaluation: everything that was measured on one set of rows, and its JSON file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from tfxl import registry
from tfxl.errors import DataError
from tfxl.evaluation.confusion import (
    SHARES,
    LabelScores,
    classification_report,
    confusion_matrix,
    label_counts,
)
from tfxl.evaluation.groups import ALL, Group, base, groups, named
from tfxl.evaluation.score import Score

FORMAT = 1
"""Counts up when the JSON file changes so that an older reader would misread it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One answered row, with what is needed to pair it with another model's answer; its text is not kept.

    Attributes:
        id: The row's name in its source.
        language: Its language.
        domain: Its domain; empty if unknown.
        length: The length of its text, in the unit of the settings.
        digest: A short hash of its text, so that rows of one name and different texts are told apart.
        gold: The right answer.
        predicted: The model's answer.
        scores: The model's score for each label; empty if the task has none.
    """

    id: str
    language: str
    domain: str
    length: int
    digest: str
    gold: Any
    predicted: Any
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """The score of the answer (the highest score if the answer is not one label); nan if there are no scores."""
        if isinstance(self.predicted, str) and self.predicted in self.scores:
            return self.scores[self.predicted]
        return max(self.scores.values(), default=math.nan)


@dataclass(frozen=True, slots=True)
class HardExample:
    """A row that was answered wrongly, with its text.

    Attributes:
        id: The row's name in its source.
        language: Its language.
        text: The text.
        second_text: The second text of a pair.
        gold: The right answer.
        predicted: The model's answer.
        confidence: How sure the model was; nan if it gives no scores.
    """

    id: str
    language: str
    text: str
    second_text: str | None
    gold: Any
    predicted: Any
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """What one model scored on one set of rows.

    Attributes:
        metrics: Each metric as a recipe writes it; the first is the one that the model is judged by.
        scores: Every score: over all rows, by language, script, length and domain, and the summaries of the languages.
        labels: The labels; empty if the answers are neither labels nor sets of labels.
        trained_languages: The languages that had training rows; empty if that is not known.
        rows: The answered rows.
        hardest: The worst answers of each language; of equally bad ones, those that the model was surest of.
        settings: How it was measured.
        versions: The packages that it was measured with.
    """

    metrics: tuple[dict[str, Any], ...]
    scores: tuple[Score, ...]
    labels: tuple[str, ...]
    trained_languages: tuple[str, ...]
    rows: tuple[Row, ...]
    hardest: tuple[HardExample, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def main(self) -> str:
        """The name of the metric that the model is judged by."""
        return self.kinds[0]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The names of all metrics: their kinds, unless their settings change what is measured."""
        return tuple(registry.build("metrics", spec).name for spec in self.metrics)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of the rows, in order of their first row."""
        return tuple(dict.fromkeys(row.language for row in self.rows))

    @cached_property
    def groups(self) -> dict[Group, np.ndarray]:
        """The indices of the rows of each group: all rows, each language, script, length band and domain."""
        return groups(self.rows, length_bands=self.settings["length_bands"])

    @cached_property
    def has_label_sets(self) -> bool:
        """Whether a row has several labels, or none, so that no label can be taken for another."""
        return bool(self.labels) and not all(isinstance(row.gold, str) for row in self.rows)

    @cached_property
    def confusions(self) -> dict[Group, np.ndarray]:
        """Counts `[labels, labels]` of each group of rows: gold in rows, predicted in columns; empty without labels.

        Empty, too, where a row has a set of labels.
        """
        if not self.labels or self.has_label_sets:
            return {}
        found = {}
        for group, members in self.groups.items():
            rows = [self.rows[index] for index in members]
            gold, predicted = [row.gold for row in rows], [row.predicted for row in rows]
            found[group] = confusion_matrix(gold, predicted, labels=self.labels)
        return found

    def by(self, group: str, metric: str | None = None) -> dict[str, Score]:
        """Returns the scores by the values of one kind of group.

        Args:
            group: `language`, `script`, `length` or `domain`.
            metric: The metric; the main one if None.
        """
        kind = metric or self.main
        return {
            score.group[group]: score for score in self.scores if score.metric == kind and [*score.group] == [group]
        }

    def of(self, group: str, value: str) -> tuple[Score, ...]:
        """Returns each metric's score of one group, such as `("language", "de")`; nan where no row counts."""
        found = ((kind, self.by(group, kind).get(value)) for kind in self.kinds)
        return tuple(score or _undefined(kind, {group: value}) for kind, score in found)

    def overall(self, metric: str | None = None) -> Score:
        """Returns the score over all rows, nan where no row counts; the main metric's if None."""
        kind = metric or self.main
        found = (score for score in self.scores if score.metric == kind and not score.group)
        return next(found, _undefined(kind, {}))

    def summary(self, name: str, metric: str | None = None) -> Score | None:
        """Returns a number that sums the languages up, or None if it is not defined.

        Args:
            name: `mean` (over languages, each counting once), `worst` (its group names the language too), `trained` and
                `untrained` (means over the languages with and without training rows), or `transfer_gap` (the first of
                these minus the second).
            metric: The metric; the main one if None.
        """
        kind = metric or self.main
        found = (score for score in self.scores if score.metric == kind and score.group.get("summary") == name)
        return next(found, None)

    @property
    def mean(self) -> Score:
        """The main metric's mean over the languages."""
        return self._summary("mean")

    @property
    def worst(self) -> Score:
        """The main metric's score of the language that the model is worst at."""
        return self._summary("worst")

    @property
    def transfer_gap(self) -> Score | None:
        """The main metric's mean over trained languages minus its mean over the others; None without both kinds."""
        return self.summary("transfer_gap")

    def _summary(self, name: str) -> Score:
        return self.summary(name) or _undefined(self.main, {"summary": name})

    def is_trained(self, language: str) -> bool:
        """Whether a language had training rows; the regions and scripts of a language count as one language."""
        return base(language) in {base(trained) for trained in self.trained_languages}

    def classification_report(self, group: Group = ALL) -> list[LabelScores]:
        """Returns precision, recall, F1 and support of each label, with intervals of the settings' samples.

        Args:
            group: Which rows, such as `("language", "de")`; all of them if left out.
        """
        counts = self._label_counts[list(self.groups[group])]
        drawn = {name: self.settings[name] for name in ("samples", "confidence", "seed")}
        return classification_report(counts, labels=self.labels, **drawn)

    @cached_property
    def _label_counts(self) -> np.ndarray:
        gold, predicted = (
            [(answer,) if isinstance(answer, str) else answer for answer in side]
            for side in zip(*((row.gold, row.predicted) for row in self.rows), strict=True)
        )
        return label_counts(gold, predicted, labels=self.labels)

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON values."""
        return {
            "format": FORMAT,
            "metrics": list(self.metrics),
            "scores": [score.as_json() for score in self.scores],
            "labels": list(self.labels),
            "classification": [self._labels_as_json(group) for group in (self.groups if self.labels else ())],
            "trained_languages": list(self.trained_languages),
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "hardest": [_plain(asdict(example)) for example in self.hardest],
            "columns": [column.name for column in fields(Row)],
            "rows": [self._row_as_json(row) for row in self.rows],
        }

    def _labels_as_json(self, group: Group) -> dict[str, Any]:
        """Returns a group's matrix, if it has one, and its scores in the labels' order; the rows give both again."""
        report = self.classification_report(group)
        shares = {name: [_share(getattr(scores, name)) for scores in report] for name in SHARES}
        ends = {
            f"{name}_interval": [[_share(end) for end in scores.intervals[name]] for scores in report]
            for name in SHARES
        }
        support = [scores.support for scores in report]
        matrix = {"confusion": self.confusions[group].tolist()} if group in self.confusions else {}
        return {"group": named(group), **matrix, **shares, **ends, "support": support}

    def _row_as_json(self, row: Row) -> list[Any]:
        # The labels' names once instead of in every row: a third of the size.
        scores = [row.scores.get(label) for label in self.labels] if self.labels else dict(row.scores)
        return [*(getattr(row, column.name) for column in fields(Row)[:-1]), scores]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Returns the record that `as_json` wrote.

        Raises:
            DataError: The values are no evaluation, or one of another version.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, Mapping) else type(values).__name__
            raise DataError(
                f"JSON of format {found!r}",
                expected=f"an evaluation of format {FORMAT}",
                fix="Give the report.json of a saved model, or evaluate again with this version of tfxl.",
            )
        labels = tuple(values["labels"])
        return cls(
            metrics=tuple(values["metrics"]),
            scores=tuple(Score.from_json(score) for score in values["scores"]),
            labels=labels,
            trained_languages=tuple(values["trained_languages"]),
            rows=tuple(
                _row_from_json(dict(zip(values["columns"], row, strict=True)), labels) for row in values["rows"]
            ),
            hardest=tuple(_hard_from_json(example) for example in values["hardest"]),
            settings=values["settings"],
            versions=values["versions"],
        )

    def write(self, path: str | Path) -> Path:
        """Writes the JSON file, whole or not at all, and returns its path."""
        text = json.dumps(self.as_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return write_whole(path, text)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Returns the evaluation of a JSON file.

        Raises:
            DataError: The file is missing or is no evaluation.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: {type(error).__name__}: {error}",
                expected="the JSON file of an evaluation",
                fix="Give the report.json of a saved model.",
            ) from None


def frozen(value: Any) -> Any:
    """Returns an answer in the form that it has after a round trip through JSON, with lists as tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): frozen(item) for key, item in value.items()}
    return value


def write_whole(path: str | Path, text: str) -> Path:
    """Writes a text file so that it is there whole or not at all, and returns its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp's files are for their owner only; a report is for everybody who may read the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _undefined(kind: str, group: Mapping[str, str]) -> Score:
    return Score(kind, math.nan, math.nan, math.nan, 0, group)


def _share(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def _row_from_json(values: dict[str, Any], labels: tuple[str, ...]) -> Row:
    scores = values["scores"]
    if labels:
        scores = {label: score for label, score in zip(labels, scores, strict=True) if score is not None}
    answers = {key: frozen(values[key]) for key in ("gold", "predicted")}
    return Row(**{**values, **answers, "scores": scores})


def _hard_from_json(values: Mapping[str, Any]) -> HardExample:
    confidence = math.nan if values["confidence"] is None else values["confidence"]
    answers = {key: frozen(values[key]) for key in ("gold", "predicted")}
    return HardExample(**{**values, **answers, "confidence": confidence})
