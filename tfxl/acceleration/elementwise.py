"""GELU and layer normalisation with gradients written by hand: the same numbers, in fewer passes over memory.

Both are compositions of small operations, whose gradients are again compositions. On a processor each of them reads and
writes the whole of its operands, and together they were a fifth of a step. The forms here keep what the gradient needs
and leave out what is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tfxl.acceleration.replacing import calls, replaced
from tfxl.backend import keras, tf

Gradient = Callable[..., Any]

ACTIVATIONS = ("activation", "intermediate_act_fn")
"""The attributes in which layers, Keras' and those of TFBertModel, keep their activation."""


@contextmanager
def short_gradients(model: keras.Model) -> Iterator[None]:
    """Lets layers compute GELU and layer normalisation by the forms of this module in functions that are traced inside.

    Args:
        model: A model that is built.
    """
    with replaced(_replacements(model)):
        yield


def _replacements(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, str, Any]]:
    for layer in model._flatten_layers(include_self=False):
        for name in ACTIVATIONS:
            if getattr(layer, name, None) is keras.activations.gelu:
                yield layer, name, gelu
    yield from calls(model, {keras.layers.LayerNormalization: _normalize_by})


@tf.custom_gradient
def gelu(inputs: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    """Returns the Gaussian error linear unit (Hendrycks & Gimpel 2016) of each number, the exact one.

    Args:
        inputs: Of any shape.
    """
    share = normal_share(inputs)
    return inputs * share, lambda upstream: gelu_gradient(inputs, share, upstream)


def normal_share(inputs: tf.Tensor) -> tf.Tensor:
    """Returns the share of the normal distribution that is below each number."""
    return (tf.math.erf(inputs * math.sqrt(0.5)) + 1) * 0.5


def gelu_gradient(inputs: tf.Tensor, share: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of `gelu` by its inputs, whose `share` is that of `normal_share`."""
    density = tf.exp(-0.5 * (math.log(2 * math.pi) + tf.square(inputs)))
    return upstream * (share + inputs * density)


def normalize(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *, epsilon: float) -> tf.Tensor:
    """Returns layer normalisation over the last dimension (Ba et al. 2016).

    Args:
        inputs: `[…, features]`.
        gamma: The scale, `[features]`.
        beta: The shift, `[features]`.
        epsilon: Added to the variance.
    """

    @tf.custom_gradient
    def normalized(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        standard, scale = standardized(inputs, epsilon)
        return standard * gamma + beta, lambda upstream: normalize_gradient(standard, scale, gamma, upstream)

    return normalized(inputs, gamma, beta)


def standardized(inputs: tf.Tensor, epsilon: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns numbers with mean 0 and variance 1 along the last dimension, and what they were multiplied by for it."""
    centred = inputs - tf.reduce_mean(inputs, -1, keepdims=True)
    scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)
    return centred * scale, scale


def normalize_gradient(
    standard: tf.Tensor, scale: tf.Tensor, gamma: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the gradients of `normalize` by inputs, gamma and beta; the first two are those of `standardized`."""
    rows = list(range(len(standard.shape) - 1))
    product, scaled = upstream * standard, upstream * gamma
    means = tf.reduce_mean(scaled, -1, keepdims=True), tf.reduce_mean(product * gamma, -1, keepdims=True)
    of_inputs = (scaled - means[0] - standard * means[1]) * scale
    return of_inputs, tf.reduce_sum(product, rows), tf.reduce_sum(upstream, rows)


def _normalize_by(
    layer: keras.layers.LayerNormalization, whole: Callable[..., tf.Tensor], inputs: tf.Tensor
) -> tf.Tensor:
    """Calls a layer by `normalize` if it scales and shifts its last dimension, by its own `whole` method if not."""
    last = isinstance(inputs, tf.Tensor) and list(layer.axis) == [inputs.shape.rank - 1]
    if not (last and layer.scale and layer.center):
        return whole(inputs)
    gamma, beta = (tf.convert_to_tensor(weight) for weight in (layer.gamma, layer.beta))
    wide = tf.cast(inputs, gamma.dtype)  # halves are normalised in float32, as Keras does it
    return tf.cast(normalize(wide, gamma, beta, epsilon=layer.epsilon), layer.compute_dtype)
