"""Two scores for each token, that a span begins there and that it ends there: for answers that stand in a text."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights

PADDING = -1e9
"""The logit of padding: a softmax over the tokens gives it nothing."""


class Span(Head):
    """Gives start and end logits `[rows, tokens, 2]` by one dense layer (Devlin et al. 2019, section 4.2)."""

    class Settings(Head.Settings):
        """What happens before the dense layer."""

        dropout: float = Field(default=0.0, ge=0, lt=1)

    settings: Settings

    def layer(self, units: int) -> keras.layers.Layer:
        """Returns the layer; see the contract."""
        return SpanLayer(units, name="head", **self.settings.model_dump())


class SpanLayer(keras.layers.Layer):
    """The layer that `Span` makes; its logits are float32 under mixed precision too, and `PADDING` at padding.

    Args:
        units: The number of logits of a token.
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
        return tf.where(attention_mask[:, :, None] > 0, logits, PADDING)
