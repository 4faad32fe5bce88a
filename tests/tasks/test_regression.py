"""Numbers: what labels are taken, what is answered."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.backend import tf
from tfxl.errors import DataError
from tfxl.example import Example
from tfxl.tasks.regression import Regression


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_the_loss_is_the_squared_error_of_what_is_served(activation):
    task = Regression(activation=activation)
    logits = tf.constant([[0.5], [-2.0]])
    served = task.decode(logits, {})["value"].numpy()
    found = task.loss().call(tf.constant([1.0, 0.25]), logits)
    assert np.allclose(found, (served - [1.0, 0.25]) ** 2)
    expected = [0.5, -2.0] if activation == "none" else [1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(2.0))]
    assert np.allclose(served, expected)


@pytest.mark.parametrize(
    ("label", "activation"), [("gut", "none"), (None, "none"), ("nan", "none"), ("1.5", "sigmoid")]
)
def test_labels_that_are_no_numbers_are_named(label, activation):
    with pytest.raises(DataError, match=r"x\.csv:3"):
        Regression(activation=activation).gold(Example("gut", label=label, source="x.csv:3"))


def test_numbers_may_be_any_text_of_a_number():
    task = Regression()
    assert task.gold(Example("gut", label="-1e3")) == -1000.0
    features = task.features([Example("gut", label="2"), Example("schlecht", label="0.5")])
    assert features["target"].tolist() == [2.0, 0.5] and features["weight"].tolist() == [1.0, 1.0]
    assert "target" not in task.features([Example("gut")])


def test_an_answer_is_a_record():
    task = Regression(second_text=True)
    assert task.text_inputs == ("text", "second_text")
    assert task.prediction({"value": np.float32(0.5), "truncated": np.bool_(True)}).value == 0.5


@pytest.mark.parametrize(("activation", "numbers"), [("none", "4 5 4.5"), ("sigmoid", "0.9 1 0.8"), ("sigmoid", "1 1")])
def test_a_new_head_answers_the_mean(activation, numbers):
    task = Regression(activation=activation)
    assert task.prior is None
    for number in numbers.split():
        task.observe(Example("gut", label=number))
    (answer,) = task.decode(task.prior[None], {})["value"].numpy()
    assert answer == pytest.approx(np.mean([float(number) for number in numbers.split()]), abs=0.2)
    assert np.isfinite(task.prior).all()


def test_a_number_is_asked_for_before_training():
    with pytest.raises(DataError, match=r"x\.csv:3"):
        Regression().observe(Example("gut", label="gut", source="x.csv:3"))
