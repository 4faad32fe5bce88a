"""The self-test: do configuration, weights and tokenizer belong together, and which scripts can the vocabulary read?

Weights beside the wrong vocabulary load without an error anywhere else and give nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import Shape, shapes_of

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Probe:
    """A short text in one script, and the code points that are letters of this script."""

    script: str
    text: str
    first: int
    last: int


PROBES = (
    Probe("Latin", "the room was clean and the food was good", 0x41, 0x17F),
    Probe("Cyrillic", "комната была чистой и еда была вкусной", 0x400, 0x4FF),
    Probe("Greek", "το δωμάτιο ήταν καθαρό και το φαγητό καλό", 0x370, 0x3FF),
    Probe("Arabic", "كانت الغرفة نظيفة وكان الطعام جيدا", 0x620, 0x6FF),
    Probe("Hebrew", "החדר היה נקי והאוכל היה טוב", 0x5D0, 0x5EA),
    Probe("Devanagari", "कमरा साफ़ था और खाना अच्छा था", 0x900, 0x97F),
    Probe("Bengali", "ঘরটি পরিষ্কার ছিল এবং খাবার ভালো ছিল", 0x980, 0x9FF),
    Probe("Tamil", "அறை சுத்தமாக இருந்தது உணவு நன்றாக இருந்தது", 0xB80, 0xBFF),
    Probe("Thai", "ห้องพักสะอาดและอาหารอร่อย", 0xE00, 0xE7F),
    Probe("Han", "房间很干净饭菜也很好", 0x4E00, 0x9FFF),
    Probe("Kana", "きれいなところでおいしかったです", 0x3040, 0x30FF),
    Probe("Hangul", "방이 깨끗하고 음식이 맛있었어요", 0xAC00, 0xD7A3),
)
COLLAPSED = 0.5
"""From this share of unknown bytes on a text is not read."""
ENOUGH_PIECES = 300
"""A vocabulary with so many pieces of a script was made to read it."""


@dataclass(frozen=True)
class Report:
    """What the self-test found that is no error.

    Attributes:
        unknown: Share of a short text's bytes that became unknown pieces, by script.
        remarks: What a person should know, each a sentence.
    """

    unknown: dict[str, float]
    remarks: tuple[str, ...]


def check(
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray] | Mapping[str, Shape],
    tokenizer: Tokenizer,
    *,
    where: str = "the checkpoint",
) -> Report:
    """Checks that configuration, weights and tokenizer belong together.

    A script that the vocabulary was never made for is a remark in the report; a script that it has many pieces for and
    still cannot read is an error, because then the tokenizer is not the one the vocabulary was made with.

    Args:
        config: The values of a BertConfig.
        arrays: The checkpoint's arrays, or their shapes, by PyTorch's name.
        tokenizer: The tokenizer of the checkpoint.
        where: The checkpoint's name, for the error.

    Raises:
        WeightsError: Tensors, vocabulary or special tokens do not fit each other.
    """
    families.check_shapes(config, _shapes(arrays), where=where)
    _check_sizes(config["vocab_size"], tokenizer, where)
    _check_special_ids(tokenizer, where)
    _check_pair(config, tokenizer, where)
    unknown = _unknown_shares(tokenizer)
    unread = [probe for probe in PROBES if unknown[probe.script] >= COLLAPSED]
    _check_unread(unread, tokenizer, where)
    remarks = [_about_padding(config, tokenizer), _about_scripts(unread)]
    return Report(unknown, tuple(remark for remark in remarks if remark))


def _shapes(arrays: Mapping[str, Any]) -> dict[str, Shape]:
    if all(isinstance(value, tuple) for value in getattr(arrays, "shapes", arrays).values()):
        return dict(getattr(arrays, "shapes", arrays))
    return shapes_of(arrays)


def _check_sizes(rows: int, tokenizer: Tokenizer, where: str) -> None:
    # Tables are padded to round sizes, never to twice the vocabulary.
    if not tokenizer.size <= rows < 2 * tokenizer.size + 1024:
        raise WeightsError(
            f"{where}: the tokenizer has {tokenizer.size} ids and the embedding table {rows} rows",
            expected="a row for every id, and few rows more",
            fix="Take weights and tokenizer files from the same place.",
        )


def _check_special_ids(tokenizer: Tokenizer, where: str) -> None:
    ids = [id for id in tokenizer.special if id is not None]
    if len(set(ids)) != len(ids) or not all(0 <= id < tokenizer.size for id in ids):
        raise WeightsError(
            f"{where}: the special tokens have the ids {tokenizer.special._asdict()}",
            expected=f"different ids from 0 to {tokenizer.size - 1}",
            fix="Take the tokenizer's files from the place of the weights.",
        )


def _check_pair(config: Mapping[str, Any], tokenizer: Tokenizer, where: str) -> None:
    """A pair of texts shows whether ids and token types lie inside the tables."""
    texts = tf.constant([PROBES[0].text])
    encoded = tokenizer.encode(texts, texts, max_length=min(64, config["max_position_embeddings"]))
    largest = {name: int(tf.reduce_max(encoded[name])) for name in ("input_ids", "token_type_ids")}
    if largest["input_ids"] >= config["vocab_size"] or largest["token_type_ids"] >= config["type_vocab_size"]:
        raise WeightsError(
            f"{where}: a pair of texts gets ids up to {largest['input_ids']} and token types up to "
            f"{largest['token_type_ids']}",
            expected=f"ids below {config['vocab_size']} and token types below {config['type_vocab_size']}",
            fix="Take weights, config.json and tokenizer files from the same place.",
        )


def _unknown_shares(tokenizer: Tokenizer) -> dict[str, float]:
    """Counts bytes, not pieces: SentencePiece makes one unknown piece of a whole word, and a known one of its space."""
    ids, starts, ends = tokenizer.pieces_with_offsets(tf.constant([probe.text for probe in PROBES]))
    lengths = tf.cast(ends - starts, tf.float32)
    unknown = tf.cast(ids == tokenizer.special.unknown, tf.float32) * lengths
    shares = tf.reduce_sum(unknown, axis=1) / tf.maximum(tf.reduce_sum(lengths, axis=1), 1)
    return {probe.script: float(share) for probe, share in zip(PROBES, shares.numpy(), strict=True)}


def _check_unread(unread: list[Probe], tokenizer: Tokenizer, where: str) -> None:
    if not unread:
        return
    vocabulary = tokenizer.vocabulary()
    for probe in unread:
        pieces = sum(any(probe.first <= ord(sign) <= probe.last for sign in piece) for piece in vocabulary)
        if len(unread) == len(PROBES) or pieces >= ENOUGH_PIECES:
            raise WeightsError(
                f"{where}: {probe.text!r} becomes unknown pieces, though {pieces} pieces are {probe.script}",
                expected="a tokenizer that reads the scripts of its own vocabulary",
                fix="Take all of the tokenizer's files from the place of the weights, tokenizer_config.json included.",
            )


def _about_padding(config: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """Published checkpoints have this mistake (multilingual-e5-small among them) and work: padding is masked."""
    if config.get("pad_token_id") in (None, tokenizer.special.pad):
        return ""
    return f"config.json has pad_token_id {config['pad_token_id']}; the tokenizer's {tokenizer.special.pad} is used."


def _about_scripts(unread: list[Probe]) -> str:
    if not unread:
        return ""
    return f"The vocabulary cannot read these scripts: {', '.join(probe.script for probe in unread)}."
