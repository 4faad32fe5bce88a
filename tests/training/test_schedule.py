"""The learning rate, update by update."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfxl.training.schedule import WarmUp, of_run


def rates(schedule):
    return np.array([float(schedule(step)) for step in range(schedule.total + 2)])


def test_linear_starts_at_zero_peaks_after_the_warm_up_and_ends_at_zero():
    values = rates(WarmUp(1.0, total=10, warmup=2, decay="linear"))
    np.testing.assert_allclose(values, [0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0, 0], atol=1e-7)


def test_cosine():
    values = rates(WarmUp(2.0, total=6, warmup=2, decay="cosine"))
    falling = [1 + math.cos(math.pi * step / 4) for step in range(5)]
    np.testing.assert_allclose(values, [0, 1, *falling, 0], atol=1e-6)


def test_constant_stays():
    np.testing.assert_allclose(rates(WarmUp(2.0, total=4, warmup=1, decay="constant")), [0, 2, 2, 2, 2, 2])


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_without_warm_up_the_first_rate_is_the_peak(decay):
    assert float(WarmUp(3.0, total=5, decay=decay)(0)) == 3.0


@pytest.mark.parametrize("updates, warmup, expected", [(630, 0.1, 63), (19, 0.1, 1), (100, 0.29, 29), (5, 0.0, 0)])
def test_warm_up_is_rounded_down(updates, warmup, expected):
    assert of_run(1.0, updates=updates, warmup=warmup, decay="linear").warmup == expected


def test_config_makes_the_same_schedule():
    schedule = WarmUp(1.0, total=10, warmup=2, decay="cosine")
    assert WarmUp.from_config(schedule.get_config()).get_config() == schedule.get_config()
