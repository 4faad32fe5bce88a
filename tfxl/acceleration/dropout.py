"""Dropout that is repeatable and cheap: seeded per run, and with masks that cost a quarter of the random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfxl.acceleration.replacing import replaced
from tfxl.backend import keras, tf


def seed(model: keras.Model, value: int) -> None:
    """Restarts the random generators of a model's layers, so that a run depends on its seed alone."""
    generators = [each._generator for each in _sources(model)]
    seeds = np.random.default_rng(value).integers(0, 2**31 - 1, len(generators))
    for generator, each in zip(generators, seeds, strict=True):
        generator.reset_from_seed(int(each))


@contextmanager
def cheap_masks(model: keras.Model) -> Iterator[None]:
    """Lets dropout draw a byte for each number instead of four, in functions that are traced inside.

    Drawing takes up to a tenth of a step on a processor. The share that is dropped becomes the nearest multiple of
    1/256 (0.1 becomes 0.1016) and what is kept is scaled by exactly that, so the expected value stays the same.

    Args:
        model: A model whose dropout layers draw from generators of their own.
    """
    with replaced((source, "dropout", _by_bytes(source)) for source in _sources(model)):
        yield


def _by_bytes(source: Any) -> Callable[..., tf.Tensor]:
    whole = source.dropout

    def dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None) -> tf.Tensor:
        dropped = share(rate)
        if noise_shape is not None or not 0 < dropped < 256:
            return whole(inputs, rate, noise_shape)
        return inputs * kept(drawn(source, tf.shape(inputs)), dropped, inputs.dtype)

    return dropout


def share(rate: float) -> int:
    """Returns the part of 256 that is nearest to a rate of dropout."""
    return round(rate * 256)


def drawn(source: Any, shape: tf.Tensor) -> tf.Tensor:
    """Draws a byte for each number of a tensor of this shape, uint8."""
    size = tf.reduce_prod(shape)
    words = source._generator.uniform_full_int([(size + 3) // 4], dtype=tf.uint32)
    return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size], shape)


def kept(drawn: tf.Tensor, dropped: int | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns the factors of numbers: 0 if their byte is below `dropped`, else what keeps the expected value."""
    scale = 256 / (256 - tf.cast(dropped, dtype))
    return tf.cast(drawn >= tf.cast(dropped, tf.uint8), dtype) * scale


def _sources(model: keras.Model) -> list[Any]:
    """Returns the sources of random numbers of the model's layers that have made their generator."""
    found = (getattr(layer, "_random_generator", None) for layer in model._flatten_layers(include_self=False))
    return [source for source in found if getattr(source, "_generator", None) is not None]
