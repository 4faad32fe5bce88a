"""The piece that stands behind a mask: for models that learn a language from plain text, and fill gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.heads import Head
from tfxl.heads._initial import new_weights

Activation = Literal["gelu", "gelu_new", "relu", "silu", "tanh"]
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": tf.nn.gelu,
    "gelu_new": lambda value: tf.nn.gelu(value, approximate=True),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
    "tanh": tf.tanh,
}
USUAL_EPSILON = 1e-12
"""BERT's, for a layer that was not tied to an encoder."""
VOCABULARY = "vocabulary"
"""The scope of variables with a row for each piece: they are cut together with the word embeddings."""


class MaskedLanguage(Head):
    """Gives each masked token a logit for every piece of the vocabulary (Devlin et al. 2019, section 3.1, task 1).

    A dense layer with activation and LayerNorm changes a token's vector; its products with the word embeddings
    themselves (tied, Press and Wolf 2017) plus a bias of each piece are the logits. They are computed at the positions
    that are asked for alone: of all tokens of a batch they would fill the memory.
    """

    class Settings(Head.Settings):
        """What stands between the encoder and the logits."""

        activation: Activation = "gelu"
        epsilon: float | None = Field(default=None, gt=0)
        """What LayerNorm adds to the variance; what the encoder's does if left out."""
        tied: bool = True
        """Whether the word embeddings are the last layer's weights; if not, it has weights of its own."""

    settings: Settings

    def layer(self, units: int) -> MaskedLanguageLayer:
        """Returns the layer; see the contract. `tie` gives it what it shares with the encoder."""
        return MaskedLanguageLayer(units, name="head", **self.settings.model_dump())


class MaskedLanguageLayer(keras.layers.Layer):
    """The layer that `MaskedLanguage` makes; it computes in float32 under mixed precision too.

    Args:
        units: The number of pieces; 0 for as many as the embeddings have.
        activation: The activation of the dense layer.
        epsilon: What LayerNorm adds to the variance; None for what `tie` says.
        tied: Whether the layer takes what `tie` gives it for weights.
    """

    def __init__(self, units: int, *, activation: str, epsilon: float | None, tied: bool, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self.units, self.activation, self.epsilon, self.tied = units, activation, epsilon, tied
        self._table: Callable[[], tf.Variable] | None = None

    def tie(self, table: tf.Variable, epsilon: float) -> None:
        """Tells the encoder's word embeddings `[pieces, width]` and epsilon, before the layer is built."""
        self.units, self.epsilon = int(table.shape[0]), self.epsilon or epsilon
        if self.tied:
            self._table = lambda: table  # behind a function: it is the encoder's variable, not one of this layer

    def build(self, input_shape: Any) -> None:
        """Makes the layers, once the encoder's width is known."""
        width = input_shape[-1]
        self.dense = keras.layers.Dense(width, kernel_initializer=new_weights(), dtype="float32", name="dense")
        epsilon = self.epsilon or USUAL_EPSILON
        self.norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype="float32", name="layer_norm")
        for layer in (self.dense, self.norm):
            with tf.name_scope(layer.name):  # Keras opens a scope when it calls a layer, not when it builds one
                layer.build((None, None, width))
        with tf.name_scope(VOCABULARY):
            self.bias = self.add_weight("bias", (self.units,), initializer="zeros")
            self.decoder = None
            if self._table is None:
                self.decoder = self.add_weight("decoder", (self.units, width), initializer=new_weights())
        super().build(input_shape)

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor, positions: tf.Tensor | None = None) -> tf.Tensor:
        """Returns logits `[rows, positions, units]` of hidden `[rows, tokens, hidden]`.

        Args:
            hidden: The encoder's vectors.
            attention_mask: `[rows, tokens]`.
            positions: `[rows, positions]` int32, the tokens that are asked for, -1 for none; all tokens if None.
        """
        is_asked = attention_mask > 0 if positions is None else positions >= 0
        if positions is not None:
            hidden = tf.gather(hidden, tf.maximum(positions, 0), batch_dims=1)
        vectors = self.norm(ACTIVATIONS[self.activation](self.dense(tf.cast(hidden, tf.float32))))
        vectors = tf.where(is_asked[:, :, None], vectors, 0.0)
        table = self.decoder if self._table is None else self._table()
        flat = tf.matmul(tf.reshape(vectors, [-1, vectors.shape[-1]]), table, transpose_b=True) + self.bias
        shape = tf.shape(is_asked)
        return tf.reshape(flat, [shape[0], shape[1], self.units])
