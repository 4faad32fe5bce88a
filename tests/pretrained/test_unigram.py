"""The SentencePiece model that is built from pieces and scores."""

from __future__ import annotations

import sentencepiece

from tfxl.pretrained.unigram import normaliser_table, unigram_model

PIECES = ["▁", "▁the", "e", "é", "the", "fi", "한", "アイ"]


def processor():
    return sentencepiece.SentencePieceProcessor(model_proto=unigram_model(PIECES, [-float(i) for i in range(1, 9)]))


def test_ids_follow_the_three_special_pieces():
    assert [processor().id_to_piece(i) for i in range(11)] == ["<unk>", "<s>", "</s>", *PIECES]


def test_normalisation_composes_characters():
    assert processor().encode("e\u0301 ﬁ ｱｲ", out_type=str) == ["▁", "é", "▁", "fi", "▁", "アイ"]
    assert processor().encode("\u1112\u1161\u11ab", out_type=str) == ["▁", "한"]


def test_spaces_run_together_and_one_stands_in_front():
    assert processor().encode("  the   the ", out_type=str) == ["▁the", "▁the"]


def test_the_same_bytes_every_time():
    assert unigram_model(PIECES, [0.0] * 8) == unigram_model(PIECES, [0.0] * 8)
    assert normaliser_table() is normaliser_table()
    assert len(normaliser_table()) > 100_000
