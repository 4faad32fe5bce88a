"""Units: the stretches of a text that get a label of their own, found in the graph by rules on characters alone.

A model that is served sees a text and no words, so what a word is must be decided by the text, in training and in
serving alike. A unit begins after white space; with the rule `unicode` also where one of the characters on either side
is punctuation, a symbol, or of a script that is written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese),
but never inside of what readers see as one character, such as a flag or a letter with its marks.

Classes of characters come from the Unicode data of this process and are kept in the graph.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import numpy as np
import regex

from tfxl.backend import tf

Rule = Literal["unicode", "spaces"]

OTHER, SPACE, HIDDEN, CLINGING, JOINER, UNSPACED, SYMBOL, FLAG, MARK, CONSONANT, STACKING, LINKER = range(12)
_KINDS = {
    HIDDEN: r"\p{Cf}\p{Co}\ufffd",
    CLINGING: r"\u200c\U000e0020-\U000e007f",
    SPACE: r"\s\p{Z}\p{Cc}\u200b",
    UNSPACED: r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\uff70\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}",
    SYMBOL: r"\p{P}\p{S}--[\ufffd]",
    FLAG: r"\U0001f1e6-\U0001f1ff",
    # Also what behaves as one: vowels after a Thai or Lao letter, voice marks of half width, colours of skin.
    MARK: r"\p{M}\u0e33\u0eb3\uff9e\uff9f\U0001f3fb-\U0001f3ff",
    JOINER: r"\u200d",
    CONSONANT: r"\p{InCB=Consonant}",
    STACKING: r"\p{Khmer}\p{Myanmar}&&\p{InCB=Consonant}",
    LINKER: r"\p{InCB=Linker}&&\p{M}",
}
"""The characters of each kind; a later kind goes before an earlier one, and what has none is OTHER.

HIDDEN characters are not seen, or stand for nothing that a tokenizer knows: private characters, and U+FFFD for what
could not be read. CLINGING ones are not seen either, but belong to what stands before them. A JOINER makes one picture
of two. Regional indicators (FLAG) make flags in pairs. A LINKER is a mark that ties the next CONSONANT to
what stands before (Unicode's annex 29, rule GB9c), as in क्ष; else a CONSONANT is as OTHER, a STACKING one as UNSPACED.
"""


class Characters(NamedTuple):
    """The characters of a batch of texts, one text after another.

    Attributes:
        text: `[characters]` int32, ascending: the text of each.
        place: `[characters]` int32, its first byte in the text.
        kind: `[characters]` int32.
        first: `[batch]` int32, the number of each text's first character.
    """

    text: tf.Tensor
    place: tf.Tensor
    kind: tf.Tensor
    first: tf.Tensor


def characters(texts: tf.Tensor) -> Characters:
    """Returns the characters of `[batch]` texts in UTF-8."""
    codes, places = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
    starts, kinds = _runs()
    run = tf.searchsorted(tf.constant(starts), codes.flat_values, side="right") - 1
    text, place, first = (
        tf.cast(part, tf.int32) for part in (codes.value_rowids(), places.flat_values, codes.row_starts())
    )
    return Characters(text, place, tf.gather(tf.constant(kinds), run), first)


def starts_unit(found: Characters, rule: Rule) -> tf.Tensor:
    """Returns `[characters]` bool: whether a unit may begin there. It does if a token begins there too."""
    kind, seen = found.kind, ~_is(found.kind, HIDDEN, CLINGING, JOINER)
    begins = _before(found, seen) == SPACE
    if rule == "unicode":
        base = _before(found, seen & ~_is(kind, MARK, LINKER))
        alone = (UNSPACED, STACKING, SYMBOL, FLAG)
        begins |= (_is(kind, *alone) | _is(base, *alone)) & _starts_grapheme(found)
    return begins & seen & (kind != SPACE)


def _starts_grapheme(found: Characters) -> tf.Tensor:
    """Returns `[characters]` bool: whether something begins there that readers see as a character of its own."""
    kind = found.kind
    is_joined = (kind == SYMBOL) & (_before(found, ~_is(kind, HIDDEN, CLINGING)) == JOINER)
    is_linked = _is(kind, CONSONANT, STACKING) & (_before(found, ~_is(kind, MARK, JOINER)) == LINKER)
    return ~(_is(kind, MARK, LINKER, JOINER, CLINGING) | is_joined | is_linked | _ends_flag(found))


def _follows_space(found: Characters) -> tf.Tensor:
    """Returns `[characters]` bool: what has nothing before it to belong to, such as a mark after a space."""
    return _before(found, tf.ones_like(found.kind, tf.bool)) == SPACE


def _ends_flag(found: Characters) -> tf.Tensor:
    """Returns `[characters]` bool: the second indicator of each pair, counted from where a row of them begins."""
    is_flag = found.kind == FLAG
    goes_on = is_flag & (_before(found, ~_is(found.kind, HIDDEN, CLINGING, MARK, LINKER)) == FLAG)
    begins = is_flag & ~goes_on
    number = tf.cumsum(tf.cast(is_flag, tf.int32))
    firsts = tf.concat([[0], tf.boolean_mask(number, begins)], axis=0)
    return goes_on & ((number - tf.gather(firsts, tf.cumsum(tf.cast(begins, tf.int32)))) % 2 == 1)


def at_tokens(texts: tf.Tensor, owner: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, rule: Rule) -> tf.Tensor:
    """Returns `[rows, tokens]` bool: which tokens begin a unit.

    Args:
        texts: `[batch]` string.
        owner: `[rows]` int32, the text of each row.
        starts: `[rows, tokens]` int32, the first byte of each token, -1 for special tokens.
        ends: `[rows, tokens]` int32, the byte after its last.
        rule: What begins a unit.
    """
    found = characters(texts)
    keys = tf.boolean_mask(key(found.text, found.place), starts_unit(found, rule))
    return _is_among(keys, key(owner[:, None], starts)) & (ends > starts)


def speakers(texts: tf.Tensor, owner: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, is_unit: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, tokens]` int32: for each token the one whose label it has, itself or the one before it.

    SentencePiece gives a word that its vocabulary does not know with the space before it a token for the space alone.
    To whoever cuts texts at white space it is the first token of the word.

    Args:
        texts: See `at_tokens`.
        owner: See `at_tokens`.
        starts: See `at_tokens`.
        ends: See `at_tokens`.
        is_unit: `[rows, tokens]` bool, what begins a unit.
    """
    found = characters(texts)
    at_space = _is_among(
        tf.boolean_mask(key(found.text, found.place), found.kind == SPACE), key(owner[:, None], starts)
    )
    # A text begins with a space that is not there. Other signs that are not seen belong to the word before.
    is_first = starts == tf.roll(starts, -1, axis=1)
    is_space = (starts >= 0) & (ends == starts) & (at_space | is_first)
    return tf.range(tf.shape(starts)[1]) - tf.cast(is_unit & tf.roll(is_space, 1, axis=1), tf.int32)


def whole(found: Characters, text: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the numbers among the characters of places `[places]`, moved on to where something new begins to be seen.

    A token may end between a letter and its mark, or inside of a flag; what is cut there looks broken.

    Args:
        found: The characters of the texts.
        text: `[places]` int32, the text of each place.
        place: `[places]` int32, a byte; what begins there, or the end of the text.
    """
    begins = tf.where(_starts_grapheme(found) | _follows_space(found))[:, 0]
    keys = tf.gather(key(found.text, found.place), begins)
    size = tf.size(found.text, out_type=tf.int64)
    number = tf.gather(tf.concat([begins, [size]], axis=0), tf.searchsorted(keys, key(text, place)))
    after = tf.concat([found.first[1:], [tf.cast(size, tf.int32)]], axis=0)  # where the next text begins
    return tf.minimum(tf.cast(number, tf.int32), tf.gather(after, text))


def begin(found: Characters, text: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the numbers among the characters of places `[places]`, moved back to where what is seen there begins.

    Args:
        found: See `whole`.
        text: See `whole`.
        place: See `whole`.
    """
    begins = tf.where(_starts_grapheme(found) | _follows_space(found))[:, 0]
    keys = tf.gather(key(found.text, found.place), begins)
    before = tf.searchsorted(keys, key(text, place), side="right") - 1
    number = tf.gather(tf.concat([[0], begins], axis=0), before + 1)
    return tf.maximum(tf.cast(number, tf.int32), tf.gather(found.first, text))


def first_byte(found: Characters, texts: tf.Tensor, text: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Returns `[places]` int32: where characters begin in their texts; the number after a text's last is its end.

    Args:
        found: The characters of the texts.
        texts: `[batch]` string.
        text: `[places]` int32, the text of each place.
        number: `[places]` int32, the character.
    """
    after = tf.concat([found.first[1:], [tf.size(found.text)]], axis=0)
    is_end = number == tf.gather(after, text)
    inside = tf.gather(tf.concat([found.place, [0]], axis=0), number)
    return tf.where(is_end, tf.gather(tf.strings.length(texts), text), inside)


class Whole(NamedTuple):
    """What is seen of tokens `[rows, tokens]`.

    Attributes:
        first: int32, the byte where what the token begins in begins to be seen.
        after: int32, the byte after what the token ends in.
        begins: bool, whether no token before it belongs to the same.
        ends: bool, whether no token after it does.
    """

    first: tf.Tensor
    after: tf.Tensor
    begins: tf.Tensor
    ends: tf.Tensor


def whole_tokens(texts: tf.Tensor, owner: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> Whole:
    """Returns where readers see tokens begin and end: never between a letter and its mark, or inside of a flag.

    Args:
        texts: See `at_tokens`.
        owner: See `at_tokens`.
        starts: See `at_tokens`.
        ends: See `at_tokens`.
    """
    found, shape = characters(texts), tf.shape(starts)
    text = tf.repeat(owner, shape[1])
    numbers = [
        move(found, text, tf.maximum(tf.reshape(side, [-1]), 0)) for move, side in ((begin, starts), (whole, ends))
    ]
    first, after = (tf.reshape(first_byte(found, texts, text, number), shape) for number in numbers)
    before, then = _neighbours(starts, ends)
    # What a tokenizer drops, such as an accent, belongs to no token.
    return Whole(first, after, (first == starts) | (first >= before), (after == ends) | (after <= then) | (then < 0))


def _neighbours(starts: tf.Tensor, ends: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the token before each ends and the one after it starts, `[rows, tokens]`; -1 where there is none.

    Only tokens that hold characters count: special tokens hold none, nor does what becomes of a sign that is not seen.
    """
    shape, seen = tf.shape(starts), tf.reshape(ends > starts, [-1])
    row = tf.range(tf.size(starts)) // shape[1]
    places = tf.concat([[-1], tf.cast(tf.where(seen)[:, 0], tf.int32), [-1]], axis=0)
    count = tf.cumsum(tf.cast(seen, tf.int32))

    def value(side: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        place = tf.gather(places, number)
        index = tf.maximum(place, 0)
        is_same_row = (place >= 0) & (tf.gather(row, index) == row)
        return tf.reshape(tf.where(is_same_row, tf.gather(tf.reshape(side, [-1]), index), -1), shape)

    return value(ends, count - tf.cast(seen, tf.int32)), value(starts, count + 1)


def key(text: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns one ascending number for a place in a text, int64."""
    return tf.cast(text, tf.int64) * 2**31 + tf.cast(place, tf.int64)


def _is_among(keys: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Returns whether each of the wanted numbers is among the ascending keys, in the shape of `wanted`."""
    flat = tf.reshape(wanted, [-1])
    nearest = tf.gather(tf.concat([keys, [-1]], axis=0), tf.searchsorted(keys, flat))
    return tf.reshape(nearest == flat, tf.shape(wanted))


def _before(found: Characters, kept: tf.Tensor) -> tf.Tensor:
    """Returns the kind of the nearest character before each that is kept; SPACE where its text has none."""
    places = tf.cast(tf.where(kept)[:, 0], tf.int32)
    nearest = tf.gather(tf.concat([[-1], places], axis=0), tf.cumsum(tf.cast(kept, tf.int32), exclusive=True))
    index = tf.maximum(nearest, 0)
    is_same_text = (nearest >= 0) & (tf.gather(found.text, index) == found.text)
    return tf.where(is_same_text, tf.gather(found.kind, index), SPACE)


def _is(kind: tf.Tensor, *kinds: int) -> tf.Tensor:
    return functools.reduce(tf.logical_or, [kind == each for each in kinds])


@functools.cache
def _runs() -> tuple[np.ndarray, np.ndarray]:
    """Returns where runs of code points of one kind begin, and the kinds, both `[runs]` int32."""
    everything = "".join(map(chr, range(0x110000)))
    kinds = np.full(len(everything), OTHER, np.int32)
    for kind, pattern in _KINDS.items():
        for run in regex.finditer(f"(?V1)[{pattern}]+", everything):
            kinds[run.start() : run.end()] = kind
    starts = np.flatnonzero(np.diff(kinds, prepend=-1)).astype(np.int32)
    return starts, kinds[starts]
