"""Confusion matrices and reports against scikit-learn."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as expected_matrix
from sklearn.metrics import precision_recall_fscore_support

from tfxl.evaluation.confusion import SHARES, classification_report, confusion_matrix, label_counts

LABELS = ["negative", "neutral", "正面"]
ROWS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30)


@settings(deadline=None)
@given(ROWS)
def test_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    matrix = confusion_matrix(gold, predicted, labels=LABELS)
    assert np.array_equal(matrix, expected_matrix(gold, predicted, labels=LABELS))
    expected = precision_recall_fscore_support(gold, predicted, labels=LABELS, zero_division=np.nan)
    counts = label_counts([{label} for label in gold], [{label} for label in predicted], labels=LABELS)
    for scores, *values in zip(classification_report(counts, labels=LABELS), *expected, strict=True):
        assert np.allclose([scores.precision, scores.recall, scores.f1, scores.support], values, equal_nan=True)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=30))
def test_sets_of_labels_equal_scikit_learn(rows: list[tuple[set[str], set[str]]]) -> None:
    gold, predicted = ([*side] for side in zip(*rows, strict=True))
    hot = [[[label in row for label in LABELS] for row in side] for side in (gold, predicted)]
    expected = precision_recall_fscore_support(*hot, zero_division=np.nan)
    counts = label_counts(gold, predicted, labels=LABELS)
    for scores, *values in zip(classification_report(counts, labels=LABELS), *expected, strict=True):
        assert np.allclose([scores.precision, scores.recall, scores.f1, scores.support], values, equal_nan=True)


def test_intervals_are_those_of_rows_drawn_one_by_one() -> None:
    random = np.random.default_rng(0)
    gold = random.choice(LABELS, 200)
    predicted = np.where(random.random(200) < 0.7, gold, random.choice(LABELS, 200))
    counts = label_counts([{label} for label in gold], [{label} for label in predicted], labels=LABELS)
    drawn = random.integers(0, 200, (2000, 200))
    report = classification_report(counts, labels=LABELS, samples=2000, confidence=0.9, seed=1)
    slowly = [precision_recall_fscore_support(gold[rows], predicted[rows], labels=LABELS)[:3] for rows in drawn]
    low, high = np.quantile(slowly, [0.05, 0.95], axis=0)
    for place, scores in enumerate(report):
        for part, name in enumerate(SHARES):
            assert np.allclose(scores.intervals[name], (low[part, place], high[part, place]), atol=0.015)
            assert scores.intervals[name][0] < getattr(scores, name) < scores.intervals[name][1]


def test_without_samples_there_are_no_intervals() -> None:
    (scores, *_) = classification_report(label_counts([{"正面"}], [()], labels=LABELS), labels=LABELS)
    assert np.isnan([*scores.intervals.values()]).all()
