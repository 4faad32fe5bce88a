"""Micro-F1 of sets of labels against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from tfxl.metrics.accuracy import Accuracy
from tfxl.metrics.macro_f1 import MacroF1
from tfxl.metrics.micro_f1 import MicroF1

METRICS = {"micro": MicroF1(), "macro": MacroF1()}
SET = st.lists(st.sampled_from(["joy", "trust", "喜び", "恐れ"]), max_size=3, unique=True).map(tuple)
ROWS = st.lists(st.tuples(SET, SET), min_size=1, max_size=20)


def official(gold: list, predicted: list, average: str) -> float:
    present = sorted({label for row in (*gold, *predicted) for label in row})
    # Two columns more, so that scikit-learn never takes the table for one of two classes; they are not averaged.
    binarizer = MultiLabelBinarizer(classes=[*present, "not", "counted"]).fit([])
    tables = binarizer.transform(gold), binarizer.transform(predicted)
    return f1_score(*tables, labels=range(len(present)), average=average, zero_division=0)


@pytest.mark.parametrize("average", METRICS)
@settings(deadline=None)
@given(rows=ROWS)
def test_equals_scikit_learn(average: str, rows: list[tuple[tuple, tuple]]) -> None:
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    value = METRICS[average].score(gold, predicted)
    if any([*gold, *predicted]):
        assert np.isclose(value, official(gold, predicted, average))
    else:
        assert np.isnan(value)


@pytest.mark.parametrize("average", METRICS)
@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_resampled_rows_equal_scikit_learn_on_the_same_rows(
    average: str, rows: list[tuple[tuple, tuple]], seed: int
) -> None:
    drawn = np.random.default_rng(seed).integers(len(rows), size=len(rows))
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    value = METRICS[average].value(METRICS[average].statistics(gold, predicted)[drawn].sum(axis=0))
    some = [gold[i] for i in drawn], [predicted[i] for i in drawn]
    if any([*some[0], *some[1]]):
        assert np.isclose(value, official(*some, average))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=9))
def test_of_one_label_a_row_is_accuracy(rows: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    assert np.isclose(MicroF1().score(gold, predicted), Accuracy().score(gold, predicted))


def test_lists_and_tuples_are_sets() -> None:
    assert MicroF1().score([["a", "b"]], [("b", "a", "a")]) == 1
    assert MacroF1().score([["a", "b"]], [("b", "a", "a")]) == 1
