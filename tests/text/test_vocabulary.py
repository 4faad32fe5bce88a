from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.backend import tf
from tfxl.encoders.tiny import SENTENCES
from tfxl.errors import RecipeError
from tfxl.text import vocabulary
from tfxl.text.sentencepiece import SentencePiece
from tfxl.text.tokenizer import Tokenizer

GERMAN = [sentence for sentence in SENTENCES if "Zimmer" in sentence]
MAKE = {
    kind: registry.build("encoders", {"kind": "tiny", "vocabulary": kind}).tokenizer()
    for kind in ("sentencepiece", "wordpiece")
}


@pytest.fixture(params=MAKE)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return MAKE[request.param]


def bare(piece: str) -> str:
    return piece.removeprefix("▁").removeprefix("##")


def test_counts(tokenizer: Tokenizer) -> None:
    counts = vocabulary.count(tokenizer, GERMAN * 600)
    ids = tokenizer.pieces(tf.constant(GERMAN)).to_list()[0]
    assert counts.shape == (tokenizer.size,) and counts.sum() == 600 * len(ids)
    assert set(np.flatnonzero(counts)) == set(ids)
    assert vocabulary.count(tokenizer, []).sum() == 0


def test_special_tokens_and_single_characters_always_stay(tokenizer: Tokenizer) -> None:
    kept = vocabulary.kept_ids(tokenizer, np.zeros(tokenizer.size, np.int64))
    pieces = [tokenizer.piece(id) for id in kept]
    assert (np.diff(kept) > 0).all()
    assert {tokenizer.piece(id) for id in tokenizer.special} <= set(pieces)
    assert {piece for piece in tokenizer.vocabulary() if len(bare(piece)) == 1} <= set(pieces)
    long = [piece for piece in pieces if len(bare(piece)) > 1 and piece[0] not in "<["]
    assert len(long) <= (2 if isinstance(tokenizer, SentencePiece) else 0), "but for the lowest and the highest score"


def test_min_count(tokenizer: Tokenizer) -> None:
    counts = np.arange(tokenizer.size)
    few, many = (vocabulary.kept_ids(tokenizer, counts, min_count=least) for least in (tokenizer.size - 9, 1))
    assert len(few) < len(many) == tokenizer.size - (0 if 0 in many else 1)
    assert set(range(tokenizer.size - 9, tokenizer.size)) <= set(few)


def test_scripts_and_top(tokenizer: Tokenizer) -> None:
    nothing = np.zeros(tokenizer.size, np.int64)
    always = set(vocabulary.kept_ids(tokenizer, nothing))
    greek = set(vocabulary.kept_ids(tokenizer, nothing, scripts=["Grek"])) - always
    assert {"δωμάτιο", "φαγητό"} <= {bare(tokenizer.piece(id)) for id in greek}
    assert all(ord(max(bare(tokenizer.piece(id)))) < 0x400 for id in greek)
    whole = set(vocabulary.kept_ids(tokenizer, nothing, scripts=["Jpan", "Latn"]))
    assert {"きれい", "Zimmer"} <= {bare(tokenizer.piece(id)) for id in whole}
    scores = tokenizer.scores()
    some = set(vocabulary.kept_ids(tokenizer, nothing, scripts=["Grek"], top=len(always) // 8)) - always
    assert some <= greek and min([scores[id] for id in some], default=0) >= max(
        [scores[id] for id in greek - some], default=0
    )


def test_seen_letters_leave_out_other_spellings(tokenizer: Tokenizer) -> None:
    counts = vocabulary.count(tokenizer, [*GERMAN, "房间"])
    latin = vocabulary.kept_ids(tokenizer, counts, scripts=["Latn", "Hans"])
    seen = vocabulary.kept_ids(tokenizer, counts, scripts=["Latn", "Hans"], seen_letters=True)
    dropped = {bare(tokenizer.piece(id)) for id in set(latin) - set(seen)}
    assert "était" in dropped and "Zimmer" not in dropped
    assert "干净" in {bare(tokenizer.piece(id)) for id in seen}, "Chinese characters count as seen"


@pytest.mark.parametrize("rules", [{"scripts": ["Klingon"]}, {"script": ["Latn"]}, {"top": -1}, {"min_count": 0}])
def test_wrong_rules(tokenizer: Tokenizer, rules: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        vocabulary.kept_ids(tokenizer, np.zeros(tokenizer.size), **rules)


@given(st.sets(st.sampled_from(SENTENCES)), st.sampled_from(sorted(MAKE)))
@settings(max_examples=15, deadline=None)
def test_texts_whose_pieces_are_kept_are_cut_as_before(sentences: set[str], kind: str) -> None:
    tokenizer = MAKE[kind]
    kept = vocabulary.kept_ids(tokenizer, vocabulary.count(tokenizer, sentences))
    trimmed = vocabulary.trim(tokenizer, kept)
    texts = vocabulary.all_kept(tokenizer, kept, SENTENCES)
    assert sentences & set(vocabulary.all_kept(tokenizer, np.arange(tokenizer.size), SENTENCES)) <= set(texts)
    if texts:
        new = trimmed.pieces(tf.constant(texts)).to_list()
        assert [[int(kept[id]) for id in row] for row in new] == tokenizer.pieces(tf.constant(texts)).to_list()
    assert trimmed.size == len(kept)
    assert [trimmed.piece(id) for id in range(len(kept))] == [tokenizer.piece(int(id)) for id in kept]


def test_losses(tokenizer: Tokenizer) -> None:
    kept = vocabulary.kept_ids(tokenizer, vocabulary.count(tokenizer, GERMAN))
    found = vocabulary.losses(tokenizer, kept, {"de": GERMAN, "el": [SENTENCES[7]], "xx": []})
    assert found["de"].lost == 0 and found["de"].share == 0 and found["de"].growth == 1
    assert 0 < found["el"].share <= 1 and found["el"].growth > 1
    assert found["xx"].pieces == 0 and found["xx"].share == 0
    greek = found["el"]
    assert greek.lost == sum(id not in set(kept) for id in tokenizer.pieces(tf.constant([SENTENCES[7]])).to_list()[0])
    assert greek.share == greek.lost / greek.pieces
