"""The share of right tags against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from tfxl.metrics.tag_accuracy import TagAccuracy

PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=6)


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=8))
def test_equals_the_accuracy_of_all_words(rows: list[list[tuple[str, str]]]) -> None:
    gold = [tuple(tag for tag, _ in row) for row in rows]
    predicted = [tuple(tag for _, tag in row) for row in rows]
    value = TagAccuracy().score(gold, predicted)
    words = [pair for row in rows for pair in row]
    if words:
        assert np.isclose(value, accuracy_score(*zip(*words, strict=True)))
    else:
        assert np.isnan(value)


def test_refuses_rows_of_different_lengths() -> None:
    with pytest.raises(ValueError):
        TagAccuracy().score([("a", "b")], [("a",)])
