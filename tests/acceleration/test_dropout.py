"""Dropout's masks: repeatable, with the right share and scale, and as before afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.acceleration import dropout
from tfxl.backend import keras, tf


def model(rate=0.1, width=40_001):
    inputs = keras.Input([width])
    return keras.Model(inputs, keras.layers.Dropout(rate)(inputs))


def outputs(built, training=True):
    return built(np.ones([1, built.input_shape[1]]), training=training).numpy()[0]


def test_masks_follow_the_seed():
    built, masks = model(), []
    for seed in (1, 1, 2):
        dropout.seed(built, seed)
        masks.append(outputs(built))
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_cheap_masks_drop_the_right_share_and_keep_the_mean(rate):
    built = model(rate)
    dropout.seed(built, 3)
    with dropout.cheap_masks(built):
        first, second = outputs(built), outputs(built)
    assert np.mean(first == 0) == pytest.approx(rate, abs=0.01)
    assert first.mean() == pytest.approx(1, abs=0.01)
    assert (first != second).any()
    # Neighbours come from one random number, and still have nothing to do with each other.
    gone = first == 0
    assert np.mean(gone[1:] & gone[:-1]) == pytest.approx(rate**2, abs=0.01)


def test_cheap_masks_are_seeded_and_end_with_the_block():
    built, masks = model(), []
    for _ in range(2):
        dropout.seed(built, 3)
        with dropout.cheap_masks(built):
            masks.append(outputs(built))
    np.testing.assert_array_equal(*masks)
    dropout.seed(built, 3)
    plain = outputs(built)
    assert plain.max() == pytest.approx(1 / 0.9)
    assert masks[0].max() == pytest.approx(256 / 230)


def test_nothing_is_dropped_outside_of_training():
    built = model()
    with dropout.cheap_masks(built):
        np.testing.assert_array_equal(outputs(built, training=False), 1)


def test_a_mask_shared_along_a_dimension_is_left_to_keras():
    inputs = keras.Input([3, 50])
    built = keras.Model(inputs, keras.layers.Dropout(0.5, noise_shape=[None, 1, 50])(inputs))
    with dropout.cheap_masks(built):
        values = built(tf.ones([2, 3, 50]), training=True).numpy()
    np.testing.assert_array_equal(values[:, 0], values[:, 2])
