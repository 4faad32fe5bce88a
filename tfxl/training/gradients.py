"""Gradients that may be the rows of a table: summed, measured, scaled and accumulated without being made dense.

Everything here works on the resource handles of variables, so that it runs on one device's copy of a variable: eagerly,
in a graph, under XLA, and inside `tf.distribute`'s update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tfxl.backend import tf

Gradient: TypeAlias = "tf.Tensor | tf.IndexedSlices"

ops = tf.raw_ops


def read(variable: tf.Variable) -> tf.Tensor:
    """Returns the whole value of a variable on this device."""
    return ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def read_rows(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, …]` of a variable on this device."""
    value = ops.ResourceGather(resource=variable.handle, indices=rows, dtype=variable.dtype)
    return tf.ensure_shape(value, [None, *variable.shape[1:]])


def write_rows(variable: tf.Variable, rows: tf.Tensor, values: tf.Tensor) -> None:
    """Replaces rows of a variable; a row must not occur twice."""
    ops.ResourceScatterUpdate(resource=variable.handle, indices=rows, updates=values)


def sum_rows(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Returns the gradient with each row once: rows that occur again are added up."""
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.shape(rows)[0])
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def global_norm(gradients: Sequence[Gradient]) -> tf.Tensor:
    """Returns the norm of all gradients as one vector; rows must be summed, or they would be counted apart."""
    halves = [tf.cast(tf.nn.l2_loss(_values(gradient)), tf.float32) for gradient in gradients]
    return tf.sqrt(2 * tf.add_n(halves))


def scaled(gradient: Gradient, scale: tf.Tensor) -> Gradient:
    """Returns the gradient times a number; where the number is 0, zeros even for a gradient that is not finite."""
    values = tf.math.multiply_no_nan(_values(gradient), tf.cast(scale, gradient.dtype))
    return _with_values(gradient, values)


def add_to_sum(gradient: Gradient, slots: Mapping[str, tf.Variable]) -> None:
    """Adds a gradient to the slot `sum`; the slot `used` marks the rows that it touches."""
    if isinstance(gradient, tf.IndexedSlices):
        ops.ResourceScatterAdd(resource=slots["sum"].handle, indices=gradient.indices, updates=gradient.values)
        marks = tf.ones(tf.shape(gradient.indices), slots["used"].dtype)
        write_rows(slots["used"], gradient.indices, marks)
    else:
        ops.AssignAddVariableOp(resource=slots["sum"].handle, value=gradient)


def take_sum(gradient: Gradient, slots: Mapping[str, tf.Variable], share: tf.Tensor) -> Gradient:
    """Empties the slot `sum` and returns what it held, times `share`, in the form of `gradient`."""
    total = slots["sum"]
    share = tf.cast(share, total.dtype)
    if not isinstance(gradient, tf.IndexedSlices):
        value = read(total) * share
        ops.AssignVariableOp(resource=total.handle, value=tf.zeros_like(value))
        return value
    used = read(slots["used"])
    rows = tf.cast(tf.where(used > 0)[:, 0], gradient.indices.dtype)
    values = read_rows(total, rows) * share
    write_rows(total, rows, tf.zeros_like(values))
    ops.AssignVariableOp(resource=slots["used"].handle, value=tf.zeros_like(used))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _values(gradient: Gradient) -> tf.Tensor:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _with_values(gradient: Gradient, values: tf.Tensor) -> Gradient:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return values
