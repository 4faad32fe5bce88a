from __future__ import annotations

import pytest

from tfxl.errors import RecipeError
from tfxl.samplers.capped import Capped


def test_no_group_counts_for_more_than_the_limit() -> None:
    weights = Capped(limit=60).weights({("en",): 10_000, ("de",): 30, ("sw",): 10})
    assert weights == pytest.approx({("en",): 0.6, ("de",): 0.3, ("sw",): 0.1})


def test_small_groups_keep_their_proportions() -> None:
    assert Capped().weights({("a",): 1, ("b",): 3}) == {("a",): 0.25, ("b",): 0.75}


def test_refuses_a_limit_below_one() -> None:
    with pytest.raises(RecipeError, match="limit"):
        Capped(limit=0)
