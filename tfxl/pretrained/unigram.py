"""Builds a SentencePiece model (`sentencepiece.bpe.model`) from pieces and scores."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

proto: Any = sentencepiece_model_pb2
"""The format; its classes are made while it is imported, so type checkers do not know them."""
KINDS = proto.ModelProto.SentencePiece
SPECIAL = (("<unk>", KINDS.UNKNOWN), ("<s>", KINDS.CONTROL), ("</s>", KINDS.CONTROL))


@functools.cache
def normaliser_table() -> bytes:
    """Returns the compiled `nmt_nfkc` table of the installed sentencepiece package.

    The package holds it, but hands it out only inside a trained model; so a model of a few letters is trained.
    """
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d"]),
        model_writer=written,
        model_type="char",
        vocab_size=16,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    return proto.ModelProto.FromString(written.getvalue()).normalizer_spec.precompiled_charsmap


def unigram_model(pieces: Sequence[str], scores: Sequence[float]) -> bytes:
    """Returns a Unigram model whose ids are: `<unk>` 0, `<s>` 1, `</s>` 2, then the pieces.

    Texts are normalised by `nmt_nfkc`, runs of spaces become one, and a space is put before the text, as in XLM-R.

    Args:
        pieces: The ordinary pieces; a word's beginning is written with U+2581.
        scores: The logarithm of each piece's probability.
    """
    model = proto.ModelProto()
    for piece, kind in SPECIAL:
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for piece, score in zip(pieces, scores, strict=True):
        model.pieces.add(piece=piece, score=score)
    trainer = model.trainer_spec
    trainer.model_type = proto.TrainerSpec.UNIGRAM
    trainer.vocab_size = len(model.pieces)
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    normaliser = model.normalizer_spec
    normaliser.name = "nmt_nfkc"
    normaliser.precompiled_charsmap = normaliser_table()
    normaliser.add_dummy_prefix = normaliser.remove_extra_whitespaces = normaliser.escape_whitespaces = True
    return model.SerializeToString(deterministic=True)


def tokenizer_config(max_length: int) -> bytes:
    """Returns the `tokenizer_config.json` of an XLM-R vocabulary."""
    names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
    config = {f"{role}_token": name for role, name in names.items()}
    return json.dumps({**config, "model_max_length": max_length, "tokenizer_class": "XLMRobertaTokenizer"}).encode()
