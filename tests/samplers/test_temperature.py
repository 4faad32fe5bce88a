from __future__ import annotations

import pytest

from tfxl.errors import RecipeError
from tfxl.samplers import expected_epochs
from tfxl.samplers.temperature import Temperature

COUNTS = {("en",): 10_000, ("sw",): 100}


@pytest.mark.parametrize(("alpha", "small"), [(1.0, 1 / 101), (0.5, 1 / 11), (0.0, 1 / 2), (0.3, 0.20076)])
def test_shares_follow_the_power_of_the_rows(alpha: float, small: float) -> None:
    weights = Temperature(alpha=alpha).weights(COUNTS)
    assert weights[("sw",)] == pytest.approx(small, rel=1e-4)


def test_whole_numbers_are_numbers_too() -> None:
    assert Temperature(alpha=1).weights({("a",): 1, ("b",): 3}) == {("a",): 0.25, ("b",): 0.75}


def test_smaller_groups_are_repeated_more() -> None:
    epochs = expected_epochs(COUNTS, Temperature(alpha=0.7).weights(COUNTS))
    assert epochs[("sw",)] > 1 > epochs[("en",)]


@pytest.mark.parametrize("alpha", [-0.1, 1.1, "0.3"])
def test_refuses_an_alpha_that_is_none(alpha: object) -> None:
    with pytest.raises(RecipeError, match="alpha"):
        Temperature(alpha=alpha)
