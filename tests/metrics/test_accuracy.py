"""Accuracy against scikit-learn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from tfxl.metrics.accuracy import Accuracy

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)


@given(ROWS)
def test_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    assert np.isclose(Accuracy().score(gold, predicted), accuracy_score(gold, predicted))


def test_answers_need_not_be_labels() -> None:
    assert Accuracy().score([("a", "b"), ["x"]], [("a", "b"), ["y"]]) == 0.5


def test_no_rows() -> None:
    assert np.isnan(Accuracy().score([], []))
