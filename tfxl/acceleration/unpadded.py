"""The encoder's layers without padding: in training they read the real tokens of a batch as one list.

A batch is as long as its longest text, so that some of its positions hold no token: an eighth of them even where texts
of similar length share a batch. Everything in a layer of BERT but the attention itself treats each token alone, and
need not compute those positions. Only queries, keys and values are put back into rows of texts (Zeng et al. 2022,
"Boosting Distributed Training Performance of the Unpadded BERT Model").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from transformers.modeling_tf_outputs import TFBaseModelOutputWithPastAndCrossAttentions
from transformers.models.bert.modeling_tf_bert import TFBertEncoder, TFBertSelfAttention

from tfxl.acceleration.replacing import calls, replaced
from tfxl.backend import keras, tf

FINENESS = 5
"""Lists of tokens have at most `2**FINENESS` lengths between one power of two and the next: the libraries that multiply
matrices prepare each shape once."""


class Places(NamedTuple):
    """Where the tokens of a list stand in a batch.

    Attributes:
        positions: `[tokens]` int32, the position of each token of the list in the batch, read row by row. Real tokens
            come first; a few positions of padding may follow.
        tokens: `[batch * length]` int32, the token of the list at each position; the last one, which is padding as
            well, where the list has none.
        mask: `[batch, 1, 1, length]`, what the attention adds to its scores.
    """

    positions: tf.Tensor
    tokens: tf.Tensor
    mask: tf.Tensor

    @classmethod
    def of(cls, mask: tf.Tensor) -> Places:
        """Finds the places of the tokens that `mask` lets through."""
        real = tf.reshape(mask, [-1]) >= 0
        numbers = tf.range(tf.size(real))
        order = tf.concat([numbers[real], numbers[~real]], 0)
        size = _rounded(tf.math.count_nonzero(real, dtype=tf.int32), limit=tf.size(real))
        return cls(order[:size], tf.minimum(tf.math.invert_permutation(order), size - 1), mask)

    def list(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the tokens `[1, tokens, …]` of rows of texts `[batch, length, …]`."""
        flat = tf.reshape(rows, tf.concat([[-1], tf.shape(rows)[2:]], 0))
        return tf.expand_dims(_moved(flat, self.positions, self.tokens), 0)

    def rows(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns rows of texts `[batch, length, …]` of tokens `[1, tokens, …]`; what is at padding has no meaning."""
        batch, length = tf.shape(self.mask)[0], tf.shape(self.mask)[3]
        rows = _moved(tf.squeeze(tokens, 0), self.tokens, self.positions)
        return tf.reshape(rows, tf.concat([[batch, length], tf.shape(tokens)[2:]], 0))


def _rounded(count: tf.Tensor, *, limit: tf.Tensor) -> tf.Tensor:
    """Returns a size above `count`, so that the last token is one of padding, or `limit` if that is less."""
    octave = tf.cast(tf.math.log(tf.cast(tf.maximum(count, 1), tf.float32)) / tf.math.log(2.0), tf.int32)
    step = tf.bitwise.left_shift(1, tf.maximum(octave - FINENESS, 0))
    return tf.minimum((count // step + 1) * step, limit)


def _moved(values: tf.Tensor, there: tf.Tensor, back: tf.Tensor) -> tf.Tensor:
    """Returns `values[there]`; the gradient takes the way back, and needs no sums over places that occur twice."""

    @tf.custom_gradient
    def moved(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.gather(values, there), lambda upstream: tf.gather(upstream, back)

    return moved(values)


def project(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns `[tokens, units]` of inputs `[tokens, features]`."""
    return inputs @ kernel + bias


@contextmanager
def without_padding(model: keras.Model, project: Callable[..., tf.Tensor] = project) -> Iterator[None]:
    """Lets the layers of TFBertModel leave padding out in training, in functions that are traced inside.

    What the encoder gives at positions of padding has no meaning then, as it has none with padding. Shapes follow the
    tokens of each batch, which programs compiled by XLA cannot do.

    Args:
        model: A model that is built.
        project: Makes queries, keys and values.
    """
    attend = functools.partial(_attend, project)
    with replaced(calls(model, {TFBertEncoder: _encode, TFBertSelfAttention: attend})):
        yield


def _encode(
    encoder: TFBertEncoder,
    whole: Callable[..., Any],
    hidden_states: tf.Tensor,
    attention_mask: tf.Tensor,
    *,
    training: bool = False,
    **options: Any,
) -> Any:
    """Runs the layers over a list of tokens in training, and by the encoder's own `whole` method otherwise."""
    if training is not True or attention_mask.shape[1:3] != [1, 1]:
        return whole(hidden_states, attention_mask, training=training, **options)
    places = Places.of(attention_mask)
    listed = whole(places.list(hidden_states), places, training=training, **options).last_hidden_state
    return TFBaseModelOutputWithPastAndCrossAttentions(last_hidden_state=places.rows(listed))


def _attend(
    project: Callable[..., tf.Tensor],
    layer: TFBertSelfAttention,
    whole: Callable[..., Any],
    hidden_states: tf.Tensor,
    attention_mask: Places | tf.Tensor,
    *rest: Any,
    **options: Any,
) -> tuple[tf.Tensor, ...]:
    """Lets a list of tokens attend to each other within their texts; anything else goes to the layer's own method."""
    if not isinstance(attention_mask, Places):
        return whole(hidden_states, attention_mask, *rest, **options)
    places, heads, size = attention_mask, layer.num_attention_heads, layer.attention_head_size
    parts = (layer.query, layer.key, layer.value)
    kernel = tf.concat([tf.convert_to_tensor(part.kernel) for part in parts], 1)
    bias = tf.concat([tf.convert_to_tensor(part.bias) for part in parts], 0)
    joined = project(tf.squeeze(hidden_states, 0), kernel, bias)
    rows = places.rows(tf.expand_dims(joined, 0))
    batch, length = tf.shape(rows)[0], tf.shape(rows)[1]
    split = tf.transpose(tf.reshape(rows, [batch, length, 3, heads, size]), [2, 0, 3, 1, 4])
    query, key, value = tf.unstack(split)
    scores = tf.matmul(query * size**-0.5, key, transpose_b=True)
    shares = tf.nn.softmax(scores + tf.cast(places.mask, scores.dtype))
    kept = layer.dropout(tf.cast(shares, tf.float32), training=True)  # halves would round what dropout multiplies by
    context = tf.transpose(tf.matmul(tf.cast(kept, value.dtype), value), [0, 2, 1, 3])
    return (places.list(tf.reshape(context, [batch, length, heads * size])),)
