"""Macro-F1 against scikit-learn, whole and on bootstrap samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tfxl.metrics.macro_f1 import MacroF1

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)


@given(ROWS)
def test_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    expected = f1_score(gold, predicted, average="macro", zero_division=0)
    assert np.isclose(MacroF1().score(gold, predicted), expected)


@given(ROWS, st.integers(0, 1000))
def test_resampled_rows_equal_scikit_learn_on_the_same_rows(rows: list[tuple[str, str]], seed: int) -> None:
    gold, predicted = (np.array(side) for side in zip(*rows, strict=True))
    drawn = np.random.default_rng(seed).integers(len(rows), size=(3, len(rows)))
    statistics = MacroF1().statistics(gold.tolist(), predicted.tolist())
    values = MacroF1().value(statistics[drawn].sum(axis=1))
    expected = [f1_score(gold[index], predicted[index], average="macro", zero_division=0) for index in drawn]
    assert np.allclose(values, expected)


@pytest.mark.parametrize("labels", [[1, 2, 3], [("a", 1), ("b", 2), "c"], ["正面", "سلبي", "🙂"]])
def test_labels_may_be_anything(labels: list) -> None:
    assert MacroF1().score(labels, labels) == 1.0


def test_no_rows() -> None:
    assert np.isnan(MacroF1().score([], []))
