"""Spans: from a tag for each unit of a text to the stretches that are answered, in the graph; and from words to bytes.

The rule of BIO tags is seqeval's: `B-` always begins a span; `I-` goes on with a span of its own label that ends right
before it, and begins one otherwise. So there is no sequence of tags that could not be read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from tfxl.backend import tf
from tfxl.text import units

OUTSIDE = -1
UNSEEN = ("Cc", "Cf", "Co", "Zs", "Zl", "Zp")
"""Unicode's categories of characters that `is_unseen` counts."""
_KEY_BITS = 10
"""Bits for how near to an edge of its window a token stands."""


class Scheme(NamedTuple):
    """What tags mean.

    Attributes:
        labels: The labels of spans.
        label: For each tag the number of its label, or OUTSIDE.
        begins: For each tag, whether it always begins a span.
        inner: For each tag, the tag of a further unit of a word that has it.
        follows: For each tag, the tags that may stand before it; all if empty.
    """

    labels: tuple[str, ...]
    label: tuple[int, ...]
    begins: tuple[bool, ...]
    inner: tuple[int, ...]
    follows: tuple[tuple[int, ...], ...]

    @property
    def outside(self) -> int:
        """The tag of a word that no span covers; the first where every tag makes spans."""
        return self.label.index(OUTSIDE) if OUTSIDE in self.label else 0


def plain(tags: Sequence[str]) -> Scheme:
    """Returns the scheme in which each unit is a span whose label is its tag, as parts of speech are."""
    places = tuple(range(len(tags)))
    return Scheme(tuple(tags), places, (True,) * len(tags), places, ((),) * len(tags))


def complete(tags: Sequence[str]) -> tuple[str, ...]:
    """Returns BIO tags with what is missing: a label that has only one of `B-` and `I-` gets the other, at the end."""
    both = (f"{kind}-{tag[2:]}" for tag in tags if tag != "O" for kind in "BI")
    return tuple(dict.fromkeys([*tags, *both]))


def begun(tags: Sequence[str]) -> list[str]:
    """Returns tags of the same spans in which each span begins with `B-`, as the rule reads them."""
    pairs = zip(["O", *tags], tags, strict=False)
    return [f"B-{tag[2:]}" if tag[:2] == "I-" and before[2:] != tag[2:] else tag for before, tag in pairs]


def bio(tags: Sequence[str]) -> Scheme:
    """Returns the scheme of `O`, `B-LABEL` and `I-LABEL`, each label with both."""
    labels = tuple(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))
    inner = [tag if tag == "O" else f"I-{tag[2:]}" for tag in tags]
    return Scheme(
        labels,
        tuple(OUTSIDE if tag == "O" else labels.index(tag[2:]) for tag in tags),
        tuple(tag.startswith("B-") for tag in tags),
        tuple(tags.index(tag) for tag in inner),
        tuple((tags.index(f"B-{tag[2:]}"), place) if tag[:2] == "I-" else () for place, tag in enumerate(tags)),
    )


class Tagged(NamedTuple):
    """The units, or spans, of a batch of texts, one text after another.

    Attributes:
        text: `[units]` int32, ascending: the text of each.
        start: `[units]` int32, its first byte.
        end: `[units]` int32, the byte after its last.
        tag: `[units]` int32.
        score: `[units]`.
    """

    text: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor
    tag: tf.Tensor
    score: tf.Tensor


def of_rows(encoded: dict[str, tf.Tensor], tags: tf.Tensor, scores: tf.Tensor) -> Tagged:
    """Returns the units of all texts from rows of tokens, which may be windows that overlap.

    What stands in several windows counts as in the one in which it is farthest from an edge.

    Args:
        encoded: `starts`, `ends`, `is_unit`, `attention_mask` `[rows, tokens]` and `owner` `[rows]`.
        tags: `[rows, tokens]` int32.
        scores: `[rows, tokens]`.
    """
    starts, ends = encoded["starts"], encoded["ends"]
    tokens = tf.reduce_sum(encoded["attention_mask"], axis=1, keepdims=True)
    place = tf.range(tf.shape(starts)[1])[None, :]
    to_edge = tf.clip_by_value(tf.minimum(place, tokens - 1 - place), 0, 2**_KEY_BITS - 1)
    key = units.key(encoded["owner"][:, None], starts)
    pieces = [key, to_edge, ends, encoded["is_unit"], tags, scores]
    key, to_edge, *rest = (tf.boolean_mask(each, ends > starts) for each in pieces)
    # One copy of each token, in the order of the texts.
    order = tf.argsort(key * 2**_KEY_BITS - tf.cast(to_edge, tf.int64), stable=True)
    key = tf.gather(key, order)
    is_new = _changes(key)
    key, *rest = (tf.boolean_mask(each, is_new) for each in (key, *(tf.gather(each, order) for each in rest)))
    return _units(key, *rest)


def _units(key: tf.Tensor, end: tf.Tensor, is_unit: tf.Tensor, tag: tf.Tensor, score: tf.Tensor) -> Tagged:
    """Puts the tokens of each unit together; its first token speaks for it."""
    text, start = tf.cast(key // 2**31, tf.int32), tf.cast(key % 2**31, tf.int32)
    is_first = is_unit | _changes(text)
    last = tf.math.segment_max(end, tf.cumsum(tf.cast(is_first, tf.int32)) - 1)
    text, start, tag, score = (tf.boolean_mask(each, is_first) for each in (text, start, tag, score))
    return Tagged(text, start, last, tag, score)


def join(tagged: Tagged, scheme: Scheme) -> Tagged:
    """Returns the spans: the tag is then the number of the label, the score the mean over the span's units."""
    label = tf.gather(tf.constant(scheme.label), tagged.tag)
    begins = tf.gather(tf.constant(scheme.begins), tagged.tag) | _changes(label) | _changes(tagged.text)
    is_inside = label != OUTSIDE
    begins &= is_inside
    number = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int32)) - 1, is_inside)
    return Tagged(
        tf.boolean_mask(tagged.text, begins),
        tf.boolean_mask(tagged.start, begins),
        tf.math.segment_max(tf.boolean_mask(tagged.end, is_inside), number),
        tf.boolean_mask(label, begins),
        tf.math.segment_mean(tf.boolean_mask(tagged.score, is_inside), number),
    )


def outputs(spans: Tagged, texts: tf.Tensor, labels: Sequence[str]) -> dict[str, tf.Tensor]:
    """Returns what is served of spans, each `[batch, spans]` and padded with nothing, and `num_spans` `[batch]`.

    Args:
        spans: The spans, as `join` gives them.
        texts: `[batch]` string.
        labels: The names of the labels.
    """
    found = units.characters(texts)
    keys = units.key(found.text, found.place)
    first = tf.searchsorted(keys, units.key(spans.text, spans.start))
    after = units.whole(found, spans.text, spans.end)
    batch = tf.shape(texts)[0]
    shift = tf.gather(found.first, spans.text)
    values = {
        "span_texts": _cut(texts, first, after),
        "span_labels": tf.gather(tf.constant(labels), spans.tag),
        "span_scores": spans.score,
        "span_starts": first - shift,
        "span_ends": after - shift,
        "span_start_bytes": spans.start,
        "span_end_bytes": units.first_byte(found, texts, spans.text, after),
    }
    rows = {name: tf.RaggedTensor.from_value_rowids(value, spans.text, batch) for name, value in values.items()}
    return {name: value.to_tensor() for name, value in rows.items()} | {
        "num_spans": tf.cast(rows["span_texts"].row_lengths(), tf.int32)
    }


def _cut(texts: tf.Tensor, first: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Returns the strings of spans of characters; a text is never copied for each of its spans."""
    letters = tf.strings.unicode_split(texts, "UTF-8").flat_values
    number = tf.range(tf.size(letters))
    span = tf.searchsorted(first, number, side="right") - 1
    is_inside = (span >= 0) & (number < tf.gather(tf.concat([after, [0]], axis=0), tf.maximum(span, 0)))
    letters, span = tf.boolean_mask(letters, is_inside), tf.boolean_mask(span, is_inside)
    return tf.strings.unsorted_segment_join(letters, span, tf.size(first))


def _changes(values: tf.Tensor) -> tf.Tensor:
    """Whether each value differs from the one before it; the first does."""
    is_first = tf.ones_like(values[:1], tf.bool)
    return tf.concat([is_first, values[1:] != values[:-1]], axis=0)


class WordPlace(NamedTuple):
    """Where the part of a word that is seen stands: first byte, and the byte after its last; no bytes of it if none."""

    start: int
    end: int


def place_words(text: str, words: Sequence[str]) -> list[WordPlace]:
    """Returns where words stand in a text, looking for each after the one before it.

    Args:
        text: The text.
        words: Its words in their order.

    Raises:
        ValueError: A word is not there; the message is the word.
    """
    found, character, byte = [], 0, 0
    for word in words:
        place = text.find(word, character)
        if place < 0:
            raise ValueError(word)
        visible = word.lstrip("".join(letter for letter in set(word) if is_unseen(letter)))
        begin = byte + len(text[character:place].encode())
        end = begin + len(word.encode())
        # A word of which nothing is seen must not stand where the next one begins, whose label it would share.
        found.append(WordPlace(end - len(visible.encode()), end) if visible else WordPlace(begin, begin))
        character, byte = place + len(word), end
    return found


def is_unseen(letter: str) -> bool:
    """Returns whether a tokenizer leaves a character out at the edges of a token.

    Beside spaces and what is not seen these are private characters, and U+FFFD for what could not be read.
    """
    return letter.isspace() or letter == "\ufffd" or unicodedata.category(letter) in UNSEEN
