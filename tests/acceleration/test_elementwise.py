"""GELU and layer normalisation with gradients by hand: the numbers of Keras' own, and only inside of the block."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.acceleration import elementwise
from tfxl.backend import keras, tf
from tfxl.encoders.tiny import Tiny
from tfxl.heads.pooled import Pooled
from tfxl.tasks.classification import Classification


def outputs_and_gradients(function, *inputs):
    """Returns what a function gives, and the gradients of a weighted sum of it."""
    inputs = [tf.convert_to_tensor(each) for each in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
        weights = tf.reshape(tf.cos(tf.range(tf.size(outputs), dtype=tf.float32)), tf.shape(outputs))
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
    return outputs, tape.gradient(total, inputs)


def compare(ours, theirs, *inputs, tolerance=2e-6):
    (found, gradients), (expected, wanted) = (outputs_and_gradients(each, *inputs) for each in (ours, theirs))
    for one, other in zip((found, *gradients), (expected, *wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=tolerance)


def test_gelu_is_that_of_keras_everywhere():
    compare(elementwise.gelu, keras.activations.gelu, np.linspace(-40, 40, 4001, dtype=np.float32))


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 7), (0, 7), (1, 1, 1, 7)])
def test_normalization_is_that_of_keras(shape):
    random = np.random.default_rng(0)
    layer = keras.layers.LayerNormalization(epsilon=1e-12)
    layer.build(shape)

    def by_keras(inputs, gamma, beta):
        mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, layer.epsilon)

    def ours(inputs, gamma, beta):
        return elementwise.normalize(inputs, gamma, beta, epsilon=layer.epsilon)

    inputs, gamma, beta = (random.normal(1, 3, each).astype(np.float32) for each in (shape, 7, 7))
    compare(ours, by_keras, inputs, gamma, beta, tolerance=1e-5)
    layer.set_weights([gamma, beta])
    np.testing.assert_allclose(ours(inputs, gamma, beta), layer(inputs), rtol=1e-5, atol=1e-5)


@pytest.fixture
def model():
    return Classification(labels=["bad", "good"], max_length=16).model(Tiny(layers=2).build(), Pooled(dropout=0.0))


def batch():
    ids = tf.constant([[2, 9, 8, 3], [2, 7, 3, 0]])
    mask = tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]])
    return {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": mask}


def step(model):
    """Returns the outputs and all gradients, and the kinds of operations of a function that is traced now."""

    @tf.function
    def trained():
        with tf.GradientTape() as tape:
            outputs = model(batch(), training=False)
            total = tf.reduce_sum(tf.sin(outputs))
        return outputs, [tf.convert_to_tensor(each) for each in tape.gradient(total, model.trainable_variables)]

    graph = trained.get_concrete_function().graph
    kinds = {each.type for each in graph.get_operations()}
    return trained(), kinds


def test_a_model_computes_the_same_and_is_as_before_afterwards(model):
    (expected, wanted), kinds = step(model)
    assert "Erfc" in kinds and "Erf" not in kinds and "SquaredDifference" in kinds
    with elementwise.short_gradients(model):
        (found, gradients), kinds = step(model)
        assert "Erf" in kinds and "Erfc" not in kinds and "SquaredDifference" not in kinds
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    _, kinds = step(model)
    assert "Erfc" in kinds and "Erf" not in kinds and "SquaredDifference" in kinds
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.parametrize("options", [{"axis": 1}, {"axis": [1, 2]}, {"scale": False}, {"center": False}])
def test_other_normalizations_are_left_to_keras(options):
    inputs = keras.Input([3, 5])
    model = keras.Model(inputs, keras.layers.LayerNormalization(**options)(inputs))
    values = np.random.default_rng(1).normal(size=[2, 3, 5]).astype(np.float32)
    expected = model(values).numpy()
    with elementwise.short_gradients(model):
        np.testing.assert_array_equal(model(values), expected)


def test_halves_stay_halves():
    layer = keras.layers.LayerNormalization(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    inputs = keras.Input([6])
    model = keras.Model(inputs, layer(inputs))
    values = np.random.default_rng(2).normal(size=[4, 6]).astype(np.float32)
    expected = model(values)
    with elementwise.short_gradients(model):
        found = model(values)
    assert found.dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(expected, tf.float32), atol=0.02)
