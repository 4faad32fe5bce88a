"""Spans against seqeval, on any sequences of tags, whole and on bootstrap samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from tfxl.metrics.spans import Spans, spans

OFFICIAL = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
TAG = st.sampled_from(
    ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "B-a/b", "I-a/b", "B-x-y", "I-x-y", "B", "I"]
)
ROW = st.lists(st.tuples(TAG, TAG), max_size=8)
ROWS = st.lists(ROW, min_size=1, max_size=8)


def sides(rows: list[list[tuple[str, str]]]) -> tuple[list[list[str]], list[list[str]]]:
    return [[gold for gold, _ in row] for row in rows], [[predicted for _, predicted in row] for row in rows]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.parametrize("measure", OFFICIAL)
@settings(deadline=None)
@given(rows=ROWS)
def test_equals_seqeval(measure: str, average: str, rows: list[list[tuple[str, str]]]) -> None:
    gold, predicted = sides(rows)
    value = Spans(measure=measure, average=average).score(gold, predicted)
    if np.isnan(value):
        assert not get_entities(gold) and not get_entities(predicted)
    else:
        assert np.isclose(value, OFFICIAL[measure](gold, predicted, average=average, zero_division=0))


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)
@given(tags=st.lists(TAG, max_size=12))
def test_spans_are_those_of_seqeval(tags: list[str]) -> None:
    assert spans(tags) == [(kind, start, last + 1) for kind, start, last in get_entities(tags)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("average", ["micro", "macro"])
@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_resampled_rows_equal_seqeval_on_the_same_rows(
    average: str, rows: list[list[tuple[str, str]]], seed: int
) -> None:
    gold, predicted = sides(rows)
    drawn = np.random.default_rng(seed).integers(len(rows), size=(3, len(rows)))
    metric = Spans(average=average)
    values = metric.value(metric.statistics(gold, predicted)[drawn].sum(axis=1))
    expected = [
        f1_score([gold[i] for i in index], [predicted[i] for i in index], average=average, zero_division=0)
        for index in drawn
    ]
    assert np.allclose(np.nan_to_num(values), np.nan_to_num(expected))


def test_an_inside_tag_that_continues_nothing_begins_a_span() -> None:
    assert spans(["I-PER", "I-PER", "O", "I-LOC", "I-ORG"]) == [("PER", 0, 2), ("LOC", 3, 4), ("ORG", 4, 5)]
    assert spans(["B-PER", "B-PER", "I-LOC"]) == [("PER", 0, 1), ("PER", 1, 2), ("LOC", 2, 3)]
    assert spans([]) == [] == spans(["O", "O"])


def test_names_say_what_is_measured() -> None:
    assert [Spans().name, Spans(measure="recall").name] == ["span_f1", "span_recall"]
    assert Spans(average="macro").name == "macro_span_f1"


def test_no_spans_have_no_score() -> None:
    assert np.isnan(Spans().score([("O", "O")], [("O", "O")]))
    assert Spans(measure="precision").score([("B-X",)], [("O",)]) == 0


def test_refuses_rows_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="row 1: 2 gold tags, but 1"):
        Spans().score([(), ("O", "O")], [(), ("O",)])
