"""Which tokens are masked, and what stands in their place: the same choice for a text in whatever batch it is."""

from __future__ import annotations

from typing import NamedTuple

from tfxl.backend import tf
from tfxl.text.tokenizer import SpecialIds

NOBODY = -1
"""The position, and the target, where fewer tokens of a row are asked for than of others."""


class Share(NamedTuple):
    """How a masked token is read: as the mask, as a random piece, and else as itself (Devlin et al. 2019, 3.1)."""

    mask: float = 0.8
    random: float = 0.1


def uniform(seeds: tf.Tensor, places: tf.Tensor, *, stream: int) -> tf.Tensor:
    """Returns random numbers `[rows, places]` from 0 to below 1, each a function of seed, place and stream alone.

    It is SplitMix64 (Steele et al. 2014) with a counter, so that a row's numbers do not depend on the rows beside it,
    as those of TensorFlow's generators do.

    Args:
        seeds: `[rows]` int64.
        places: `[rows, places]` or `[places]` int32.
        stream: Tells several numbers of one seed and place apart.
    """
    count = tf.cast(places, tf.uint64) * tf.constant(4, tf.uint64) + tf.constant(stream + 1, tf.uint64)
    state = _mixed(tf.bitcast(seeds, tf.uint64))[:, None] + count * tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    bits = tf.bitwise.right_shift(_mixed(state), tf.constant(40, tf.uint64))
    return tf.cast(bits, tf.float32) * 2.0**-24


def _mixed(state: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        shifted = tf.bitwise.right_shift(state, tf.constant(shift, tf.uint64))
        state = tf.bitwise.bitwise_xor(state, shifted) * tf.constant(factor, tf.uint64)
    return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, tf.constant(31, tf.uint64)))


def positions_of(chosen: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, positions]` int32: the positions of the chosen tokens `[rows, tokens]` bool, ascending.

    There are as many as in the row with most of them; `NOBODY` fills the others.
    """
    tokens = tf.shape(chosen)[1]
    ordered = tf.sort(tf.where(chosen, tf.range(tokens), tokens), axis=1)
    most = tf.reduce_max(tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1))
    return tf.where(ordered < tokens, ordered, NOBODY)[:, :most]


def drawn(candidates: tf.Tensor, seeds: tf.Tensor, share: float) -> tf.Tensor:
    """Returns which of the candidates `[rows, tokens]` bool are chosen: a share of each row's, at least one.

    Args:
        candidates: What may be chosen.
        seeds: `[rows]` int64.
        share: Above 0, at most 1.
    """
    count = tf.reduce_sum(tf.cast(candidates, tf.int32), axis=1, keepdims=True)
    wanted = tf.maximum(tf.cast(tf.round(share * tf.cast(count, tf.float32)), tf.int32), 1)
    numbers = tf.where(candidates, uniform(seeds, tf.range(tf.shape(candidates)[1]), stream=0), 2.0)
    ranks = tf.argsort(tf.argsort(numbers, axis=1, stable=True), axis=1)
    return candidates & (ranks < wanted)


def corrupted(
    ids: tf.Tensor, chosen: tf.Tensor, seeds: tf.Tensor, special: SpecialIds, *, size: int, share: Share
) -> tf.Tensor:
    """Returns the ids `[rows, tokens]` with the chosen ones masked, replaced by another piece, or left.

    Args:
        ids: int32.
        chosen: `[rows, tokens]` bool.
        seeds: `[rows]` int64.
        special: The special tokens, which no piece is replaced by.
        size: The number of pieces.
        share: How many of the chosen ones become what.
    """
    places = tf.range(tf.shape(ids)[1])
    luck = uniform(seeds, places, stream=1)
    without = sorted({id for id in special if id is not None})
    # A 24-bit number times the number of pieces: every piece of a vocabulary of millions can be drawn.
    other = tf.cast(uniform(seeds, places, stream=2) * float(size - len(without)), tf.int32)
    for id in without:
        other += tf.cast(other >= id, tf.int32)
    replaced = tf.where(luck < share.mask, special.mask, tf.where(luck < share.mask + share.random, other, ids))
    return tf.where(chosen, replaced, ids)


def owned(encoded: dict[str, tf.Tensor], stride: int) -> tf.Tensor:
    """Returns `[rows, tokens]` bool: the tokens that count in their row, each token of a text in one window alone.

    Of what two neighbouring windows share, each has the half that stands deeper inside of it.

    Args:
        encoded: What `Tokenizer.encode` gave for single texts.
        stride: The tokens that windows share.
    """
    real = encoded["attention_mask"] > 0
    if "example" not in encoded:
        return real
    example, position = encoded["example"], tf.range(tf.shape(real)[1])[None]
    begins = tf.pad(example[1:] != example[:-1], [[1, 0]], constant_values=True)[:, None]
    ends = tf.pad(example[1:] != example[:-1], [[0, 1]], constant_values=True)[:, None]
    last = tf.reduce_sum(encoded["attention_mask"], axis=1, keepdims=True) - 1  # the separator
    after_start = begins | (position >= 1 + stride - stride // 2)
    before_end = ends | (position < last - stride // 2)
    return real & after_start & before_end
