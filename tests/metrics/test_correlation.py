"""Correlations and distances of numbers, against SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error

from tfxl.metrics.correlation import Correlation
from tfxl.metrics.mean_absolute_error import MeanAbsoluteError

OFFICIAL = {"pearson": pearsonr, "spearman": spearmanr}
ROWS = st.lists(st.tuples(st.integers(0, 20), st.integers(-9, 9)), min_size=2, max_size=30)


def both(rows: list[tuple[int, int]], *, scale: float = 0.1, shift: float = 0.0) -> tuple[list[str], list[float]]:
    return [str(gold / 4) for gold, _ in rows], [predicted * scale + shift for _, predicted in rows]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", OFFICIAL)
@pytest.mark.parametrize("shift", [0.0, 1e4])
@settings(deadline=None)
@given(rows=ROWS)
def test_equals_scipy(method: str, shift: float, rows: list[tuple[int, int]]) -> None:
    gold, predicted = both(rows, shift=shift)
    value = Correlation(method=method).score(gold, predicted)
    expected = OFFICIAL[method]([float(number) for number in gold], predicted).statistic
    if len(set(gold)) == 1 or len(set(predicted)) == 1:
        assert np.isnan(value)
    else:
        assert np.isclose(value, expected, atol=1e-6)


@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_resampled_rows_equal_pearson_on_the_same_rows(rows: list[tuple[int, int]], seed: int) -> None:
    gold, predicted = both(rows)
    drawn = np.random.default_rng(seed).integers(len(rows), size=len(rows))
    metric = Correlation(method="pearson")
    value = metric.value(metric.statistics(gold, predicted)[drawn].sum(axis=0))
    some = [float(gold[i]) for i in drawn], [predicted[i] for i in drawn]
    if len(set(some[0])) > 1 and len(set(some[1])) > 1:
        assert np.isclose(value, pearsonr(*some).statistic, atol=1e-6)
    else:
        assert np.isnan(value)


def test_spearman_of_a_part_is_near_the_official_one() -> None:
    generator = np.random.default_rng(0)
    gold = generator.normal(size=2000)
    predicted = gold + generator.normal(size=2000)
    metric, part = Correlation(), generator.random(2000) < 0.3
    value = metric.value(metric.statistics(gold, predicted)[part].sum(axis=0))
    assert np.isclose(value, spearmanr(gold[part], predicted[part]).statistic, atol=0.01)


def test_names() -> None:
    assert [Correlation().name, Correlation(method="pearson").name] == ["spearman", "pearson"]


@settings(deadline=None)
@given(rows=ROWS)
def test_distance_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    gold, predicted = both(rows)
    expected = mean_absolute_error([float(number) for number in gold], predicted)
    assert np.isclose(MeanAbsoluteError().score(gold, predicted), expected)
    assert not MeanAbsoluteError().higher_is_better
