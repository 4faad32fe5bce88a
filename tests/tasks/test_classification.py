"""The loss against scikit-learn's and brute-force arithmetic, and what recipes may say."""

import numpy as np
import pytest

from tfxl.backend import tf
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.tasks.classification import Classification, LabelLoss, probabilities

LABELS = ["negative", "neutral", "positive"]
LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TARGET = np.array([0, 2, 1, 1, 0, 2], np.int32)


def softmax(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def test_loss_is_cross_entropy():
    expected = -np.log(softmax(LOGITS)[np.arange(6), TARGET])
    np.testing.assert_allclose(LabelLoss().call(TARGET, LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_focal_loss_of_a_sure_row_has_a_gradient(gamma):
    logits = tf.Variable([[40.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = LabelLoss(focal_gamma=gamma, label_smoothing=0.1).call(tf.constant([0]), logits)
    assert np.isfinite(tape.gradient(loss, logits).numpy()).all()


def test_focal_loss_weighs_by_what_is_missing():
    right = softmax(LOGITS)[np.arange(6), TARGET]
    np.testing.assert_allclose(
        LabelLoss(focal_gamma=2.0).call(TARGET, LOGITS), -((1 - right) ** 2) * np.log(right), rtol=1e-5
    )


def test_label_smoothing_spreads_the_target():
    smooth = np.full((6, 3), 0.1 / 3)
    smooth[np.arange(6), TARGET] += 0.9
    expected = -(smooth * np.log(softmax(LOGITS))).sum(-1)
    np.testing.assert_allclose(LabelLoss(label_smoothing=0.1).call(TARGET, LOGITS), expected, rtol=1e-5)


def test_sigmoid_is_binary_cross_entropy():
    logits, target = LOGITS[:, :1], TARGET % 2
    positive = 1 / (1 + np.exp(-logits[:, 0]))
    np.testing.assert_allclose(
        LabelLoss().call(target, logits), -np.log(np.where(target, positive, 1 - positive)), rtol=1e-5
    )
    np.testing.assert_allclose(probabilities(logits), np.stack([1 - positive, positive], 1), rtol=1e-5)


def test_balanced_class_weights_reach_every_row():
    task = Classification(labels=LABELS, class_weights="balanced")
    rows = [Example("x", label=label) for label in ["negative"] * 6 + ["neutral"] * 3 + ["positive"]]
    for row in rows:
        task.observe(row)
    features = task.features(rows)
    np.testing.assert_allclose(features["weight"], [10 / 18] * 6 + [10 / 9] * 3 + [10 / 3], rtol=1e-6)
    assert features["weight"].sum() == pytest.approx(10)


def test_given_class_weights():
    task = Classification(labels=LABELS, class_weights={"neutral": 2.0})
    features = task.features([Example("x", label="neutral"), Example("y", label="positive")])
    assert features["weight"].tolist() == [2.0, 1.0]


def test_label_names_are_served_and_scored():
    task = Classification(labels=["0", "1"], label_names={"0": "negative", "1": "positive"})
    decoded = task.decode(np.array([[2.0, -1.0]], np.float32), {})
    assert decoded["label"].numpy().tolist() == [b"negative"]
    assert task.gold(Example("x", label="1")) == "positive"


def test_an_unlisted_label_is_refused_with_its_place():
    with pytest.raises(DataError) as caught:
        Classification(labels=LABELS).gold(Example("x", label="positiv", id="a.csv:7"))
    assert "a.csv:7" in caught.value.got
    assert "did you mean 'positive'" in caught.value.fix


@pytest.mark.parametrize(
    "settings",
    [
        {"labels": ["one"]},
        {"labels": ["a", "a"]},
        {"labels": LABELS, "activation": "sigmoid"},
        {"labels": LABELS, "class_weights": {"joy": 2.0}},
        {"labels": LABELS, "label_names": {"joy": "Joy"}},
        {"labels": LABELS, "label_smoothing": 1.0},
        {"labels": LABELS, "max_length": 2},
        {"labels": LABELS, "focal": 2.0},
        {"labels": "negative"},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(RecipeError):
        Classification(**settings)


def test_unlabelled_examples_have_no_target():
    assert set(Classification(labels=LABELS).features([Example("x")])) == {"text"}
