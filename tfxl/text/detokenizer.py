"""Detokenizer: rows of ids written as text again, in the graph, as transformers' tokenizers decode them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfxl.backend import tf

CLEANED = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
"""What transformers makes of spaces where `clean_up_tokenization_spaces` is set."""


@dataclass(frozen=True)
class Spelling:
    """How pieces are written.

    Attributes:
        first: What each piece is as the first of a text, which is also what it is alone.
        inner: What each piece adds to a text.
        names: What the vocabulary calls each piece; no two are alike.
        hidden: The ids that are no text: special tokens.
        cleaned: Whether spaces before punctuation are dropped from what was written.
    """

    first: Sequence[bytes]
    inner: Sequence[bytes]
    names: Sequence[str]
    hidden: tuple[int, ...]
    cleaned: bool = False

    def variables(self) -> dict[str, tf.Variable]:
        """Returns the tables as string variables, so that a SavedModel holds each once."""
        tables = {"first": self.first, "inner": self.inner, "names": [name.encode() for name in self.names]}
        return {
            name: tf.Variable(list(table), trainable=False, dtype=tf.string, name=f"pieces/{name}")
            for name, table in tables.items()
        }


@dataclass(frozen=True)
class Detokenizer:
    """Writes ids as text.

    Attributes:
        tables: What `Spelling.variables` gives.
        hidden: See `Spelling`.
        cleaned: See `Spelling`.
    """

    tables: Mapping[str, tf.Variable]
    hidden: tuple[int, ...]
    cleaned: bool

    @classmethod
    def of(cls, spelling: Spelling) -> Detokenizer:
        """Returns the detokenizer of a spelling."""
        return cls(spelling.variables(), spelling.hidden, spelling.cleaned)

    @property
    def size(self) -> int:
        """The number of pieces."""
        return int(self.tables["first"].shape[0])

    def alone(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the text of each piece by itself, in the shape of `ids`."""
        return self._tidy(tf.gather(self.tables["first"], ids))

    def names(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns what the vocabulary calls each piece, in the shape of `ids`."""
        return tf.gather(self.tables["names"], ids)

    def text(self, ids: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
        """Returns the texts `[…]` of rows of pieces.

        Args:
            ids: `[…, tokens]` int32.
            kept: `[…, tokens]` bool, the pieces that are written.
        """
        is_first = kept & (tf.cumsum(tf.cast(kept, tf.int32), axis=-1) == 1)
        pieces = tf.where(is_first, tf.gather(self.tables["first"], ids), tf.gather(self.tables["inner"], ids))
        return self._tidy(tf.strings.reduce_join(tf.where(kept, pieces, ""), axis=-1))

    def is_hidden(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns, in the shape of `ids`, whether they are special tokens."""
        return tf.reduce_any(ids[..., None] == tf.constant(self.hidden, tf.int32), axis=-1)

    def _tidy(self, texts: tf.Tensor) -> tf.Tensor:
        # A piece of bytes may end inside of a character.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        for wide, narrow in CLEANED if self.cleaned else ():
            texts = tf.strings.regex_replace(texts, re.escape(wide), narrow)
        return texts
