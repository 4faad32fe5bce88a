"""The tokenizer: TensorFlow ops that turn raw texts into ids, the same ops in training and in the SavedModel.

There are two kinds, `WordPiece` and `SentencePiece`; `from_files` builds the right one from a checkpoint's files. A
third, `Library`, does what no op can, in Python.
"""

from __future__ import annotations

import json
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfxl.backend import tf
from tfxl.errors import RecipeError, WeightsError
from tfxl.text import published, windows
from tfxl.text.detokenizer import Spelling
from tfxl.text.windows import Rows

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
"""What `encode` gives and every encoder and model takes, each `[rows, tokens]` int32."""


class SpecialIds(NamedTuple):
    """The ids of the special tokens; `mask` is None where the vocabulary has none."""

    cls: int
    sep: int
    pad: int
    unknown: int
    mask: int | None

    @property
    def present(self) -> tuple[int, ...]:
        """Those that the vocabulary has, ascending."""
        return tuple(sorted(id for id in self if id is not None))


class Offsets(NamedTuple):
    """Pieces and where they stand: ids, first byte, byte after the last, each `[batch, (pieces)]` int32."""

    ids: tf.RaggedTensor
    starts: tf.RaggedTensor
    ends: tf.RaggedTensor


class Tokenizer(tf.Module, metaclass=ABCMeta):
    """Turns texts into ids. It is a `tf.Module`: whatever holds it as an attribute saves its tables as well.

    Texts are UTF-8; bytes that are not are read as U+FFFD. White space around a text is dropped. A special token that
    is typed in a text, such as `[MASK]`, is read as text, so that a user cannot forge one.

    Example:
        >>> tokenizer = from_files({"vocab.txt": vocabulary})
        >>> tokenizer.encode(tf.constant(["Guten Tag"]), max_length=16)["input_ids"]
    """

    in_graph: bool = True
    """Whether it consists of TensorFlow ops, so that a SavedModel can hold it. If not, `reason` says why."""
    reason: str = ""
    separators_between: int
    """Separators between the two texts of a pair: BERT has one, XLM-R two."""
    second_type: int
    """The token type of the second text of a pair."""

    @property
    @abstractmethod
    def special(self) -> SpecialIds:
        """The ids of the special tokens."""

    @abstractmethod
    def vocabulary(self) -> list[str]:
        """Returns every piece in the order of the ids."""

    @abstractmethod
    def scores(self) -> list[float]:
        """Returns how frequent each piece was in pretraining, higher is more; only the order means something."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Returns the files, named as a checkpoint names them, from which `from_files` builds the same tokenizer."""

    @abstractmethod
    def keep(self, ids: list[int]) -> Tokenizer:
        """Returns a tokenizer with these pieces alone (ascending ids); the new id of a piece is its rank in `ids`."""

    @abstractmethod
    def spelling(self) -> Spelling:
        """Returns how pieces are written as text again."""

    @abstractmethod
    def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenises stripped texts `[batch]`; `[batch, (pieces)]` int32."""

    @abstractmethod
    def _pieces_with_offsets(self, texts: tf.Tensor) -> Offsets:
        """Tokenises stripped texts `[batch]`; offsets count bytes of these texts."""

    def _pieces_beside_masks(self, texts: tf.Tensor, after: tf.Tensor, before: tf.Tensor) -> tf.RaggedTensor:
        """Tokenises parts of stripped texts `[parts]`; white space beside a mask is dropped.

        Args:
            texts: What stands before, between and after masks.
            after: `[parts]` bool, whether a part stands after a mask.
            before: `[parts]` bool, whether it stands before one.
        """
        return self._pieces(tf.strings.strip(texts))

    @property
    def size(self) -> int:
        """The number of ids: the rows that an embedding table needs."""
        return len(self.vocabulary())

    def piece(self, id: int) -> str:
        """Returns the piece of an id."""
        return self.vocabulary()[id]

    def pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the texts' pieces without special tokens.

        Args:
            texts: `[batch]` string.

        Returns:
            `[batch, (pieces)]` int32.
        """
        return self._pieces(tf.strings.strip(texts))

    def pieces_and_masks(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the texts' pieces, with the mask wherever a text holds the mask token's name.

        As transformers' tokenizers do it, a text ends before each mask, and another one begins after it.

        Args:
            texts: `[batch]` string.

        Returns:
            `[batch, (pieces)]` int32.

        Raises:
            WeightsError: The vocabulary has no mask token.
        """
        parts = tf.strings.split(tf.strings.strip(texts), self.piece(self.mask))
        # A mask stands before each part of a text but its first, and after each but its last.
        number, owner = tf.range(tf.size(parts.flat_values, tf.int64)), parts.value_rowids()
        after = number != tf.gather(parts.row_starts(), owner)
        before = number + 1 != tf.gather(parts.row_limits(), owner)
        pieces = self._pieces_beside_masks(parts.flat_values, after, before).with_row_splits_dtype(tf.int64)
        masks = tf.cast(after, tf.int64)
        mask = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(masks)], self.mask), masks)
        return parts.with_flat_values(tf.concat([mask, pieces], axis=1)).merge_dims(1, 2)

    @property
    def mask(self) -> int:
        """The id of the mask token.

        Raises:
            WeightsError: The vocabulary has none.
        """
        if self.special.mask is None:
            raise WeightsError(
                "a vocabulary without a mask token",
                expected="a tokenizer whose files name one, such as [MASK] or <mask>",
                fix="Use the tokenizer files that the weights were published with. Models that were never trained on "
                "masks cannot fill them.",
            )
        return self.special.mask

    def pieces_with_offsets(self, texts: tf.Tensor) -> Offsets:
        """Returns the pieces and the bytes of the original texts that they stand for, white space left out.

        Args:
            texts: `[batch]` string.
        """
        texts = tf.convert_to_tensor(texts)
        # A letter at the end keeps `strip` to the beginning of the text, so the lengths tell what the beginning lost.
        shortened = tf.strings.length(tf.strings.strip(tf.strings.join([texts, "x"])))
        leading = tf.strings.length(texts) + 1 - shortened
        ids, starts, ends = self._pieces_with_offsets(tf.strings.strip(texts))
        shift = tf.gather(leading, ids.value_rowids())
        return Offsets(ids, *(ids.with_values(tf.cast(part.values, tf.int32) + shift) for part in (starts, ends)))

    def encode(
        self,
        texts: tf.Tensor,
        second_texts: tf.Tensor | None = None,
        *,
        max_length: int,
        stride: int = 0,
        max_windows: int = 64,
        offsets: bool = False,
        masks: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Encodes texts, or pairs of texts, as a model reads them.

        Where a pair is too long, the longer text is shortened first. With `stride`, a text that is too long becomes
        several rows instead, each a window of it; of a pair it is the second text that is read in windows, and the
        first keeps at most half of the room.

        Args:
            texts: `[batch]` string.
            second_texts: `[batch]` string, or None.
            max_length: The most tokens of a row, special tokens included.
            stride: Tokens that neighbouring windows share; 0 cuts long texts instead.
            max_windows: The most windows of a text; what is left of it is cut.
            offsets: Whether to tell which bytes of the text (the second of a pair) each token stands for.
            masks: Whether the mask token's name in a text is read as the mask; not together with offsets.

        Returns:
            `input_ids`, `token_type_ids`, `attention_mask` `[rows, tokens]` int32, padded on the right to the longest
            row, and `truncated` `[batch]` bool. With stride also `example` `[rows]` int32, ascending: the text that a
            row is a window of. With offsets also `starts` and `ends` `[rows, tokens]` int32, -1 for special tokens and
            the first text of a pair; bytes of `texts` as they were given.

        Raises:
            RecipeError: `max_length` leaves no room for text, or `stride` none for progress.
        """
        sides = [texts] if second_texts is None else [texts, second_texts]
        room = max_length - 2 - self.separators_between * (len(sides) - 1)
        _check_room(max_length, room, stride, len(sides))
        read = self.pieces_and_masks if masks else self.pieces
        last = self.pieces_with_offsets(sides[-1]) if offsets else (read(sides[-1]),)
        parts = [*(read(side) for side in sides[:-1]), last[0]]
        rows = windows.cut(parts, room, stride=stride, most=max_windows) if stride else windows.shorten(parts, room)
        index, encoded = self._assemble(parts, rows)
        if stride:
            encoded["example"] = rows.example
        for name, place in zip(("starts", "ends"), last[1:], strict=False):
            none = tf.fill([tf.shape(parts[0].flat_values)[0] if len(parts) == 2 else 0], -1)
            encoded[name] = tf.gather(tf.concat([none, place.flat_values, [-1, -1, -1]], axis=0), index)
        return encoded

    def _assemble(self, parts: list[tf.RaggedTensor], rows: Rows) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Lays the pieces of each row between special tokens, by one gather over all values.

        Returns:
            For each token its place among the parts' values one after another, followed by cls, sep and pad; and the
            encoded rows.
        """
        values = tf.concat([*(part.flat_values for part in parts), self.special[:3]], axis=0)
        after = tf.shape(values)[0]
        cls, sep, pad = after - 3, after - 2, after - 1
        starts = [
            (tf.gather(tf.cast(part.row_starts(), tf.int32), rows.example) + first)[:, None]
            for part, first in zip(parts, rows.firsts, strict=True)
        ]
        ends = [1 + rows.kept[0][:, None]]
        gap = 0 if len(parts) == 1 else self.separators_between
        if len(parts) == 2:
            starts[1] += tf.shape(parts[0].flat_values)[0]
            ends.append(ends[0] + gap + rows.kept[1][:, None])
        total = ends[-1] + 1
        position = tf.range(tf.reduce_max(tf.concat([total[:, 0], [2]], 0)))[None, :]
        index = tf.where(position < ends[0], starts[0] + position - 1, sep)
        types = tf.zeros_like(index)
        if len(parts) == 2:
            second = (position >= ends[0] + gap) & (position < ends[1])
            index = tf.where(second, starts[1] + position - ends[0] - gap, index)
            types = self.second_type * tf.cast((position >= ends[0] + gap) & (position < total), tf.int32)
        index = tf.where(position == 0, cls, tf.where(position < total, index, pad))
        return index, {
            "input_ids": tf.gather(values, index),
            "token_type_ids": types,
            "attention_mask": tf.cast(position < total, tf.int32),
            "truncated": rows.truncated,
        }


def _check_room(max_length: int, room: int, stride: int, sides: int) -> None:
    if room < 2:
        raise RecipeError(
            f"max_length = {max_length}",
            expected="at least 4 tokens, for pairs at least 6: special tokens take up to four",
            fix="Raise max_length.",
        )
    smallest = room // sides  # no walrus: AutoGraph cannot read one, and warns
    if stride >= smallest:
        raise RecipeError(
            f"stride = {stride} with max_length = {max_length}",
            expected=f"less than {smallest}: windows must move on",
            fix="Lower stride; a quarter of max_length is usual.",
        )


def from_files(files: Mapping[str, bytes]) -> Tokenizer:
    """Returns the tokenizer of a checkpoint.

    What the files say counts, in this order: `tokenizer_config.json`, `special_tokens_map.json`, `tokenizer.json`; and
    the usual names where nothing is said.

    Args:
        files: Contents by name: `tokenizer.json`, or `vocab.txt`, or `sentencepiece.bpe.model`, or `vocab.json` and
            `merges.txt`; `tokenizer_config.json` says whether letters are lower-cased and what the special tokens are
            called. Other files are not read.

    Raises:
        WeightsError: No file is one that tfxl reads, or one of them is damaged.
    """
    from tfxl.text.sentencepiece import SentencePiece
    from tfxl.text.wordpiece import WordPiece

    config = {**read_json(files, "special_tokens_map.json"), **read_json(files, "tokenizer_config.json")}
    if "tokenizer.json" in files:
        return _from_json(read_json(files, "tokenizer.json"), config)
    if "vocab.txt" in files:
        return WordPiece.from_vocabulary(files["vocab.txt"], config)
    if "sentencepiece.bpe.model" in files:
        return SentencePiece.from_model(files["sentencepiece.bpe.model"], config)
    if {"vocab.json", "merges.txt"} <= set(files):
        from tfxl.text.library import Library

        return Library.from_merges(files["vocab.json"], files["merges.txt"], config)
    raise WeightsError(
        f"tokenizer files: {', '.join(sorted(files)) or 'none'}",
        expected="tokenizer.json, vocab.txt, sentencepiece.bpe.model, or vocab.json and merges.txt",
        fix="Copy the tokenizer's files beside the weights.",
    )


def _from_json(whole: dict[str, Any], config: dict[str, Any]) -> Tokenizer:
    from tfxl.text.library import Library
    from tfxl.text.sentencepiece import SentencePiece
    from tfxl.text.wordpiece import WordPiece

    try:
        names: dict[str, Any] = {**published.names(whole)}
        reason, told = published.obstacle(whole, config), published.pair(whole)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise damaged("tokenizer.json", f"{type(error).__name__} {error}") from None
    if reason:
        return Library(whole, config, reason=reason)
    kind = WordPiece if whole["model"]["type"] == "WordPiece" else SentencePiece
    if told and told != (kind.separators_between, kind.second_type):
        names[published.PAIR] = told
    return kind.from_json(whole, {**names, **config})


def added_pieces(config: Mapping[str, Any], size: int) -> list[str]:
    """Returns the pieces that `tokenizer_config.json` adds behind a vocabulary of `size` pieces."""
    listed = config.get("added_tokens_decoder") or {}
    pieces: list[str] = []
    while (token := listed.get(str(size + len(pieces)))) is not None:
        pieces.append(str(token["content"] if isinstance(token, Mapping) else token))
    return pieces


def read_json(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Returns a JSON file as a table; an empty one if the file is absent.

    Raises:
        WeightsError: The file is not a JSON object.
    """
    try:
        table = json.loads(files.get(name, b"{}"))
    except ValueError as error:
        table = error
    if isinstance(table, dict):
        return table
    raise WeightsError(f"{name}: {table!r}"[:200], expected="a JSON object", fix=f"Copy {name} again from its source.")


def damaged(name: str, reason: object) -> WeightsError:
    """Returns the error for a tokenizer file that cannot be what it says it is."""
    return WeightsError(
        f"{name}: {reason}"[:300],
        expected="a complete vocabulary with its special tokens",
        fix=f"Copy {name} again from its source; all tokenizer files must come from one checkpoint.",
    )


def special_ids(names: Mapping[str, str], ids: Mapping[str, int], *, file: str) -> SpecialIds:
    """Returns the ids of the special tokens.

    Args:
        names: What cls, sep, pad, unk and mask are called in this vocabulary.
        ids: Id by piece.
        file: Where the vocabulary comes from, for the error.

    Raises:
        WeightsError: A special token other than the mask is absent.
    """
    missing = [names[role] for role in ("cls", "sep", "pad", "unk") if names[role] not in ids]
    if missing:
        raise damaged(file, f"the special tokens {', '.join(missing)} are not in the vocabulary")
    cls, sep, pad, unknown = (ids[names[role]] for role in ("cls", "sep", "pad", "unk"))
    return SpecialIds(cls, sep, pad, unknown, ids.get(names["mask"]))


def special_names(config: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """Returns what the special tokens are called: as `tokenizer_config.json` says, else as in `defaults`."""
    named = {role: config.get(f"{role}_token") or default for role, default in defaults.items()}
    return {role: value["content"] if isinstance(value, Mapping) else str(value) for role, value in named.items()}
