"""Pooling: one vector for a text from the vectors of its tokens."""

from __future__ import annotations

from typing import Any, Literal, get_args

from tfxl.backend import keras, tf

PoolingKind = Literal["mean", "first", "max"]


class Pooling(keras.layers.Layer):
    """Makes `[batch, hidden]` from `[batch, tokens, hidden]`, looking only at tokens whose mask is 1.

    Args:
        kind: `mean` over all real tokens (Reimers and Gurevych 2019), the `first` token (Devlin et al. 2019) or the
            `max` of each dimension.

    Raises:
        ValueError: `kind` is none of these.
    """

    def __init__(self, kind: PoolingKind = "mean", **options: Any) -> None:
        super().__init__(**options)
        if kind not in get_args(PoolingKind):
            raise ValueError(f"pooling {kind!r}: expected one of {', '.join(get_args(PoolingKind))}")
        self.kind = kind

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """Pools hidden `[batch, tokens, hidden]` under attention_mask `[batch, tokens]`."""
        if self.kind == "first":
            return hidden[:, 0]
        mask = tf.cast(attention_mask, hidden.dtype)[:, :, tf.newaxis]
        if self.kind == "max":
            return tf.reduce_max(hidden + (1.0 - mask) * hidden.dtype.min / 2, axis=1)
        return tf.reduce_sum(hidden * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the layer's arguments, as Keras asks."""
        return {**super().get_config(), "kind": self.kind}
