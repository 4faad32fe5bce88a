"""What is counted while a model is trained."""

from __future__ import annotations

import pytest

from tfxl.backend import keras, tf
from tfxl.encoders.tiny import Tiny
from tfxl.tasks.classification import Classification
from tfxl.training.model import TrainingModel
from tfxl.training.optimizer import AdamW

TEXTS = ["the room was clean", "комната была чистой", "饭菜 也 很 好吃", "🙂", "but late"]


@pytest.fixture(scope="module")
def model():
    return Classification(labels=["bad", "good"]).model(Tiny().build())


@pytest.fixture(scope="module")
def inputs():
    encoded = Tiny().tokenizer().encode(tf.constant(TEXTS), max_length=16)
    return {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")}


def test_a_step_counts_real_tokens_once(model, inputs):
    trained = TrainingModel(model.input, model.output)
    trained.compile(AdamW(0.0), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logs = trained.train_step((inputs, tf.constant([0, 1, 0, 1, 0])))
    assert float(logs["tokens"]) == float(tf.reduce_sum(inputs["attention_mask"]))


def test_layers_are_trained_as_they_are_written():
    """AutoGraph rewrites none of them; it would take seconds and change nothing."""
    seen = []

    class Watching(keras.layers.Layer):
        def call(self, values):
            seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
            return values

    mask = keras.Input([2], name="attention_mask")
    trained = TrainingModel({"attention_mask": mask}, keras.layers.Dense(1)(Watching()(mask)))
    trained.compile("sgd", loss="mse")
    rows = {"attention_mask": tf.ones([4, 2])}, tf.zeros([4, 1])
    for step in (trained.fit, trained.evaluate):
        del seen[:]
        step(*rows, verbose=0)
        assert set(seen) == {"DISABLED"}


@pytest.mark.parametrize("optimizer", [AdamW(1e-3), "adam"], ids=["AdamW", "Keras"])
def test_a_step_is_traced_once(optimizer):
    """Variables that are made while a function is traced let TensorFlow trace it again."""
    mask = keras.Input([2], name="attention_mask")
    trained = TrainingModel({"attention_mask": mask}, keras.layers.Dense(1)(mask))
    trained.compile(optimizer, loss="mse")
    trained.fit({"attention_mask": tf.ones([4, 2])}, tf.zeros([4, 1]), verbose=0)
    assert trained.train_tf_function.experimental_get_tracing_count() == 1
