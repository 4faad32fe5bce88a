"""WordPiece (Wu et al. 2016) as BERT uses it: words are cut greedily into the longest pieces of the vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfxl.backend import text_ops, tf
from tfxl.errors import WeightsError
from tfxl.text import published
from tfxl.text.detokenizer import CLEANED, Spelling
from tfxl.text.tokenizer import Offsets, SpecialIds, Tokenizer, added_pieces, damaged, special_ids, special_names

NAMES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
LONGEST_WORD = 300
"""Bytes. The original counts 100 characters; a word of Thai or Hindi has three bytes a character."""


NO_TEXT = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\p{Cf}\p{Co}\x{FFFD}]+"
"""What the original drops: control, format and private characters. The op would make spaces of them."""
TIDIED = (*CLEANED[:7], (" do not", " don't"), *CLEANED[7:])
"""What the library of tokenizers makes of spaces in a piece."""


@dataclass(frozen=True)
class _Parts:
    """Plain data, held in one object so that `tf.Module` does not wrap every string for tracking."""

    pieces: Sequence[str]
    special: SpecialIds
    lower_case: bool
    strip_accents: bool
    config: Mapping[str, Any]


class WordPiece(Tokenizer):
    """Greedy pieces of words; words end at white space, punctuation and Chinese characters. Use `from_files`.

    Args:
        pieces: The vocabulary in the order of the ids.
        config: What `tokenizer_config.json` says: `do_lower_case`, `strip_accents` (as `do_lower_case` if not said),
            `tokenize_chinese_chars`, and the names of the special tokens.
    """

    separators_between = 1
    second_type = 1

    def __init__(self, pieces: Sequence[str], config: Mapping[str, Any]) -> None:
        super().__init__(name="wordpiece")
        names = special_names(config, NAMES)
        special = special_ids(names, {piece: id for id, piece in enumerate(pieces)}, file="vocab.txt")
        lower = bool(config.get("do_lower_case", True))
        strip = config.get("strip_accents")
        if not config.get("tokenize_chinese_chars", True):
            raise WeightsError(
                "tokenizer_config.json: tokenize_chinese_chars = false",
                expected="true: the graph's tokenizer always cuts Chinese characters apart",
                fix="Use a checkpoint that was trained with Chinese characters cut apart, or one with SentencePiece.",
            )
        self.separators_between, self.second_type = published.kept(config, published.Pair(1, 1))
        self._parts = _Parts(pieces, special, lower, lower if strip is None else bool(strip), config)
        try:
            self._tokenizer = text_ops.FastBertTokenizer(
                list(pieces), unknown_token=names["unk"], max_bytes_per_word=LONGEST_WORD, token_out_type=tf.int32
            )
        except (RuntimeError, ValueError) as error:
            raise damaged("vocab.txt", error) from None

    @classmethod
    def from_vocabulary(cls, vocabulary: bytes, config: Mapping[str, Any]) -> WordPiece:
        """Returns the tokenizer of a `vocab.txt`: one piece a line."""
        try:
            lines = vocabulary.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise damaged("vocab.txt", error) from None
        return cls([*lines, *added_pieces(config, len(lines))], config)

    @classmethod
    def from_json(cls, whole: Mapping[str, Any], config: Mapping[str, Any]) -> WordPiece:
        """Returns the tokenizer of a `tokenizer.json` of kind WordPiece; `tokenizer_config.json` has the last word."""
        ids = dict(whole["model"].get("vocab") or {})
        ids |= {token["content"]: token["id"] for token in whole.get("added_tokens", ())}
        pieces = sorted(ids, key=ids.__getitem__)
        if [ids[piece] for piece in pieces] != list(range(len(pieces))):
            raise damaged("tokenizer.json", "its ids do not run from 0 without a gap")
        normalizer = whole.get("normalizer") or {}
        flags = {
            "do_lower_case": normalizer.get("lowercase", False),
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
            "clean_up_tokenization_spaces": False,  # transformers' default for this file, unlike that for a vocab.txt
        }
        return cls(pieces, {**flags, **config})

    @property
    def special(self) -> SpecialIds:
        """The ids of the special tokens."""
        return self._parts.special

    @property
    def lower_case(self) -> bool:
        """Whether letters are lower-cased."""
        return self._parts.lower_case

    @property
    def strip_accents(self) -> bool:
        """Whether accents are taken off letters."""
        return self._parts.strip_accents

    def vocabulary(self) -> list[str]:
        """Returns every piece in the order of the ids."""
        return list(self._parts.pieces)

    def scores(self) -> list[float]:
        """Returns the ids with a minus sign: vocabularies begin with their most frequent pieces."""
        return [-float(id) for id in range(self.size)]

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(self._parts.pieces)

    def files(self) -> dict[str, bytes]:
        """Returns `vocab.txt` and `tokenizer_config.json`."""
        parts = self._parts
        flags = {"do_lower_case": parts.lower_case, "strip_accents": parts.strip_accents}
        config = {"tokenizer_class": "BertTokenizer", **parts.config, **flags}
        return {
            "vocab.txt": "".join(f"{piece}\n" for piece in parts.pieces).encode(),
            "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2).encode(),
        }

    def spelling(self) -> Spelling:
        """Returns how pieces are written: a space before each but the first, none before the parts of a word."""
        pieces = self._parts.pieces
        return Spelling(
            first=[_tidied(piece).encode() for piece in pieces],
            inner=[_tidied(piece[2:] if piece.startswith("##") else f" {piece}").encode() for piece in pieces],
            names=pieces,
            hidden=self.special.present,
            cleaned=bool(self._parts.config.get("clean_up_tokenization_spaces", True)),
        )

    def keep(self, ids: list[int]) -> WordPiece:
        """Returns a tokenizer with these pieces alone."""
        return WordPiece([self._parts.pieces[id] for id in ids], self._parts.config)

    def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer.tokenize(self._normalise(texts))

    def _pieces_with_offsets(self, texts: tf.Tensor) -> Offsets:
        characters, places = tf.strings.unicode_split_with_offsets(texts, "UTF-8")
        normal = characters.with_flat_values(self._normalise(characters.flat_values))
        whole = tf.strings.reduce_join(normal, axis=1)
        ids, starts, ends = self._tokenizer.tokenize_with_offsets(whole)
        # For each byte of all normal texts in a row, the byte of its original text.
        table = tf.repeat(tf.cast(places.flat_values, tf.int32), tf.strings.length(normal.flat_values))
        row = ids.value_rowids()
        base = tf.gather(tf.cumsum(tf.strings.length(whole), exclusive=True), row)
        first = tf.gather(table, base + tf.cast(starts.flat_values, tf.int32))
        after = tf.cast(ends.flat_values, tf.int32)
        at_end = after == tf.gather(tf.strings.length(whole), row)
        after = tf.gather(tf.concat([table, [0]], axis=0), base + after)
        last = tf.where(at_end, tf.gather(tf.strings.length(texts), row), after)
        # What is dropped between two pieces belongs to neither.
        covered = tf.strings.substr(tf.gather(texts, row), first, last - first)
        last = first + tf.strings.length(tf.strings.regex_replace(covered, NO_TEXT + "$", ""))
        return Offsets(ids, ids.with_flat_values(first), ids.with_flat_values(last))

    def _normalise(self, texts: tf.Tensor) -> tf.Tensor:
        """Drops what is not text, lower-cases and takes accents off, as the original does."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")  # what is not UTF-8 becomes U+FFFD
        texts = tf.strings.regex_replace(texts, NO_TEXT, "")
        if self.lower_case:
            # The last sigma of a word has a small letter of its own, which the library does not use.
            texts = tf.strings.lower(tf.strings.regex_replace(texts, "Σ", "σ"), encoding="utf-8")
        if self.strip_accents:
            texts = tf.strings.regex_replace(text_ops.normalize_utf8(texts, "NFD"), r"\p{Mn}+", "")
        return texts


def _tidied(piece: str) -> str:
    for wide, narrow in TIDIED:
        piece = piece.replace(wide, narrow)
    return piece
