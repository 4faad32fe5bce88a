"""Shards of a batch give what the batch gives."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.backend import keras, tf
from tfxl.encoders.tiny import Tiny
from tfxl.tasks.classification import Classification
from tfxl.training.model import ROWS_PER_SHARD, TrainingModel, useful_shards
from tfxl.training.optimizer import AdamW

TEXTS = ["the room was clean", "комната была чистой", "饭菜 也 很 好吃", "🙂", "but late"]


@pytest.fixture(scope="module")
def model():
    return Classification(labels=["bad", "good"]).model(Tiny().build())


@pytest.fixture(scope="module")
def inputs():
    encoded = Tiny().tokenizer().encode(tf.constant(TEXTS), max_length=16)
    return {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")}


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("shards", [2, 3])
def test_outputs_and_gradients_are_those_of_the_whole_batch(model, inputs, rows, shards):
    inputs = {name: value[:rows] for name, value in inputs.items()}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    results = []
    for number in (1, shards):
        trained = TrainingModel(model.input, model.output, shards=number)
        with tf.GradientTape() as tape:
            logits = trained.in_shards(inputs)
            loss = tf.reduce_sum(tf.square(logits))
        gradients = tape.gradient(loss, trained.trainable_variables)
        results.append([logits, *(tf.convert_to_tensor(each) for each in gradients)])
    for whole, parts in zip(*results, strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-5)


def test_a_step_counts_real_tokens_once(model, inputs):
    trained = TrainingModel(model.input, model.output, shards=2)
    trained.compile(AdamW(0.0), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logs = trained.train_step((inputs, tf.constant([0, 1, 0, 1, 0])))
    assert float(logs["tokens"]) == float(tf.reduce_sum(inputs["attention_mask"]))


def test_small_batches_and_compiled_steps_are_not_cut():
    assert useful_shards(ROWS_PER_SHARD, jit_compile=False) == 1
    assert useful_shards(1024, jit_compile=True) == 1
    assert useful_shards(1024, jit_compile=False) >= 1
