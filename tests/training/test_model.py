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
