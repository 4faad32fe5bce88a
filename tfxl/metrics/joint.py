"""Scores of a joint run: a metric of one of its tasks, or the mean over several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl.metrics import Metric


class Joint(Metric):
    """The mean of metrics, one for each task; answers are tables, the answer of each task by its name.

    A row counts for the tasks that its gold answer names. With one task, it is that task's score.

    Example:
        >>> Joint(metrics={"intent": {"kind": "accuracy"}}).score([{"intent": "book"}], [{"intent": "play"}])
        0.0
    """

    class Settings(Metric.Settings):
        """What is measured."""

        metrics: dict[str, dict[str, Any]] = Field(min_length=1)
        """A metric for each task."""

    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.parts: dict[str, Metric] = {
            task: registry.build("metrics", spec) for task, spec in self.settings.metrics.items()
        }
        self.higher_is_better = all(metric.higher_is_better for metric in self.parts.values())  # type: ignore[misc]
        self.best = sum(metric.best for metric in self.parts.values()) / len(self.parts)  # type: ignore[misc]
        self._sizes: list[int] = []

    @property
    def name(self) -> str:
        """`task.metric` for one task, `mean of tasks` for several."""
        if len(self.parts) > 1:
            return "mean of tasks"
        ((task, metric),) = self.parts.items()
        return f"{task}.{metric.name}"

    def lacks(self, gold: Mapping[str, Any] | None) -> bool:
        """Whether the right answer of a task that the row is for is missing."""
        return gold is None or any(metric.lacks(gold[task]) for task, metric in self.parts.items() if task in gold)

    def covers(self, gold: Sequence[Any]) -> np.ndarray:
        """Returns `[rows]` bool: which rows have an answer of one of the tasks."""
        return np.array([any(task in answer for task in self.parts) for answer in gold], bool)

    def statistics(self, gold: Sequence[Mapping[str, Any]], predicted: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns `[rows, numbers]`: the statistics of each task beside each other, 0 where a row is not for it."""
        return next(self.by_group(gold, predicted, [np.arange(len(gold))]))

    def by_group(
        self,
        gold: Sequence[Mapping[str, Any]],
        predicted: Sequence[Mapping[str, Any]],
        groups: Iterable[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Yields the statistics of each group as each task makes them of the group."""
        members = list(groups)
        tasks = [self._of_task(task, metric, gold, predicted, members) for task, metric in self.parts.items()]
        for columns in zip(*tasks, strict=True):
            self._sizes = [column.shape[1] for column in columns]
            yield np.concatenate(columns, axis=1)

    @staticmethod
    def _of_task(
        task: str,
        metric: Metric,
        gold: Sequence[Mapping[str, Any]],
        predicted: Sequence[Mapping[str, Any]],
        groups: Sequence[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Yields one task's statistics of each group, 0 where a row is not for it."""
        is_own = np.array([task in answer for answer in gold], bool)
        rows, place = np.flatnonzero(is_own).tolist(), np.cumsum(is_own) - 1
        answers = [gold[row][task] for row in rows], [predicted[row].get(task) for row in rows]
        own = metric.by_group(*answers, [place[group[is_own[group]]] for group in groups])
        for group, part in zip(groups, own, strict=True):
            columns = np.zeros((len(group), part.shape[1]))
            columns[is_own[group]] = part
            yield columns

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns the mean over the tasks whose score is defined; nan where none is."""
        parts = np.split(np.asarray(sums, float), np.cumsum(self._sizes)[:-1], axis=-1)
        values = np.stack([metric.value(part) for metric, part in zip(self.parts.values(), parts, strict=True)])
        defined = ~np.isnan(values)
        total = np.where(defined, values, 0).sum(axis=0)
        return np.divide(total, defined.sum(axis=0), out=np.full_like(total, np.nan), where=defined.any(axis=0))
