"""Windows: which pieces of which text stand in each row, where a text is longer than a model reads at once."""

from __future__ import annotations

from typing import NamedTuple

from tfxl.backend import tf


class Rows(NamedTuple):
    """Which pieces each row holds.

    Attributes:
        example: `[rows]` int32, ascending: the text of each row.
        firsts: For each part of a pair, `[rows]` the first piece in the row.
        kept: For each part, `[rows]` how many pieces are in the row.
        truncated: `[batch]` whether some pieces of a text are in no row.
    """

    example: tf.Tensor
    firsts: list[tf.Tensor]
    kept: list[tf.Tensor]
    truncated: tf.Tensor


def shorten(parts: list[tf.RaggedTensor], room: int) -> Rows:
    """Returns one row a text, or pair of texts, of at most `room` pieces; what is too long loses its end.

    Args:
        parts: The pieces of the texts, or of both texts of the pairs, each `[batch, (pieces)]`.
        room: The most pieces of a row.
    """
    lengths = [_lengths(part) for part in parts]
    kept = _longest_first(lengths[0], lengths[1], room) if len(parts) == 2 else [tf.minimum(lengths[0], room)]
    lost = [length > keep for length, keep in zip(lengths, kept, strict=True)]
    example = tf.range(tf.shape(lengths[0])[0])
    return Rows(example, [tf.zeros_like(example) for _ in parts], kept, tf.reduce_any(tf.stack(lost), axis=0))


def cut(parts: list[tf.RaggedTensor], room: int, *, stride: int, most: int) -> Rows:
    """Returns as many rows a text as it takes to read all of it.

    Of a pair, the second text is cut into windows, each beside the first text, which keeps at most half of the room.

    Args:
        parts: The pieces of the texts, or of both texts of the pairs, each `[batch, (pieces)]`.
        room: The most pieces of a row.
        stride: How many pieces neighbouring windows share.
        most: The most windows of a text.
    """
    length = _lengths(parts[-1])
    leading = [tf.minimum(_lengths(part), room // 2) for part in parts[:-1]]
    lost = [_lengths(part) > kept for part, kept in zip(parts, leading, strict=False)]
    rooms = room - sum(leading, tf.zeros_like(length))
    needed = tf.maximum(1, -((stride - length) // (rooms - stride)))
    counts = tf.minimum(needed, most)
    example = tf.repeat(tf.range(tf.shape(length)[0]), counts)
    number = tf.range(tf.shape(example)[0]) - tf.gather(tf.cumsum(counts, exclusive=True), example)
    rooms, length = tf.gather(rooms, example), tf.gather(length, example)
    first = number * (rooms - stride)
    return Rows(
        example,
        [*(tf.zeros_like(first) for _ in leading), first],
        [*(tf.gather(kept, example) for kept in leading), tf.minimum(length - first, rooms)],
        tf.reduce_any(tf.stack([needed > most, *lost]), axis=0),
    )


def pick(encoded: dict[str, tf.Tensor], window: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns one window of each text, in the order of the texts.

    Args:
        encoded: What `Tokenizer.encode` gave with a stride.
        window: `[batch]` int32, the number of the window; the last one where a text has not so many.
    """
    counts = tf.math.bincount(encoded["example"], minlength=tf.shape(window)[0], dtype=tf.int32)
    rows = tf.cumsum(counts, exclusive=True) + tf.minimum(window, counts - 1)
    of_rows = {name: value for name, value in encoded.items() if name not in ("example", "truncated")}
    return {name: tf.gather(value, rows) for name, value in of_rows.items()} | {"truncated": encoded["truncated"]}


def _lengths(part: tf.RaggedTensor) -> tf.Tensor:
    return tf.cast(part.row_lengths(), tf.int32)


def _longest_first(first: tf.Tensor, second: tf.Tensor, room: int) -> list[tf.Tensor]:
    """Returns how many pieces of each text stay; an odd place goes to the longer text, or to the second of equals."""
    half, odd = divmod(room, 2)
    spare_first = odd * tf.cast(first > second, tf.int32)
    return [
        tf.minimum(first, tf.maximum(room - second, half + spare_first)),
        tf.minimum(second, tf.maximum(room - first, half + odd - spare_first)),
    ]
