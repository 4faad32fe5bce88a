"""Scores of one task among several, and their mean."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.metrics.joint import Joint

GOLD = [{"intent": "a", "slots": ("B-X", "O")}, {"intent": "b"}, {"slots": ("O", "B-X")}]
PREDICTED = [{"intent": "a", "slots": ("B-X", "O")}, {"intent": "a"}, {"slots": ("O", "O")}]
INTENT, SLOTS = {"intent": {"kind": "accuracy"}}, {"slots": {"kind": "tag_accuracy"}}


def test_a_row_counts_for_the_tasks_that_it_is_for():
    metric = Joint(metrics=INTENT)
    assert metric.score(GOLD, PREDICTED) == 0.5
    assert metric.covers(GOLD).tolist() == [True, True, False]
    assert metric.name == "intent.accuracy"


def test_the_mean_is_over_the_tasks():
    metric = Joint(metrics={**INTENT, **SLOTS})
    assert metric.score(GOLD, PREDICTED) == pytest.approx((0.5 + 0.75) / 2)
    assert metric.name == "mean of tasks"


def test_a_task_without_rows_is_left_out_of_the_mean():
    metric = Joint(metrics={**INTENT, **SLOTS})
    statistics = metric.statistics(GOLD, PREDICTED)
    assert metric.value(statistics[1:2].sum(axis=0)) == 0.0
    assert np.isnan(metric.value(np.zeros(statistics.shape[1])))
