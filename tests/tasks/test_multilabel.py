"""The loss against plain arithmetic, thresholds against brute force, and what recipes may say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example, Prediction
from tfxl.tasks.multilabel import HEAVIEST, Multilabel, MultilabelLoss, best_threshold

LABELS = ["anger", "joy", "trust"]
LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TARGET = np.random.default_rng(1).integers(0, 2, (6, 3)).astype(np.float32)
RIGHT = np.where(TARGET == 1, 1 / (1 + np.exp(-LOGITS)), 1 / (1 + np.exp(LOGITS)))


def example(*labels, text="x"):
    return Example(text, label=labels, id="a.jsonl:7")


def test_loss_is_the_mean_binary_cross_entropy():
    found = MultilabelLoss(np.ones(3, np.float32)).call(TARGET, LOGITS)
    np.testing.assert_allclose(found, -np.log(RIGHT).mean(-1), rtol=1e-5)


def test_positive_weights_and_focal_loss():
    weights = np.array([1, 2, 5], np.float32)
    expected = np.where(TARGET == 1, weights, 1) * -np.log(RIGHT) * (1 - RIGHT) ** 2
    found = MultilabelLoss(weights, focal_gamma=2.0).call(TARGET, LOGITS)
    np.testing.assert_allclose(found, expected.mean(-1), rtol=1e-5)


def test_balanced_weights_are_rows_without_over_rows_with_and_bounded():
    task = Multilabel(labels=LABELS, positive_weights="balanced")
    for row in [example("joy")] * 4 + [example("joy", "anger")] + [example()] * 395:
        task.observe(row)
    np.testing.assert_allclose(task.loss().positive_weights, [HEAVIEST, 395 / 5, 1.0])
    np.testing.assert_allclose(
        Multilabel(labels=LABELS, positive_weights={"joy": 3.0}).loss().positive_weights, [1, 3, 1]
    )


def test_targets_are_sets_of_labels():
    task = Multilabel(labels=LABELS)
    features = task.features([example("trust", "anger", "trust"), example(), Example("y", label="joy")])
    assert features["target"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert features["weight"].tolist() == [1, 1, 1]
    assert set(task.features([Example("x")])) == {"text"}


def test_labels_apply_from_their_threshold_on():
    task = Multilabel(labels=LABELS, label_names={"joy": "Freude"}, thresholds={"joy": 0.9, "trust": 0.2})
    decoded = task.decode(np.array([[0.1, 2.0, -1.0], [-3.0, 3.0, -3.0]], np.float32), {})
    assert decoded["applies"].numpy().tolist() == [[True, False, True], [False, True, False]]
    assert set(decoded) == {"labels", "scores", "applies"}
    row = task.prediction({name: value.numpy()[0] for name, value in decoded.items()})
    assert row.labels == ("anger", "trust")
    assert row.label == ""
    assert list(row.scores) == ["anger", "Freude", "trust"]
    assert task.gold(example("joy", "anger")) == ("anger", "Freude")
    assert task.answers([example("joy")], [row]) == [("anger", "trust")]


def f1_score(gold, answered):
    return 2 * (gold & answered).sum() / (gold.sum() + answered.sum())


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=12).filter(
        lambda rows: any(is_so for _, is_so in rows)
    )
)
def test_no_threshold_beats_the_one_that_is_found(rows):
    scores, gold = np.array([score for score, _ in rows]) / 20, np.array([is_so for _, is_so in rows])
    found = best_threshold(scores, gold, default=0.5)
    assert 0 < found < 1
    others = [f1_score(gold, scores >= threshold) for threshold in np.append(scores[scores > 0], 1e-6)]
    assert f1_score(gold, scores >= found) >= max(others) - 1e-9


def test_of_thresholds_as_good_the_one_nearest_to_the_default_is_taken():
    assert best_threshold(np.array([0.9, 0.1]), np.array([True, False]), default=0.5) == pytest.approx(0.5)
    scores, gold = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, False, True])
    assert best_threshold(scores, gold, default=0.9) == pytest.approx(0.85)
    assert best_threshold(scores, gold, default=0.1) == pytest.approx(0.05)


def answered(rows):
    return [Prediction(scores=dict(zip(LABELS, scores, strict=True))) for scores in rows]


def test_thresholds_are_chosen_on_validation_data_and_saved():
    task = Multilabel(labels=LABELS, search_rows=2)
    rows = [example("anger", "joy"), example("anger"), example("joy"), example()]
    scores = [[0.30, 0.90, 0.1], [0.28, 0.70, 0.1], [0.10, 0.88, 0.1], [0.05, 0.60, 0.1]]
    tuned = task.tuned(rows, answered(scores))
    assert task.settings.thresholds == {}
    assert tuned.settings.thresholds["anger"] == pytest.approx(0.19)
    assert tuned.settings.thresholds["joy"] == pytest.approx(0.79)
    again = registry.build("tasks", tuned.spec())
    assert np.array_equal(again.thresholds, tuned.thresholds)


def test_rare_labels_share_a_threshold():
    rows = [example("anger"), example("anger", "trust"), example("joy"), example("joy")]
    scores = [[0.9, 0.1, 0.3], [0.8, 0.1, 0.02], [0.1, 0.7, 0.01], [0.1, 0.6, 0.01]]
    task = Multilabel(labels=LABELS, search_rows=2)
    shared = Multilabel(labels=LABELS, search="micro_f1").tuned(rows, answered(scores)).settings.thresholds
    tuned = task.tuned(rows, answered(scores)).settings.thresholds
    assert len(set(shared.values())) == 1
    assert tuned["trust"] == shared["trust"]


def test_nothing_is_chosen_where_nothing_can_be():
    assert Multilabel(labels=LABELS).learns_from_validation
    task = Multilabel(labels=LABELS, search="none")
    assert not task.learns_from_validation
    assert task.tuned([example("joy")], answered([[0.1, 0.2, 0.3]])) is task
    empty = Multilabel(labels=LABELS)
    assert empty.tuned([example()], answered([[0.1, 0.2, 0.3]])) is empty


@pytest.mark.parametrize("label", [("joy", "jou"), "jou", None, (None,), 3])
def test_what_is_no_label_is_refused_with_its_place(label):
    with pytest.raises(DataError, match=r"a\.jsonl:7"):
        Multilabel(labels=LABELS).gold(Example("x", label=label, id="a.jsonl:7"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ["a", "a"]},
        {"labels": LABELS, "threshold": 1.0},
        {"labels": LABELS, "thresholds": {"fear": 0.5}},
        {"labels": LABELS, "thresholds": {"joy": 0.0}},
        {"labels": LABELS, "positive_weights": {"fear": 2.0}},
        {"labels": LABELS, "positive_weights": {"joy": -1.0}},
        {"labels": LABELS, "search": "accuracy"},
        {"labels": LABELS, "class_weights": "balanced"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(RecipeError):
        Multilabel(**wrong)


def test_a_new_head_starts_from_how_often_each_label_is_there():
    task = Multilabel(labels=LABELS)
    fresh = task.model(Tiny().build()).get_layer("head").logits
    assert task.prior is None and not fresh.bias.numpy().any()
    for row in [example("joy")] * 6 + [example("joy", "anger")] + [example()] * 3:
        task.observe(row)
    started = task.model(Tiny().build()).get_layer("head").logits
    np.testing.assert_allclose(started.bias, np.log([2 / 10, 8 / 4, 1 / 11]), rtol=1e-6)
