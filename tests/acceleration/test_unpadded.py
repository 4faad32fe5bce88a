"""Layers without padding: the same numbers at every real token, whatever stands where, and only in training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tfxl.acceleration import unpadded
from tfxl.acceleration.unpadded import Places
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 40)))


def added(real):
    """Returns what TFBertModel adds to the scores of its attention, `[batch, 1, 1, length]`."""
    return tf.constant(np.where(real, 0.0, -10_000.0)[:, None, None, :], tf.float32)


@given(MASKS)
def test_every_real_token_has_one_place(real):
    places = Places.of(added(real))
    positions = places.positions.numpy()
    assert len(set(positions)) == len(positions) <= real.size
    assert set(np.flatnonzero(real)) <= set(positions)
    assert real.sum() < len(positions) or len(positions) == real.size  # a token of padding stands for what is left out
    np.testing.assert_array_equal(places.tokens.numpy()[positions], np.arange(len(positions)))
    assert not real.ravel()[places.tokens.numpy() == len(positions) - 1].any() or len(positions) == real.size


@given(MASKS, st.integers(1, 3))
def test_tokens_come_back_to_their_rows_and_so_do_gradients(real, width):
    places = Places.of(added(real))
    rows = tf.constant(np.random.default_rng(0).normal(size=(*real.shape, width)), tf.float32)
    weights = tf.where(real[..., None], tf.cos(rows), 0.0)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        back = places.rows(2.0 * places.list(rows))
        total = tf.reduce_sum(back * weights)
    np.testing.assert_allclose(back[real], 2 * rows[real])
    np.testing.assert_allclose(tape.gradient(total, rows), 2 * weights, rtol=1e-6)


@given(st.integers(1, 100_000))
def test_lists_have_few_lengths_and_little_padding(count):
    size = int(unpadded._rounded(tf.constant(count), limit=tf.constant(10**6)))
    assert count < size <= count * (1 + 2.0**-unpadded.FINENESS) + 1
    assert bin(size).rstrip("0").count("1") <= unpadded.FINENESS + 1  # few leading digits


@pytest.fixture(scope="module")
def model():
    return Tiny(layers=3).build()


def batch(real):
    ids = np.where(real, np.random.default_rng(1).integers(5, 40, real.shape), 0).astype(np.int32)
    return dict(zip(INPUTS, (ids, 0 * ids, real.astype(np.int32)), strict=True))


def step(model, inputs, training=True):
    """Returns the hidden states and the gradients of their real tokens, from a graph of any shape."""

    @tf.function(input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUTS}])
    def trained(inputs):
        with tf.GradientTape() as tape:
            hidden = model(inputs, training=training)
            total = tf.reduce_sum(tf.sin(hidden) * tf.cast(inputs["attention_mask"], tf.float32)[..., None])
        gradients = tape.gradient(total, model.trainable_variables)
        return hidden, [tf.convert_to_tensor(each) for each in gradients]

    return trained(inputs)


ROWS = {
    "one text": [[1, 1, 1, 1, 1]],
    "no padding": [[1, 1, 1], [1, 1, 1]],
    "one token of padding": [[1, 1, 1], [1, 1, 0]],
    "very unequal": [[1] * 30] + [[1, 1] + [0] * 28] * 7,
    "single tokens": [[1, 0, 0, 0]] * 3,
    "padding before and within": [[0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_hidden_states_and_gradients_are_those_with_padding(model, rows):
    real = np.array(rows, bool)
    expected, wanted = step(model, batch(real))
    with unpadded.without_padding(model):
        found, gradients = step(model, batch(real))
    np.testing.assert_allclose(found[real], expected[real], rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_answers_are_computed_as_they_are_served(model):
    inputs = batch(np.array(ROWS["very unequal"], bool))
    expected, _ = step(model, inputs, training=False)
    with unpadded.without_padding(model):
        found, _ = step(model, inputs, training=False)
    np.testing.assert_array_equal(found, expected)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
