"""A dense layer on each token: for labels of words and of parts of a text."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights


class Token(Head):
    """Applies dropout and gives logits `[rows, tokens, units]`, each token by itself (Devlin et al. 2019, section 5.3).

    Use it for named entities and parts of speech; where neighbouring labels depend on each other look at `crf`.
    """

    class Settings(Head.Settings):
        """What happens before the dense layer."""

        dropout: float = Field(default=0.1, ge=0, lt=1)

    settings: Settings

    def layer(self, units: int) -> keras.layers.Layer:
        """Returns the layer; see the contract."""
        return TokenLayer(units, name="head", **self.settings.model_dump())


class TokenLayer(keras.layers.Layer):
    """The layer that `Token` makes; its logits are float32 under mixed precision too, and 0 at padding.

    Args:
        units: The number of logits.
        dropout: The share of each vector that is dropped in training.
    """

    def __init__(self, units: int, *, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.dropout = keras.layers.Dropout(dropout)
        self.logits = keras.layers.Dense(units, kernel_initializer=new_weights(), dtype="float32", name="logits")

    def build(self, input_shape: Any) -> None:
        """Makes the dense layer, once the encoder's width is known."""
        with tf.name_scope("logits"):  # Keras opens a scope when it calls a layer, not when it builds one
            self.logits.build((None, None, input_shape[-1]))
        super().build(input_shape)

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns logits `[rows, tokens, units]` of hidden `[rows, tokens, hidden]`."""
        logits = self.logits(self.dropout(hidden, training=training))
        return tf.where(attention_mask[:, :, None] > 0, logits, 0.0)
