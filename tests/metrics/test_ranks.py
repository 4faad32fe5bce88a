"""Recall, MRR and nDCG of ranks, against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from tfxl.errors import RecipeError
from tfxl.metrics._ranks import RankMetric
from tfxl.metrics.mrr import Mrr
from tfxl.metrics.ndcg import Ndcg
from tfxl.metrics.recall import Recall

KINDS = [Recall, Mrr, Ndcg]
RANKS = st.lists(st.integers(1, 12), min_size=1, max_size=20)


def score(metric: RankMetric, *ranks: object) -> float:
    return metric.score([None] * len(ranks), list(ranks))


@settings(deadline=None)
@given(ranks=RANKS, k=st.integers(1, 11))
def test_equal_scikit_learn(ranks: list[int], k: int) -> None:
    results = np.stack([np.arange(12, 0, -1)] * len(ranks)).astype(float)
    assert np.isclose(
        score(Recall(k=k), *ranks), top_k_accuracy_score([r - 1 for r in ranks], results, k=k, labels=range(12))
    )
    right = np.eye(12)[np.array(ranks) - 1]
    assert np.isclose(score(Ndcg(k=k), *ranks), ndcg_score(right, results, k=k))


@settings(deadline=None)
@given(
    places=st.lists(st.sets(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=8), k=st.integers(1, 12)
)
def test_ndcg_of_several_right_answers_equals_scikit_learn(places: list[set[int]], k: int) -> None:
    right = np.array([[float(rank in ranks) for rank in range(1, 13)] for ranks in places])
    results = np.stack([np.arange(12, 0, -1)] * len(places)).astype(float)
    assert np.isclose(score(Ndcg(k=k), *map(tuple, places)), ndcg_score(right, results, k=k))


def test_mrr_counts_the_first_right_answer() -> None:
    assert score(Mrr(), 1, 2, 4, None, 0, (5, 2, 0)) == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 2) / 6)
    assert score(Mrr(k=3), 1, 2, 4) == pytest.approx(0.5)


def test_one_of_several_right_answers_is_enough_for_recall() -> None:
    assert score(Recall(k=3), (9, 3), (4, 9), (0, 1), ()) == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_found_counts_nothing(kind: type[RankMetric]) -> None:
    assert score(kind(), None, 0, [], (0, 0)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_directions(kind: type[RankMetric]) -> None:
    rows = [{"forward": 1, "backward": 20}, {"forward": 1, "backward": (30, 1)}]
    forward = kind().statistics([None] * 2, rows)[:, 0]
    backward = kind(direction="backward").statistics([None] * 2, rows)[:, 0]
    both = kind(direction="both").statistics([None] * 2, rows)[:, 0]
    assert forward.tolist() == [1, 1] and backward[1] > backward[0]
    assert np.allclose(both, (forward + backward) / 2)
    assert kind(direction="backward").score([None], [1]) == kind(direction="both").score([None], [1]) == 1


def test_names() -> None:
    metrics = [Recall(), Recall(k=5, direction="backward"), Mrr(), Mrr(k=10), Ndcg(), Ndcg(k=3, direction="both")]
    names = ["accuracy@1", "backward_recall@5", "mrr", "mrr@10", "ndcg@10", "both_ndcg@3"]
    assert [metric.name for metric in metrics] == names


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_k_below_1(kind: type[RankMetric]) -> None:
    with pytest.raises(RecipeError):
        kind(k=0)
