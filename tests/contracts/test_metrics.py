"""What every metric must hold; a new file in the drawer is tested with no new test."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tfxl import registry
from tfxl.metrics import Metric

GOLD = ["negative", "positive", "neutral", "positive", "negative", "negative"]
PREDICTED = ["negative", "positive", "positive", "positive", "neutral", "negative"]


@pytest.fixture(params=registry.names("metrics"))
def metric(request: pytest.FixtureRequest) -> Metric:
    return registry.build("metrics", request.param)


def test_is_documented_and_repeatable(metric: Metric) -> None:
    assert type(metric).__doc__
    assert registry.build("metrics", metric.spec()).spec() == metric.spec()


def test_statistics_are_one_row_of_numbers_a_row(metric: Metric) -> None:
    statistics = metric.statistics(GOLD, PREDICTED)
    assert statistics.shape[0] == len(GOLD) and statistics.ndim == 2
    assert statistics.dtype == np.float64 and np.isfinite(statistics).all()


def test_score_is_the_value_of_the_summed_statistics(metric: Metric) -> None:
    sums = metric.statistics(GOLD, PREDICTED).sum(axis=0)
    assert metric.score(GOLD, PREDICTED) == float(metric.value(sums))


def test_value_works_over_leading_dimensions(metric: Metric) -> None:
    statistics = metric.statistics(GOLD, PREDICTED)
    sums = np.random.default_rng(0).multinomial(len(GOLD), np.full(len(GOLD), 1 / len(GOLD)), (2, 3)) @ statistics
    values = metric.value(sums)
    assert values.shape == (2, 3)
    one_by_one = [[float(metric.value(one)) for one in row] for row in sums]
    assert np.allclose(values, one_by_one, equal_nan=True)


def test_order_of_rows_does_not_matter(metric: Metric) -> None:
    assert np.isclose(metric.score(GOLD, PREDICTED), metric.score(GOLD[::-1], PREDICTED[::-1]))


def test_right_answers_score_best(metric: Metric) -> None:
    right, wrong = metric.score(GOLD, GOLD), metric.score(GOLD, PREDICTED)
    assert right >= wrong if metric.higher_is_better else right <= wrong


def test_no_rows_have_no_score(metric: Metric) -> None:
    statistics = metric.statistics(GOLD, PREDICTED)
    assert np.isnan(metric.value(statistics[:0].sum(axis=0)))


def test_no_tensorflow() -> None:
    code = (
        "import sys; from tfxl import registry\n"
        "[registry.build('metrics', kind) for kind in registry.names('metrics')]\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
