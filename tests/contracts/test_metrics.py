"""What every metric must hold; a new file in the drawer is tested with no new test.

A metric whose answers are no labels is given rows of its own form in `ROWS`, and one that cannot be built without
settings gets them in `SETTINGS`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from tfxl import registry
from tfxl.metrics import Metric


class Rows(NamedTuple):
    """Gold answers, right ones and partly wrong ones."""

    gold: Sequence[Any]
    right: Sequence[Any]
    predicted: Sequence[Any]


LABELS = ["negative", "positive", "neutral", "positive", "negative", "negative"]
TAGS = [("B-PER", "I-PER", "O"), ("O",), ("B-LOC",), ("O", "B-PER"), (), ("B-LOC", "O")]
ANSWERS = ["in Köln", "7", "the king", "", "gestern", "ja"]
GOLD_ANSWERS = [{"language": "de", "answers": (answer,) if answer else ()} for answer in ANSWERS]
RANKS = Rows([None] * 6, [1] * 6, [1, 3, 2, 0, {"forward": 7, "backward": 1}, (1, 4)])
PIECES = Rows(
    [None] * 6,
    [{"pieces": count, "right": count, "nats": 0.0} for count in (1, 2, 3, 1, 5, 4)],
    [
        {"pieces": count, "right": right, "nats": nats}
        for count, right, nats in ((1, 0, 4.5), (2, 2, 0.1), (3, 1, 5.0), (1, 1, 0.5), (5, 2, 9.0), (4, 3, 1.0))
    ],
)
DEFAULT = Rows(LABELS, LABELS, ["negative", "positive", "positive", "positive", "neutral", "negative"])
ROWS = {
    **dict.fromkeys(
        ("spans", "tag_accuracy"),
        Rows(TAGS, TAGS, [("B-PER", "O", "O"), ("O",), ("B-LOC",), ("O", "B-LOC"), (), ("B-LOC", "I-LOC")]),
    ),
    **dict.fromkeys(
        ("exact_match", "answer_f1"), Rows(GOLD_ANSWERS, ANSWERS, ["Köln", "7", "a king", "", "gestern abend", ""])
    ),
    **dict.fromkeys(("recall", "mrr", "ndcg"), RANKS),
    **dict.fromkeys(
        ("correlation", "mean_absolute_error"),
        Rows(["0.0", "1.5", "5.0", "3.0", "3.0", "2"], [0.0, 1.5, 5.0, 3.0, 3.0, 2.0], [0.2, 1.4, 4.0, 1.0, 3.0, 2.5]),
    ),
    **dict.fromkeys(("piece_accuracy", "pseudo_perplexity"), PIECES),
}
ROWS["joint"] = Rows(
    *(
        [{"intent": label, "slots": tags} for label, tags in zip(*sides, strict=True)]
        for sides in zip(DEFAULT, ROWS["spans"], strict=True)
    )
)
SETTINGS = {"joint": {"metrics": {"intent": {"kind": "accuracy"}, "slots": {"kind": "spans"}}}}


@pytest.fixture(params=registry.names("metrics"))
def metric(request: pytest.FixtureRequest) -> Metric:
    return registry.build("metrics", {"kind": request.param, **SETTINGS.get(request.param, {})})


@pytest.fixture
def rows(metric: Metric) -> Rows:
    return ROWS.get(metric.kind, DEFAULT)


def test_is_documented_and_repeatable(metric: Metric) -> None:
    assert type(metric).__doc__
    assert registry.build("metrics", metric.spec()).spec() == metric.spec()
    assert metric.name and "/" not in metric.name


def test_statistics_are_one_row_of_numbers_a_row(metric: Metric, rows: Rows) -> None:
    statistics = metric.statistics(rows.gold, rows.predicted)
    assert statistics.shape[0] == len(rows.gold) and statistics.ndim == 2
    assert statistics.dtype == np.float64 and np.isfinite(statistics).all()


def test_score_is_the_value_of_the_summed_statistics(metric: Metric, rows: Rows) -> None:
    sums = metric.statistics(rows.gold, rows.predicted).sum(axis=0)
    assert metric.score(rows.gold, rows.predicted) == float(metric.value(sums))
    assert not np.isnan(metric.value(sums))


def test_value_works_over_leading_dimensions(metric: Metric, rows: Rows) -> None:
    statistics = metric.statistics(rows.gold, rows.predicted)
    drawn = np.random.default_rng(0).multinomial(len(statistics), np.full(len(statistics), 1 / len(statistics)), (2, 3))
    sums = drawn @ statistics
    values = metric.value(sums)
    assert values.shape == (2, 3)
    one_by_one = [[float(metric.value(one)) for one in row] for row in sums]
    assert np.allclose(values, one_by_one, equal_nan=True)


def test_a_group_is_scored_as_its_rows_alone(metric: Metric, rows: Rows) -> None:
    groups = [np.array([0, 2, 3, 5]), np.arange(6), np.array([4, 1, 2])]
    for group, statistics in zip(groups, metric.by_group(rows.gold, rows.predicted, groups), strict=True):
        value = float(metric.value(statistics.sum(axis=0)))
        alone = metric.score([rows.gold[row] for row in group], [rows.predicted[row] for row in group])
        assert len(statistics) == len(group) and np.isclose(value, alone, equal_nan=True)


def test_order_of_rows_does_not_matter(metric: Metric, rows: Rows) -> None:
    turned = metric.score(rows.gold[::-1], rows.predicted[::-1])
    assert np.isclose(metric.score(rows.gold, rows.predicted), turned)


def test_right_answers_score_best(metric: Metric, rows: Rows) -> None:
    right, wrong = metric.score(rows.gold, rows.right), metric.score(rows.gold, rows.predicted)
    assert right > wrong if metric.higher_is_better else right < wrong
    assert np.isclose(right, metric.best)


def test_no_rows_have_no_score(metric: Metric, rows: Rows) -> None:
    statistics = metric.statistics(rows.gold, rows.predicted)
    assert np.isnan(metric.value(statistics[:0].sum(axis=0)))
    assert np.isnan(metric.score([], []))


def test_no_tensorflow() -> None:
    code = (
        "import sys; from tfxl import registry\n"
        "[registry.find('metrics', kind) for kind in registry.names('metrics')]\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
