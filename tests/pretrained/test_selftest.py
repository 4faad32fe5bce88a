"""Weights beside the wrong vocabulary are found before anybody trains on them."""

from __future__ import annotations

import json

import pytest

from tests.pretrained.checkpoints import CONFIG, FILES, arrays
from tfxl.encoders.tiny import Tiny
from tfxl.errors import WeightsError
from tfxl.pretrained import selftest
from tfxl.pretrained.families import expected_shapes
from tfxl.pretrained.selftest import PROBES, check
from tfxl.pretrained.unigram import unigram_model
from tfxl.text.tokenizer import from_files

ENGLISH = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "room", "was", "clean", "and", "food", "good", "##s"]


def wordpiece(pieces, **config):
    files = {"vocab.txt": "\n".join(pieces).encode(), "tokenizer_config.json": json.dumps(config).encode()}
    return from_files(files)


def run(tokenizer, **config):
    config = {**CONFIG, "vocab_size": tokenizer.size, "pad_token_id": tokenizer.special.pad, **config}
    return check(config, expected_shapes(config), tokenizer)


def test_what_belongs_together_passes():
    report = check(CONFIG, arrays(), from_files(FILES))
    assert report.remarks == ()
    assert set(report.unknown) == {probe.script for probe in PROBES}
    assert max(report.unknown.values()) < 0.5


def test_probes_cover_many_scripts():
    assert len(PROBES) >= 8
    for probe in PROBES:
        assert any(probe.first <= ord(sign) <= probe.last for sign in probe.text)


def test_an_english_vocabulary_loads_with_a_remark():
    report = run(wordpiece(ENGLISH))
    assert report.unknown["Latin"] == 0
    assert report.unknown["Thai"] == 1
    assert report.remarks == (f"The vocabulary cannot read these scripts: {', '.join(p.script for p in PROBES[1:])}.",)


def test_unknown_words_count_by_their_length():
    """SentencePiece makes two pieces of an unknown word: the space before it, which it knows, and the rest."""
    words = sorted({f"▁{word}" for word in PROBES[0].text.split()})
    model = unigram_model(["▁", *words], [-1.0] * (1 + len(words)))
    report = run(from_files({"sentencepiece.bpe.model": model}))
    assert report.unknown["Latin"] == 0
    assert min(report.unknown[probe.script] for probe in PROBES[1:]) > 0.8


def test_a_tokenizer_that_reads_nothing_is_an_error():
    with pytest.raises(WeightsError, match="becomes unknown"):
        run(wordpiece([*ENGLISH[:5], "x", "y", "z"]))


def test_a_script_with_many_pieces_that_is_not_read_is_an_error(monkeypatch):
    """Cased pieces under a tokenizer that takes accents away: the й of the vocabulary is never met."""
    monkeypatch.setattr(selftest, "ENOUGH_PIECES", 20)
    words = (word.capitalize() for word in PROBES[1].text.split())
    pieces = [*ENGLISH, *words, *(f"##{chr(code)}" for code in range(0x410, 0x430))]
    with pytest.raises(WeightsError, match="pieces are Cyrillic"):
        run(wordpiece(list(dict.fromkeys(pieces))))


def test_more_ids_than_rows():
    with pytest.raises(WeightsError, match="ids and the embedding table 400 rows"):
        run(from_files(FILES), vocab_size=400)


def test_a_few_spare_rows_pass_and_a_vocabulary_of_another_model_does_not():
    run(from_files(FILES), vocab_size=CONFIG["vocab_size"] + 36)
    with pytest.raises(WeightsError, match="250037 rows"):
        run(from_files(FILES), vocab_size=250037)


def test_token_types_outside_the_table():
    with pytest.raises(WeightsError, match="token types"):
        run(Tiny(vocabulary="wordpiece").tokenizer(), type_vocab_size=1)


def test_special_tokens_that_share_an_id():
    tokenizer = wordpiece(ENGLISH, pad_token="[SEP]")
    with pytest.raises(WeightsError, match="special tokens"):
        run(tokenizer)


def test_another_padding_id_is_a_remark():
    assert "pad_token_id 0" in run(from_files(FILES), pad_token_id=0).remarks[0]


def test_tensors_are_checked_too():
    with pytest.raises(WeightsError, match="37 missing"):
        check(CONFIG, {}, from_files(FILES))
