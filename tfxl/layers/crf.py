"""Linear chains (Lafferty et al. 2001): how likely a sequence of tags is, where a tag depends on the one before it.

Potentials `[rows, tokens, tags, tags]` say at each token how well a tag (last dimension) goes there after another (the
dimension before). A chain need not visit every token: `mask` `[rows, tokens]` bool says which ones are its places, and
the tag before a place is the tag of the place before it, however many tokens lie between. Before the first place stands
tag 0: give `with_start` the potentials first where a chain begins in a way of its own.

All functions are plain graph ops of static shapes, which XLA can compile, and their gradients are exact.
"""

from __future__ import annotations

from collections.abc import Callable

from tfxl.backend import tf

IMPOSSIBLE = -1e9
"""The score of what cannot be. It is finite, so that no gradient is nan."""


def with_start(potentials: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Adds what token 0 holds to the first place of each chain.

    Token 0 is a special token and never a place, so a head can keep there what is different about a beginning.
    """
    return potentials + tf.where(is_first(mask)[:, :, None, None], potentials[:, :1], 0.0)


def is_first(mask: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, tokens]` bool: the first place of each chain."""
    return mask & (tf.cumsum(tf.cast(mask, tf.int32), axis=1) == 1)


def log_partition(potentials: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns `[rows]`: the logarithm of the sum of exp(score) over all sequences; 0 for a chain of no places."""
    return tf.reduce_logsumexp(_forward(potentials, mask, tf.reduce_logsumexp)[-1], axis=-1)


def path_score(potentials: tf.Tensor, tags: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns `[rows]`: the score of one sequence of tags; 0 for a chain of no places.

    Args:
        potentials: `[rows, tokens, tags, tags]`.
        tags: `[rows, tokens]` int32; what is not at a place is not looked at.
        mask: `[rows, tokens]` bool, the places.
    """
    size = tf.shape(potentials)[-1]
    tags = tf.where(mask, tags, 0)
    number = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
    is_before = mask[:, None, :] & (number[:, None, :] == number[:, :, None] - 1)
    before = tf.reduce_sum(tf.where(is_before, tags[:, None, :], 0), axis=-1)
    flat = tf.reshape(potentials, tf.concat([tf.shape(tags), [size * size]], axis=0))
    scores = tf.gather(flat, before * size + tags, axis=2, batch_dims=2)
    return tf.reduce_sum(tf.where(mask, scores, 0.0), axis=1)


def viterbi(potentials: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best sequence of tags (Viterbi 1967) and its score.

    Returns:
        Tags `[rows, tokens]` int32, a token between places with the tag of the place before it; scores `[rows]`.
    """
    scores = _forward(potentials, mask, tf.reduce_max)
    start = _start(potentials)
    before = tf.concat([start[None], scores[:-1]], axis=0)
    pointers = tf.argmax(before[:, :, :, None] + _steps(potentials), axis=2, output_type=tf.int32)

    def step(state: tuple[tf.Tensor, tf.Tensor], at: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        tag, (pointer, is_place) = state[0], at
        return tf.where(is_place, tf.gather(pointer, tag, axis=1, batch_dims=1), tag), tag

    last = tf.argmax(scores[-1], axis=-1, output_type=tf.int32)
    _, tags = tf.scan(step, (pointers, tf.transpose(mask)), initializer=(last, last), reverse=True)
    return tf.transpose(tags), tf.reduce_max(scores[-1], axis=-1)


def marginals(potentials: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, tokens, tags]`: the probability of each tag at each place, over all sequences."""
    scores = _forward(potentials, mask, tf.reduce_logsumexp)

    def step(state: tuple[tf.Tensor, tf.Tensor], at: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        after, (potential, is_place) = state[0], at
        further = tf.reduce_logsumexp(potential + after[:, None, :], axis=2)
        return tf.where(is_place[:, None], further, after), after

    nothing = tf.zeros_like(scores[-1])
    elements = (_steps(potentials), tf.transpose(mask))
    _, after = tf.scan(step, elements, initializer=(nothing, nothing), reverse=True)
    return tf.nn.softmax(tf.transpose(scores + after, [1, 0, 2]))


def _forward(potentials: tf.Tensor, mask: tf.Tensor, combine: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Returns `[tokens, rows, tags]`: all sequences up to a token that end with a tag, their scores combined."""

    def step(scores: tf.Tensor, at: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        potential, is_place = at
        return tf.where(is_place[:, None], combine(scores[:, :, None] + potential, axis=1), scores)

    return tf.scan(step, (_steps(potentials), tf.transpose(mask)), initializer=_start(potentials))


def _steps(potentials: tf.Tensor) -> tf.Tensor:
    return tf.transpose(potentials, [1, 0, 2, 3])


def _start(potentials: tf.Tensor) -> tf.Tensor:
    """Tag 0 before the first place, `[rows, tags]`."""
    tag = tf.range(tf.shape(potentials)[-1])[None, :]
    return tf.where(tag == 0, 0.0, IMPOSSIBLE) * tf.ones_like(potentials[:, 0, 0])
