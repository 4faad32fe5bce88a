"""A tokenizer that cannot run in the graph: byte-level BPE and whatever else the `tokenizers` library alone can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.text import published
from tfxl.text.detokenizer import Spelling
from tfxl.text.tokenizer import Offsets, SpecialIds, Tokenizer, damaged, special_ids, special_names

NAMES = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""What `tokenizer_config.json` calls the flags of a BertNormalizer; it has the last word on them."""

_PLAIN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_OTHER = [byte for byte in range(256) if byte not in _PLAIN]
BYTES = {chr(byte): byte for byte in _PLAIN} | {chr(256 + place): byte for place, byte in enumerate(_OTHER)}
"""The letter that byte-level BPE has for each byte (Radford et al. 2019)."""


@dataclass(frozen=True)
class _Parts:
    """Plain data, held in one object so that `tf.Module` does not wrap it for tracking."""

    library: tokenizers.Tokenizer
    special: SpecialIds
    config: Mapping[str, Any]


class Library(Tokenizer):
    """Cuts texts by the `tokenizers` library, in Python. Use `from_files`.

    Training, measuring and `predict` work as with any tokenizer, on the machine that has the library. A SavedModel
    cannot hold it, so such a model is exported for tokens only: whoever calls the server sends ids, cut by the same
    `tokenizer.json`.

    Args:
        whole: The content of a `tokenizer.json`.
        config: What `tokenizer_config.json` says.
        reason: Why TensorFlow's ops cannot do it.
    """

    in_graph = False
    separators_between = 2
    second_type = 0

    def __init__(self, whole: Mapping[str, Any], config: Mapping[str, Any], *, reason: str) -> None:
        super().__init__(name="library")
        self.reason = reason
        try:
            library = tokenizers.Tokenizer.from_str(json.dumps(_with_flags(whole, config)))
        except Exception as error:  # the library has no error class of its own
            raise damaged("tokenizer.json", error) from None
        library.no_padding()
        library.no_truncation()
        library.encode_special_tokens = True  # a typed special token is text: see `Tokenizer`
        told: dict[str, Any] = {**published.names(whole)}
        if (pair := published.pair(whole)) is not None:
            told[published.PAIR] = pair
        config = {**told, **config}
        special = special_ids(special_names(config, NAMES), library.get_vocab(), file="tokenizer.json")
        self.separators_between, self.second_type = published.kept(config, published.Pair(2, 0))
        self._parts = _Parts(library, special, config)

    @classmethod
    def from_merges(cls, vocabulary: bytes, merges: bytes, config: Mapping[str, Any]) -> Library:
        """Returns the tokenizer of a `vocab.json` and `merges.txt`: byte-level BPE as GPT-2 and RoBERTa have it."""
        try:
            ids = {str(piece): int(id) for piece, id in json.loads(vocabulary).items()}
            lines = [line for line in merges.decode().split("\n") if line.strip() and not line.startswith("#version")]
            pairs = [tuple(line.split(" ")) for line in lines]
            library = tokenizers.Tokenizer(models.BPE(ids, pairs))
        except Exception as error:  # the library has no error class of its own
            raise damaged("vocab.json or merges.txt", error) from None
        names = special_names(config, NAMES)
        special = special_ids(names, ids, file="vocab.json")
        before = bool(config.get("add_prefix_space", False))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=before)
        library.post_processor = processors.RobertaProcessing(
            (names["sep"], special.sep), (names["cls"], special.cls), add_prefix_space=before
        )
        library.add_special_tokens([name for name in names.values() if name in ids])
        return cls(json.loads(library.to_str()), config, reason="byte-level BPE has no op")

    @property
    def special(self) -> SpecialIds:
        """The ids of the special tokens."""
        return self._parts.special

    @property
    def size(self) -> int:
        """The number of ids; ids without a piece between others count."""
        return max(self._parts.library.get_vocab().values()) + 1

    def vocabulary(self) -> list[str]:
        """Returns every piece in the order of the ids; an empty text where an id has no piece."""
        pieces = [""] * self.size
        for piece, id in self._parts.library.get_vocab().items():
            pieces[id] = piece
        return pieces

    def scores(self) -> list[float]:
        """Returns the ids with a minus sign: merges are in the order of their frequency."""
        return [-float(id) for id in range(self.size)]

    def files(self) -> dict[str, bytes]:
        """Returns `tokenizer.json` and `tokenizer_config.json`."""
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **self._parts.config}
        return {
            "tokenizer.json": self._parts.library.to_str().encode(),
            "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2).encode(),
        }

    def spelling(self) -> Spelling:
        """Returns how pieces are written: byte by byte, or as the file's decoder does it."""
        whole, pieces = json.loads(self._parts.library.to_str()), self.vocabulary()
        if (whole.get("decoder") or {}).get("type") == "ByteLevel" or whole["model"]["type"] == "BPE":
            first = inner = [_bytes_of(piece) for piece in pieces]
        else:
            decode = self._parts.library.decoder.decode
            first = [decode([piece]).encode() for piece in pieces]
            inner = [decode(["a", piece]).removeprefix("a").encode() for piece in pieces]
        hidden = [each["id"] for each in whole.get("added_tokens") or () if each.get("special")]
        cleaned = bool(self._parts.config.get("clean_up_tokenization_spaces", False))
        return Spelling(first, inner, pieces, tuple(sorted({*hidden, *self.special.present})), cleaned)

    def keep(self, ids: list[int]) -> Library:
        """Raises a WeightsError: merges build on each other, so a piece cannot be left out alone."""
        raise WeightsError(
            f"a vocabulary to be trimmed that the graph cannot run: {self.reason}",
            expected="a WordPiece or SentencePiece vocabulary",
            fix="Use the vocabulary as it is.",
        )

    def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._pieces_with_offsets(texts).ids

    def _pieces_with_offsets(self, texts: tf.Tensor) -> Offsets:
        ids, starts, ends, lengths = tf.numpy_function(self._cut, [texts], [tf.int32] * 4)
        for part in (ids, starts, ends, lengths):
            part.set_shape([None])
        ragged = tf.RaggedTensor.from_row_lengths(ids, lengths)
        return Offsets(ragged, ragged.with_values(starts), ragged.with_values(ends))

    def _pieces_beside_masks(self, texts: tf.Tensor, after: tf.Tensor, before: tf.Tensor) -> tf.RaggedTensor:
        # To byte-level pieces a space counts: the mask says in the file on which of its sides it swallows some.
        added = json.loads(self._parts.library.to_str()).get("added_tokens") or ()
        told: Mapping[str, Any] = next((each for each in added if each["id"] == self.mask), {})
        for side, pattern, is_beside in (("lstrip", r"[\s\p{Z}]+$", before), ("rstrip", r"^[\s\p{Z}]+", after)):
            if told.get(side):
                texts = tf.where(is_beside, tf.strings.regex_replace(texts, pattern, ""), texts)
        return self._pieces(texts)

    def _cut(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns ids, first bytes and bytes after the last of all texts one after another, and pieces a text."""
        decoded = [text.decode("utf-8", "replace") for text in texts.reshape(-1).tolist()]
        found = self._parts.library.encode_batch(decoded, add_special_tokens=False)
        rows = [
            [(id, *_place(text, first, after)) for id, (first, after) in zip(one.ids, one.offsets, strict=True)]
            for text, one in zip(decoded, found, strict=True)
        ]
        sizes = np.array([len(text.encode()) for text in decoded], np.int32)
        given = np.array([len(text) for text in texts.reshape(-1).tolist()], np.int32)
        lengths = np.array([len(row) for row in rows], np.int32)
        flat = np.array([piece for row in rows for piece in row], np.int32).reshape(-1, 3)
        # A byte that is no UTF-8 is read as a character of three bytes; its place must still lie inside of the text.
        most = np.repeat(np.where(sizes == given, sizes, np.minimum(sizes, given)), lengths)
        return flat[:, 0].copy(), np.minimum(flat[:, 1], most), np.minimum(flat[:, 2], most), lengths


def _bytes_of(piece: str) -> bytes:
    """The bytes that a byte-level piece stands for; a piece of other letters, such as an added one, is itself."""
    known = [BYTES.get(letter) for letter in piece]
    return piece.encode() if None in known else bytes(known)  # type: ignore[arg-type]


def _place(text: str, first: int, after: int) -> tuple[int, int]:
    """Returns the bytes of a part of a text that is given in characters, white space at its ends left out."""
    part = text[first:after]
    start = len(text[:first].encode()) + len(part.encode()) - len(part.lstrip().encode())
    return start, start + len(part.strip().encode())


def _with_flags(whole: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    normalizer = whole.get("normalizer") or {}
    if normalizer.get("type") != "BertNormalizer":
        return whole
    flags = {theirs: config[ours] for ours, theirs in FLAGS.items() if ours in config}
    return {**whole, "normalizer": {**normalizer, **flags}}
