"""A dense layer on each token and scores of neighbouring tags: for sequences whose labels depend on each other."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights


class Crf(Head):
    """Gives the potentials of a linear chain, `[rows, tokens, units, units]` (Lample et al. 2016, section 2.2).

    A potential is the score of a tag (last dimension) at a token, by a dense layer, plus the score of that tag after
    another (the dimension before). Which tokens are neighbours is the task's to say: it knows which ones have labels.
    Token 0, which is a special token, holds what is added at the first of them: the score of a tag at the beginning
    instead of after another tag. So one tensor is all that loss and decoding need; see `tfxl.layers.crf`.

    It costs `units` times the logits of `token`, and a step by step computation; it helps most with little data.
    """

    class Settings(Head.Settings):
        """What happens before the dense layer."""

        dropout: float = Field(default=0.1, ge=0, lt=1)

    settings: Settings

    def layer(self, units: int) -> keras.layers.Layer:
        """Returns the layer; see the contract."""
        return CrfLayer(units, name="head", **self.settings.model_dump())


class CrfLayer(keras.layers.Layer):
    """The layer that `Crf` makes; its potentials are float32 under mixed precision too, and 0 at padding.

    Args:
        units: The number of tags.
        dropout: The share of each vector that is dropped in training.
    """

    def __init__(self, units: int, *, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.dropout = keras.layers.Dropout(dropout)
        self.logits = keras.layers.Dense(units, kernel_initializer=new_weights(), dtype="float32", name="logits")

    def build(self, input_shape: Any) -> None:
        """Makes the dense layer, once the encoder's width is known, and the scores of transitions and beginnings."""
        with tf.name_scope("logits"):  # Keras opens a scope when it calls a layer, not when it builds one
            self.logits.build((None, None, input_shape[-1]))
        options = {"initializer": "zeros", "dtype": "float32", "experimental_autocast": False}
        self.transitions = self.add_weight("transitions", (self.units, self.units), **options)
        self.start = self.add_weight("start", (self.units,), **options)
        super().build(input_shape)

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns potentials `[rows, tokens, units, units]` of hidden `[rows, tokens, hidden]`."""
        scores = self.logits(self.dropout(hidden, training=training))
        potentials = scores[:, :, None, :] + self.transitions
        beginning = tf.zeros_like(potentials[:, :1]) + (self.start - self.transitions)
        potentials = tf.concat([beginning, potentials[:, 1:]], axis=1)
        return tf.where(attention_mask[:, :, None, None] > 0, potentials, 0.0)
