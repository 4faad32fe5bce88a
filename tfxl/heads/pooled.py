"""One vector for the whole text, then a dense layer: for labels of texts and of pairs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights
from tfxl.layers.pooling import Pooling, PoolingKind


class Pooled(Head):
    """Pools the tokens, applies dropout and gives logits `[batch, units]`.

    Use `pooling = "mean"` for sentence encoders such as multilingual-e5; `pooling = "first"` with `transform = "tanh"`
    is the head of BERT's own fine-tuned checkpoints (its pooler and a dense layer; Devlin et al. 2019).
    """

    class Settings(Head.Settings):
        """How the text's vector is made."""

        pooling: PoolingKind = "mean"
        transform: Literal["none", "tanh", "relu", "gelu"] = "none"
        """A dense layer of the encoder's width with this activation, before the logits."""
        dropout: float = Field(default=0.1, ge=0, lt=1)

    settings: Settings

    def layer(self, units: int) -> keras.layers.Layer:
        """Returns the layer; see the contract."""
        return PooledLayer(units, name="head", **self.settings.model_dump())


class PooledLayer(keras.layers.Layer):
    """The layer that `Pooled` makes; its logits are float32 under mixed precision too.

    Args:
        units: The number of logits.
        pooling: See `Pooling`.
        transform: The activation of a dense layer before the logits, or `none`.
        dropout: The share of the vector that is dropped in training, before each dense layer.
    """

    def __init__(self, units: int, *, pooling: PoolingKind, transform: str, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.transform = units, transform
        self.pooling = Pooling(pooling)
        self.dropout = keras.layers.Dropout(dropout)
        self.logits = keras.layers.Dense(units, kernel_initializer=new_weights(), dtype="float32", name="logits")

    def build(self, input_shape: Any) -> None:
        """Makes the dense layers, once the encoder's width is known."""
        width = input_shape[-1]
        self.dense = None
        if self.transform != "none":
            self.dense = keras.layers.Dense(width, self.transform, kernel_initializer=new_weights(), name="dense")
            with tf.name_scope("dense"):  # Keras opens a scope when it calls a layer, not when it builds one
                self.dense.build((None, width))
        with tf.name_scope("logits"):
            self.logits.build((None, width))
        super().build(input_shape)

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns logits `[batch, units]` of hidden `[batch, tokens, hidden]`."""
        vector = self.pooling(hidden, attention_mask)
        if self.dense is not None:
            vector = self.dense(self.dropout(vector, training=training))
        return self.logits(self.dropout(vector, training=training))
