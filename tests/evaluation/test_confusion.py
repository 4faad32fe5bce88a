"""Confusion matrices and reports against scikit-learn."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as expected_matrix
from sklearn.metrics import precision_recall_fscore_support

from tfxl.evaluation.confusion import classification_report, confusion_matrix, label_set_report

LABELS = ["negative", "neutral", "正面"]
ROWS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30)


@settings(deadline=None)
@given(ROWS)
def test_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    matrix = confusion_matrix(gold, predicted, labels=LABELS)
    assert np.array_equal(matrix, expected_matrix(gold, predicted, labels=LABELS))
    expected = precision_recall_fscore_support(gold, predicted, labels=LABELS, zero_division=np.nan)
    for scores, *values in zip(classification_report(matrix, labels=LABELS), *expected, strict=True):
        assert np.allclose([scores.precision, scores.recall, scores.f1, scores.support], values, equal_nan=True)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=30))
def test_sets_of_labels_equal_scikit_learn(rows: list[tuple[set[str], set[str]]]) -> None:
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    hot = [[[label in row for label in LABELS] for row in side] for side in (gold, predicted)]
    expected = precision_recall_fscore_support(*hot, zero_division=np.nan)
    for scores, *values in zip(label_set_report(gold, predicted, labels=LABELS), *expected, strict=True):
        assert np.allclose([scores.precision, scores.recall, scores.f1, scores.support], values, equal_nan=True)
