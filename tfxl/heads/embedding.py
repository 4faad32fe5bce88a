"""One vector for the whole text, of length 1: for texts that are compared, searched and grouped."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights
from tfxl.layers.pooling import Pooling, PoolingKind


class Embedding(Head):
    """Pools the tokens and gives embeddings `[rows, dimensions]` (Reimers and Gurevych 2019).

    The dimensions are the encoder's width, or those of `projection`. Sentence encoders such as multilingual-e5 need no
    projection: without one the head has no weights, and a model can be used without any training.
    """

    class Settings(Head.Settings):
        """How the text's vector is made."""

        pooling: PoolingKind = "mean"
        projection: int = Field(default=0, ge=0)
        """Above 0: a dense layer with bias makes so many dimensions of the pooled vector."""
        activation: Literal["none", "tanh"] = "none"
        """The activation of that layer."""
        normalize: bool = True
        """Whether vectors have length 1, so that their dot product is the cosine."""

    settings: Settings

    def layer(self, units: int) -> keras.layers.Layer:
        """Returns the layer; `units` above 0 takes the place of `projection`."""
        told = self.settings.model_dump()
        projection = told.pop("projection")
        return EmbeddingLayer(units or projection, **told, name="head", dtype="float32")


class EmbeddingLayer(keras.layers.Layer):
    """The layer that `Embedding` makes. It computes in float32 under mixed precision too: cosines are close together.

    Args:
        units: The dimensions of a dense layer after pooling; 0 for none.
        pooling: See `Pooling`.
        activation: Its activation, or `none`.
        normalize: Whether vectors have length 1.
    """

    def __init__(
        self, units: int, *, pooling: PoolingKind, normalize: bool, activation: str = "none", **options: Any
    ) -> None:
        super().__init__(**options)
        self.normalize = normalize
        self.pooling = Pooling(pooling, dtype="float32")
        used = None if activation == "none" else activation
        dense = keras.layers.Dense(units, used, kernel_initializer=new_weights(), dtype="float32") if units else None
        self.dense = dense

    def build(self, input_shape: Any) -> None:
        """Makes the dense layer, once the encoder's width is known."""
        if self.dense is not None:
            with tf.name_scope("dense"):  # Keras opens a scope when it calls a layer, not when it builds one
                self.dense.build((None, input_shape[-1]))
        super().build(input_shape)

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """Returns vectors `[rows, dimensions]` of hidden `[rows, tokens, hidden]`."""
        vector = self.pooling(hidden, attention_mask)
        if self.dense is not None:
            vector = self.dense(vector)
        return tf.math.l2_normalize(vector, axis=-1) if self.normalize else vector
