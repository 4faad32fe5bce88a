from __future__ import annotations

import json

import pytest

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.text.tokenizer import from_files
from tfxl.text.wordpiece import WordPiece

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "The",
    "the",
    "room",
    "##s",
    "été",
    "ete",
    "ÉTÉ",
    "strasse",
    "straße",
    "这",
    "店",
    "ΟΔΟΣ",
    "οδοσ",
    "οδος",
    "i",
    "##i",
]


def make(pieces: list[str] | None = None, **config: object) -> WordPiece:
    files = {"vocab.txt": "\n".join(pieces or PIECES).encode(), "tokenizer_config.json": json.dumps(config).encode()}
    tokenizer = from_files(files)
    assert isinstance(tokenizer, WordPiece)
    return tokenizer


def cut(tokenizer: WordPiece, text: str) -> list[str]:
    return [tokenizer.piece(id) for id in tokenizer.pieces(tf.constant([text])).to_list()[0]]


def test_cased() -> None:
    tokenizer = make(do_lower_case=False)
    assert cut(tokenizer, "The rooms ÉTÉ") == ["The", "room", "##s", "ÉTÉ"]
    assert cut(tokenizer, "这店x") == ["这", "店", "[UNK]"]


def test_lower_case_takes_accents_off_but_keeps_sharp_s() -> None:
    tokenizer = make(do_lower_case=True)
    assert cut(tokenizer, "THE ÉTÉ e\u0301te\u0301 STRASSE Straße") == ["the", "ete", "ete", "strasse", "straße"]
    assert cut(tokenizer, "ΟΔΟΣ") == ["οδοσ"], "as the library, which knows no final sigma"
    assert cut(make(), "THE") == ["the"], "lower case is what a checkpoint means that says nothing"


def test_lower_case_and_accents_are_two_settings() -> None:
    assert cut(make(do_lower_case=True, strip_accents=False), "ÉTÉ") == ["été"]
    assert cut(make(do_lower_case=False, strip_accents=True), "été ÉTÉ") == ["ete", "[UNK]"]


def test_format_characters_are_dropped() -> None:
    tokenizer = make(do_lower_case=False)
    assert cut(tokenizer, "r\u00adoo\u200bm\x00\ufffds the\tthe\u3000the") == ["room", "##s", "the", "the", "the"]


def test_offsets_survive_what_normalising_changes() -> None:
    text = "  E\u0301T\u200dÉ,\u3000THE  Straße i\u0307i "
    data = text.encode()
    ids, starts, ends = (part.to_list()[0] for part in make().pieces_with_offsets(tf.constant([data])))
    parts = [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    assert parts == ["E\u0301T\u200dÉ", ",", "THE", "Straße", "i\u0307", "i"]
    assert [PIECES[id] for id in ids] == ["ete", "[UNK]", "the", "straße", "i", "##i"]


def test_special_tokens_may_have_other_names() -> None:
    pieces = ["<pad>", "<unk>", "<s>", "</s>", "x"]
    names = {"cls_token": "<s>", "sep_token": {"content": "</s>"}, "pad_token": "<pad>", "unk_token": "<unk>"}
    assert make(pieces, **names).special == (2, 3, 0, 1, None)


def test_tokenizer_json_alone_is_enough() -> None:
    whole = {
        "model": {"type": "WordPiece", "vocab": {piece: id for id, piece in enumerate(PIECES)}},
        "normalizer": {
            "type": "BertNormalizer",
            "lowercase": False,
            "strip_accents": None,
            "handle_chinese_chars": True,
        },
        "added_tokens": [{"content": "[new]", "id": len(PIECES)}],
    }
    tokenizer = from_files({"tokenizer.json": json.dumps(whole).encode()})
    assert isinstance(tokenizer, WordPiece) and not tokenizer.lower_case
    assert tokenizer.vocabulary() == [*PIECES, "[new]"]
    lower = from_files(
        {"tokenizer.json": json.dumps(whole).encode(), "tokenizer_config.json": b'{"do_lower_case": true}'}
    )
    assert isinstance(lower, WordPiece) and lower.lower_case


def test_line_ends_of_windows() -> None:
    files = {"vocab.txt": "\r\n".join(PIECES).encode() + b"\r\n"}
    assert from_files(files).vocabulary() == PIECES


def test_chinese_characters_must_be_cut_apart() -> None:
    with pytest.raises(WeightsError, match="tokenize_chinese_chars"):
        make(tokenize_chinese_chars=False)


def test_long_words_without_spaces_are_no_unknowns() -> None:
    tokenizer = make([*PIECES, "ก", "##ก"], do_lower_case=False)
    assert "[UNK]" not in cut(tokenizer, "ก" * 90)
