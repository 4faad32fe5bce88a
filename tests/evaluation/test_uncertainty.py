"""Intervals and tests against brute force and known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.evaluation import uncertainty
from tfxl.metrics import Metric
from tfxl.metrics.accuracy import Accuracy
from tfxl.metrics.macro_f1 import MacroF1

LABELS = "abc"


def answers(rows: int, *, seed: int, right: float = 0.7) -> tuple[list[str], list[str], list[str]]:
    generator = np.random.default_rng(seed)
    gold = generator.choice([*LABELS], rows)
    sides = [np.where(generator.random(rows) < right, gold, generator.choice([*LABELS], rows)) for _ in range(2)]
    return gold.tolist(), sides[0].tolist(), sides[1].tolist()


def paired(metric: Metric, gold: list, first: list, second: list) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.split(metric.statistics([*gold, *gold], [*first, *second]), 2)
    return one, other


def test_bootstrap_draws_have_the_mean_and_spread_of_drawing_row_by_row() -> None:
    gold, predicted, _ = answers(60, seed=1)
    metric = MacroF1()
    statistics = metric.statistics(gold, predicted)
    drawn = uncertainty.bootstrap(metric, statistics, samples=4000, seed=0)
    rows = np.random.default_rng(5).integers(60, size=(4000, 60))
    by_row = metric.value(statistics[rows].sum(axis=1))
    assert np.isclose(drawn.mean(), by_row.mean(), atol=0.005)
    assert np.isclose(drawn.std(), by_row.std(), rtol=0.08)


def test_bootstrap_of_accuracy_is_a_scaled_binomial() -> None:
    statistics = Accuracy().statistics(["a"] * 100, ["a"] * 80 + ["b"] * 20)
    drawn = uncertainty.bootstrap(Accuracy(), statistics, samples=20_000, seed=3)
    assert np.isclose(drawn.mean(), 0.8, atol=0.002)
    assert np.isclose(drawn.std(), np.sqrt(0.8 * 0.2 / 100), rtol=0.03)


def test_interval_covers_the_true_score_about_as_often_as_it_says() -> None:
    generator, hits = np.random.default_rng(0), 0
    for trial in range(300):
        right = generator.random(150) < 0.75
        statistics = np.stack([right, np.ones(150)], axis=1).astype(float)
        low, high = uncertainty.interval(uncertainty.bootstrap(Accuracy(), statistics, samples=400, seed=trial))
        hits += low <= 0.75 <= high
    assert 0.90 <= hits / 300 <= 0.985


def test_draws_repeat_by_seed_and_do_not_depend_on_the_order_of_rows() -> None:
    gold, predicted, _ = answers(40, seed=2)
    statistics = Accuracy().statistics(gold, predicted)
    one, again, reversed_rows, other = (
        uncertainty.bootstrap(Accuracy(), rows, samples=50, seed=seed)
        for rows, seed in ((statistics, 7), (statistics, 7), (statistics[::-1], 7), (statistics, 8))
    )
    assert np.array_equal(one, again) and np.array_equal(one, reversed_rows) and not np.array_equal(one, other)


def test_draws_in_parts_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    gold, predicted, _ = answers(30, seed=2)
    monkeypatch.setattr(uncertainty, "MEMORY", 7)
    statistics = MacroF1().statistics(gold, predicted)
    assert uncertainty.bootstrap(MacroF1(), statistics, samples=11).shape == (11,)


def test_nothing_to_draw_from() -> None:
    assert np.isnan(uncertainty.bootstrap(Accuracy(), np.zeros((0, 2)), samples=3)).all()
    assert uncertainty.bootstrap(Accuracy(), np.ones((4, 2)), samples=0).shape == (0,)
    assert np.isnan(uncertainty.interval(np.array([]))).all()
    assert uncertainty.interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)


def test_a_mean_of_draws_is_over_the_groups_that_are_defined_in_each() -> None:
    nan = np.nan
    means = uncertainty.mean_of_draws([np.array([0.2, nan, 0.4, nan]), np.array([0.4, 0.6, nan, nan])])
    assert np.allclose(means, [0.3, 0.6, 0.4, nan], equal_nan=True)
    assert uncertainty.mean_of_draws([np.zeros(0), np.zeros(0)]).shape == (0,)


@pytest.mark.parametrize("metric", [Accuracy(), MacroF1()], ids=lambda metric: metric.kind)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_small_permutation_test_equals_brute_force(metric: Metric, data: st.DataObject) -> None:
    label = st.sampled_from(LABELS)
    rows = data.draw(st.lists(st.tuples(label, label, label), min_size=1, max_size=7))
    gold, first, second = ([*side] for side in zip(*rows, strict=True))
    observed = abs(metric.score(gold, second) - metric.score(gold, first))
    as_large = 0
    for swap in itertools.product((False, True), repeat=len(rows)):
        one = [b if swapped else a for a, b, swapped in zip(first, second, swap, strict=True)]
        other = [a if swapped else b for a, b, swapped in zip(first, second, swap, strict=True)]
        as_large += abs(metric.score(gold, other) - metric.score(gold, one)) >= observed - 1e-12
    p = uncertainty.permutation_test(metric, *paired(metric, gold, first, second))
    assert np.isclose(p, as_large / 2 ** len(rows))


def test_drawn_permutation_test_is_near_the_exact_one() -> None:
    gold, first, second = answers(14, seed=4, right=0.5)
    sides = paired(MacroF1(), gold, first, second)
    exact = uncertainty.permutation_test(MacroF1(), *sides, samples=2**14)
    observed = float(MacroF1().value(sides[1].sum(axis=0)) - MacroF1().value(sides[0].sum(axis=0)))
    drawn = uncertainty.p_value(observed, uncertainty.permutation_differences(MacroF1(), *sides, samples=20_000))
    assert np.isclose(exact, drawn, atol=0.015)


def test_models_that_are_alike_are_seldom_told_apart() -> None:
    p_values = []
    for seed in range(150):
        sides = paired(Accuracy(), *answers(120, seed=seed))
        p_values.append(uncertainty.permutation_test(Accuracy(), *sides, samples=400, seed=seed))
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_equal_answers_do_not_differ() -> None:
    gold, first, _ = answers(30, seed=0)
    sides = paired(MacroF1(), gold, first, first)
    assert uncertainty.permutation_test(MacroF1(), *sides) == 1.0
    assert not uncertainty.paired_bootstrap(MacroF1(), *sides, samples=20).any()


def test_paired_bootstrap_is_narrower_than_two_apart() -> None:
    gold, first, _ = answers(200, seed=9)
    second = [*first]
    second[:10] = gold[:10]
    sides = paired(Accuracy(), gold, first, second)
    together = uncertainty.paired_bootstrap(Accuracy(), *sides, samples=2000)
    apart = [uncertainty.bootstrap(Accuracy(), side, samples=2000, seed=i) for i, side in enumerate(sides)]
    assert together.std() < 0.5 * (apart[1] - apart[0]).std()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm(p_values: list[float]) -> None:
    corrected = uncertainty.holm(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        assert np.isclose(corrected[index], running)


def test_holm_example() -> None:
    assert np.allclose(uncertainty.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_holm_without_the_tests_that_could_not_be_made() -> None:
    corrected = uncertainty.holm([0.01, np.nan, 0.04, 0.03])
    assert np.allclose(corrected, [0.03, np.nan, 0.06, 0.06], equal_nan=True)
    assert np.isnan(uncertainty.holm([np.nan])).all() and uncertainty.holm([]) == []


def test_no_p_value_of_a_difference_that_is_not_defined() -> None:
    nothing = np.zeros((3, 2))
    assert np.isnan(uncertainty.permutation_test(Accuracy(), nothing, nothing))
    assert np.isnan(uncertainty.p_value(np.nan, np.zeros(5)))
