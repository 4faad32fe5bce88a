"""Layers of BERT whose steps between two matrix products are one function each, compiled by XLA.

Between two products a layer adds a bias, drops, adds what it began with and normalises; or it adds a bias and applies
GELU. Each of these operations reads and writes all of its numbers, which on a processor takes as long as a good part of
the products. Compiled into one function they pass through memory once. Only their inputs are kept for the gradient,
which computes the rest again. XLA compiles them for each length of batch that it meets, half a second for each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from transformers.models.bert.modeling_tf_bert import TFBertLayer, TFBertOutput, TFBertSelfOutput

from tfxl.acceleration import dropout, elementwise
from tfxl.acceleration.replacing import calls, replaced
from tfxl.backend import keras, tf

compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


@contextmanager
def fused_layers(model: keras.Model, dtype: tf.DType) -> Iterator[None]:
    """Lets the layers of TFBertModel compute by compiled functions in training, in functions that are traced inside.

    Args:
        model: A model that is built.
        dtype: The type of the matrix products, and of what is handed to and from them.
    """
    run = functools.partial(_run, dtype)
    with replaced(each for each in calls(model, {TFBertLayer: run}) if _fits(each[0])):
        yield


def _fits(layer: TFBertLayer) -> bool:
    outputs = (layer.attention.dense_output, layer.bert_output)
    drops = all(
        each.dropout._random_generator._generator and dropout.share(each.dropout.rate) < 256 for each in outputs
    )
    return drops and layer.intermediate.intermediate_act_fn is keras.activations.gelu and not layer.is_decoder


def _run(
    dtype: tf.DType,
    layer: TFBertLayer,
    whole: Callable[..., Any],
    hidden_states: tf.Tensor,
    *,
    training: bool = False,
    **options: Any,
) -> tuple[tf.Tensor, ...]:
    """Runs a layer in training by the functions below, and by its own `whole` method otherwise."""
    if training is not True:
        return whole(hidden_states=hidden_states, training=training, **options)
    context, *_ = layer.attention.self_attention(hidden_states=hidden_states, training=True, **options)
    attended = _output(layer.attention.dense_output, _rows(context), _rows(hidden_states), dtype)
    inner = layer.intermediate.dense
    activated = _add_and_activate(_product(attended, inner.kernel, dtype), tf.convert_to_tensor(inner.bias))
    return (tf.reshape(_output(layer.bert_output, activated, attended, dtype), tf.shape(hidden_states)),)


def _output(
    layer: TFBertOutput | TFBertSelfOutput, inputs: tf.Tensor, residual: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    product = _product(inputs, layer.dense.kernel, dtype)
    dropped = dropout.share(layer.dropout.rate)
    shape = tf.shape(product)
    drawn = dropout.drawn(layer.dropout._random_generator, shape) if dropped else tf.zeros(shape, tf.uint8)
    norm = layer.LayerNorm
    bias, gamma, beta = (tf.convert_to_tensor(each) for each in (layer.dense.bias, norm.gamma, norm.beta))
    return _add_and_normalize(product, residual, bias, gamma, beta, Constants(drawn, dropped, norm.epsilon))


def _rows(hidden_states: tf.Tensor) -> tf.Tensor:
    """Returns tokens `[tokens, features]` of any leading shape."""
    return tf.reshape(hidden_states, [-1, hidden_states.shape[-1]])


def _product(inputs: tf.Tensor, kernel: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.matmul(tf.cast(inputs, dtype), tf.cast(kernel, dtype))


def project(dtype: tf.DType, inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns `[tokens, units]` of inputs `[tokens, features]`, both the product and the sum of `dtype`."""

    @tf.custom_gradient
    def added(product: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, elementwise.Gradient]:
        return _added(product, bias), lambda upstream: (upstream, _summed(upstream))

    return added(_product(inputs, kernel, dtype), bias)


@compiled
def _added(product: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(product, bias.dtype) + bias, product.dtype)


@compiled
def _summed(upstream: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(upstream, tf.float32), 0)


def _add_and_activate(product: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns GELU of `product + bias`, of the type of `product`."""

    @tf.custom_gradient
    def activated(product: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, elementwise.Gradient]:
        return _activated(product, bias), lambda upstream: _activated_gradient(product, bias, upstream)

    return activated(product, bias)


@compiled
def _activated(product: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    inputs = tf.cast(product, bias.dtype) + bias
    return tf.cast(inputs * elementwise.normal_share(inputs), product.dtype)


@compiled
def _activated_gradient(product: tf.Tensor, bias: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    inputs = tf.cast(product, bias.dtype) + bias
    share = elementwise.normal_share(inputs)
    gradient = elementwise.gelu_gradient(inputs, share, tf.cast(upstream, bias.dtype))
    return tf.cast(gradient, product.dtype), tf.reduce_sum(gradient, 0)


class Constants(NamedTuple):
    """What the end of a layer needs beside its numbers and weights.

    Attributes:
        drawn: A byte for each number, as `dropout.drawn` gives them.
        dropped: The part of 256 that dropout takes.
        epsilon: Added to the variance.
    """

    drawn: tf.Tensor
    dropped: int
    epsilon: float


def _add_and_normalize(
    product: tf.Tensor, residual: tf.Tensor, bias: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, constants: Constants
) -> tf.Tensor:
    """Returns `product + bias` with dropout, `residual` added to it, normalised; of the type of `residual`."""
    constants = Constants(*map(tf.convert_to_tensor, constants))

    @tf.custom_gradient
    def normalized(
        product: tf.Tensor, residual: tf.Tensor, bias: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[tf.Tensor, elementwise.Gradient]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return _normalized_gradient(product, residual, bias, gamma, constants, upstream)

        return _normalized(product, residual, bias, gamma, beta, constants), gradient

    return normalized(product, residual, bias, gamma, beta)


@compiled
def _normalized(
    product: tf.Tensor, residual: tf.Tensor, bias: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, constants: Constants
) -> tf.Tensor:
    standard, _, _ = _standardized(product, residual, bias, constants)
    return standard * gamma + beta


@compiled
def _normalized_gradient(
    product: tf.Tensor,
    residual: tf.Tensor,
    bias: tf.Tensor,
    gamma: tf.Tensor,
    constants: Constants,
    upstream: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    standard, scale, kept = _standardized(product, residual, bias, constants)
    of_residual, of_gamma, of_beta = elementwise.normalize_gradient(standard, scale, gamma, upstream)
    of_sum = of_residual * kept
    return tf.cast(of_sum, product.dtype), of_residual, tf.reduce_sum(of_sum, 0), of_gamma, of_beta


def _standardized(
    product: tf.Tensor, residual: tf.Tensor, bias: tf.Tensor, constants: Constants
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    kept = dropout.kept(constants.drawn, constants.dropped, bias.dtype)
    total = (tf.cast(product, bias.dtype) + bias) * kept + residual
    return *elementwise.standardized(total, constants.epsilon), kept
