"""Layers of compiled functions: the same numbers, dropout included, in float32 and in halves, and only in training."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.acceleration import accelerated, dropout, fused
from tfxl.acceleration.replacing import replaced
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny


@pytest.fixture(scope="module")
def model():
    return Tiny(layers=2).build()


def batch():
    real = np.arange(9) < np.array([9, 4, 7])[:, None]
    ids = np.where(real, np.random.default_rng(1).integers(5, 40, real.shape), 0).astype(np.int32)
    return dict(zip(INPUTS, (ids, 0 * ids, real.astype(np.int32)), strict=True))


def step(model, training=True):
    """Returns hidden states of real tokens, all gradients, and how many functions a step has for XLA to compile.

    Dropout draws from one seed, before shapes or anything else can differ.
    """

    @tf.function(input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUTS}])
    def trained(inputs):
        with tf.GradientTape() as tape:
            hidden = model(inputs, training=training) * tf.cast(inputs["attention_mask"], tf.float32)[..., None]
            total = tf.reduce_sum(tf.sin(hidden))
        gradients = tape.gradient(total, model.trainable_variables)
        return [hidden, *(tf.convert_to_tensor(each) for each in gradients)]

    dropout.seed(model, 3)
    functions = trained.get_concrete_function().graph.as_graph_def().library.function
    return trained(batch()), sum(each.attr["_XlaMustCompile"].b for each in functions)


def differences(model, dtype):
    """Returns the distance of hidden states and of each gradient from those of Keras' operations, relative to these."""
    with dropout.cheap_masks(model):
        expected, compiled = step(model)
        assert not compiled
    with dropout.cheap_masks(model), fused.fused_layers(model, dtype):
        found, compiled = step(model)
        assert compiled == 4
    return distances(found, expected)


def distances(found, expected):
    """Relative ones; that of the bias of keys, which is zero but for rounding, against a small number."""
    pairs = zip(found, expected, strict=True)
    return [np.linalg.norm(one - other) / max(np.linalg.norm(other), 0.1) for one, other in pairs]


@pytest.mark.parametrize(("dtype", "tolerance"), [(tf.float32, 1e-4), (tf.bfloat16, 0.1)], ids=["float32", "bfloat16"])
def test_numbers_and_masks_of_dropout_are_those_of_keras(model, dtype, tolerance):
    assert max(differences(model, dtype)) < tolerance


def test_without_dropout_nothing_is_drawn(model):
    layers = [each for each in model._flatten_layers() if isinstance(each, keras.layers.Dropout)]
    with replaced((layer, "rate", 0.0) for layer in layers):
        assert max(differences(model, tf.float32)) < 1e-4


@pytest.mark.parametrize(("dtype", "tolerance"), [(tf.float32, 1e-4), (tf.bfloat16, 0.1)], ids=["float32", "bfloat16"])
def test_queries_keys_and_values_too_are_those_of_keras(model, dtype, tolerance):
    layers = [each for each in model._flatten_layers() if isinstance(each, keras.layers.Dropout)]
    with replaced((layer, "rate", 0.0) for layer in layers):
        expected, _ = step(model)
        with accelerated(model, shapes_may_change=True, fused_in=dtype):
            found, compiled = step(model)
    assert compiled == 6
    assert max(distances(found, expected)) < tolerance


def test_answers_are_computed_as_they_are_served(model):
    expected, _ = step(model, training=False)
    with accelerated(model, shapes_may_change=True, fused_in=tf.bfloat16):
        found, compiled = step(model, training=False)
    assert not compiled
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_layers_of_another_activation_stay_as_they_are(model):
    layers = [each for each in model._flatten_layers() if hasattr(each, "intermediate_act_fn")]
    other = replaced((layer, "intermediate_act_fn", keras.activations.relu) for layer in layers)
    with other, fused.fused_layers(model, tf.float32):
        assert step(model)[1] == 0
