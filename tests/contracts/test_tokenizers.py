"""What both kinds of tokenizer must hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.errors import RecipeError, WeightsError
from tfxl.text.tokenizer import Tokenizer, from_files

KINDS = ("sentencepiece", "wordpiece", "wordpiece lower-cased")
SPANS = (
    "Das Zimmer, groß!",
    "这家酒店，很吵。",
    "  الغرفة  نظيفة ",
    "कमरा\u3000साफ़ था।",
    "ห้องพัก สะอาด",
    "\tGut 👍🏽 👩\u200d👧\n",
    "e\u0301te\u0301 ＡＢＣ ﬁne",
)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return make(request.param)


def make(kind: str) -> Tokenizer:
    vocabulary, _, lower = kind.partition(" ")
    files = registry.build("encoders", {"kind": "tiny", "vocabulary": vocabulary}).tokenizer().files()
    if lower:
        files["tokenizer_config.json"] = files["tokenizer_config.json"].replace(b"false", b"true")
    return from_files(files)


def rows(encoded: dict[str, tf.Tensor]) -> list[list[int]]:
    ids, mask = encoded["input_ids"].numpy(), encoded["attention_mask"].numpy()
    return [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)]


@pytest.mark.parametrize("emptying", [lambda: tf.random.set_seed(1), keras.backend.clear_session])
def test_it_outlives_tensorflows_cache(emptying: Callable[[], None], tokenizer: Tokenizer) -> None:
    before = tokenizer.pieces(tf.constant(SPANS)).to_list()
    emptying()
    assert tokenizer.pieces(tf.constant(SPANS)).to_list() == before


def test_a_text_stands_between_its_special_tokens(tokenizer: Tokenizer, multilingual_texts: list[str]) -> None:
    encoded = tokenizer.encode(tf.constant(multilingual_texts), max_length=512)
    pieces = tokenizer.pieces(tf.constant(multilingual_texts)).to_list()
    cls, sep, pad, *_ = tokenizer.special
    assert rows(encoded) == [[cls, *row, sep] for row in pieces]
    assert set(encoded) == {"input_ids", "token_type_ids", "attention_mask", "truncated"}
    assert all(encoded[name].dtype == tf.int32 for name in ("input_ids", "token_type_ids", "attention_mask"))
    assert encoded["input_ids"].shape == (len(pieces), max(map(len, pieces)) + 2)
    assert not encoded["truncated"].numpy().any() and not encoded["token_type_ids"].numpy().any()
    assert (encoded["input_ids"].numpy()[encoded["attention_mask"].numpy() == 0] == pad).all()
    assert {id for row in rows(encoded) for id in row} <= set(range(tokenizer.size))


def test_empty_texts_and_an_empty_batch(tokenizer: Tokenizer) -> None:
    cls, sep, *_ = tokenizer.special
    assert rows(tokenizer.encode(tf.constant(["", " \t\n "]), max_length=8)) == [[cls, sep]] * 2
    nothing = tokenizer.encode(tf.constant([], tf.string), max_length=8)
    assert nothing["input_ids"].shape == (0, 2) and nothing["truncated"].shape == (0,)
    assert tokenizer.pieces_with_offsets(tf.constant([], tf.string)).ids.nrows() == 0
    empty = tokenizer.encode(tf.constant([""]), tf.constant([""]), max_length=8)
    assert rows(empty) == [[cls, sep, *[sep] * tokenizer.separators_between]]


def test_pairs(tokenizer: Tokenizer) -> None:
    first, second = ["das Zimmer war groß", ""], ["房间 很 干净", "the room"]
    encoded = tokenizer.encode(tf.constant(first), tf.constant(second), max_length=64)
    cls, sep, *_ = tokenizer.special
    one, two = (tokenizer.pieces(tf.constant(side)).to_list() for side in (first, second))
    between = [sep] * tokenizer.separators_between
    assert rows(encoded) == [[cls, *a, *between, *b, sep] for a, b in zip(one, two, strict=True)]
    types, mask = encoded["token_type_ids"].numpy(), encoded["attention_mask"].numpy()
    assert types[0].sum() == (len(two[0]) + 1) * tokenizer.second_type
    assert (types[mask == 0] == 0).all()
    if tokenizer.second_type:
        assert types[0][mask[0] == 1].tolist() == sorted(types[0][mask[0] == 1])


@given(lengths=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1), room=st.integers(2, 20))
@settings(max_examples=10, deadline=None)
def test_the_longer_side_is_shortened_first(lengths: list[tuple[int, int]], room: int) -> None:
    for tokenizer in map(make, KINDS[:2]):
        between = tokenizer.separators_between
        first, second = (tf.constant([". " * pair[side] for pair in lengths]) for side in (0, 1))
        encoded = tokenizer.encode(first, second, max_length=room + 2 + between)
        cls, sep, *_ = tokenizer.special
        one, two = (tokenizer.pieces(side).to_list() for side in (first, second))
        for row, a, b, truncated in zip(rows(encoded), one, two, encoded["truncated"].numpy(), strict=True):
            kept_a, kept_b = longest_first(len(a), len(b), room)
            assert row == [cls, *a[:kept_a], *[sep] * between, *b[:kept_b], sep]
            assert truncated == (kept_a + kept_b < len(a) + len(b))


def longest_first(a: int, b: int, room: int) -> tuple[int, int]:
    """As the tokenizers library: one token at a time from the longer; of equals an odd place is the second's."""
    if a + b <= room:
        return a, b
    short, long = min(a, b), max(a, b)
    long = max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (long, short) if a > b else (short, long)


def test_single_texts_are_cut_at_the_end(tokenizer: Tokenizer) -> None:
    text = tf.constant(["the room was clean and the food was good", "good"])
    pieces = tokenizer.pieces(text).to_list()
    encoded = tokenizer.encode(text, max_length=6)
    assert rows(encoded)[0] == [tokenizer.special.cls, *pieces[0][:4], tokenizer.special.sep]
    assert encoded["truncated"].numpy().tolist() == [True, False]


def test_no_room_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(RecipeError, match="max_length = 3"):
        tokenizer.encode(tf.constant(["x"]), max_length=3)
    with pytest.raises(RecipeError, match="Raise max_length"):
        tokenizer.encode(tf.constant(["x"]), tf.constant(["x"]), max_length=4)


@pytest.mark.parametrize("text", SPANS)
def test_offsets_cut_the_original_bytes(tokenizer: Tokenizer, text: str) -> None:
    data = text.encode()
    ids, starts, ends = (part.to_list()[0] for part in tokenizer.pieces_with_offsets(tf.constant([data])))
    assert ids == tokenizer.pieces(tf.constant([data])).to_list()[0]
    parts = [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    assert all(part == part.strip() for part in parts)
    # Every character but a joiner is covered once, and no piece reaches over white space.
    assert Counter("".join(parts)) - Counter("\u200d") == Counter("".join(text.split())) - Counter("\u200d")
    assert all(any(part in word for word in text.split()) for part in parts)
    assert starts == sorted(starts) and ends == sorted(ends)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=12))
@settings(max_examples=10, deadline=None)
def test_any_text_has_ids_and_offsets_inside_it(texts: list[str]) -> None:
    for kind in KINDS:
        tokenizer = CACHED.setdefault(kind, make(kind))
        check_offsets(tokenizer, [text.encode() for text in texts])


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)
def test_bytes_that_are_no_text_do_not_crash(texts: list[bytes]) -> None:
    for kind in KINDS:
        check_offsets(CACHED.setdefault(kind, make(kind)), texts)


CACHED: dict[str, Tokenizer] = {}


def check_offsets(tokenizer: Tokenizer, texts: list[bytes]) -> None:
    batch = tf.constant(texts, tf.string)
    ids, starts, ends = (part.to_list() for part in tokenizer.pieces_with_offsets(batch))
    assert ids == tokenizer.pieces(batch).to_list()
    for text, row, first, last in zip(texts, ids, starts, ends, strict=True):
        assert all(0 <= id < tokenizer.size for id in row)
        assert all(0 <= start <= end <= len(text) for start, end in zip(first, last, strict=True))
    encoded = tokenizer.encode(batch, batch[::-1], max_length=16)
    assert encoded["input_ids"].shape[1] <= 16


def test_typed_special_tokens_are_text(tokenizer: Tokenizer) -> None:
    special = {id for id in tokenizer.special if id not in (None, tokenizer.special.unknown)}
    typed = " ".join(tokenizer.piece(id) for id in special)
    assert not special & set(tokenizer.pieces(tf.constant([typed])).to_list()[0])


def test_files_build_the_same_tokenizer(tokenizer: Tokenizer, multilingual_texts: list[str]) -> None:
    again = from_files(tokenizer.files())
    assert again.files() == tokenizer.files()
    assert again.vocabulary() == tokenizer.vocabulary() and again.special == tokenizer.special
    texts = tf.constant(multilingual_texts)
    assert again.pieces(texts).to_list() == tokenizer.pieces(texts).to_list()


def test_the_same_in_tf_data_and_in_a_saved_module(
    tokenizer: Tokenizer, multilingual_texts: list[str], tmp_path: Path
) -> None:
    class Holder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = tokenizer
            self.encode = tf.function(
                lambda texts: self.tokenizer.encode(texts, max_length=32),
                input_signature=[tf.TensorSpec([None], tf.string)],
            )

    texts = tf.constant(multilingual_texts)
    expected = tokenizer.encode(texts, max_length=32)
    tf.saved_model.save(Holder(), str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved")).encode(texts)
    data = tf.data.Dataset.from_tensors(texts).map(lambda batch: tokenizer.encode(batch, max_length=32))
    for found in (loaded, next(iter(data))):
        assert all((found[name].numpy() == expected[name].numpy()).all() for name in expected)


def test_keeping_pieces_ranks_them(tokenizer: Tokenizer) -> None:
    ids = [id for id in range(tokenizer.size) if id % 3 == 0 or id in tokenizer.special]
    kept = tokenizer.keep(ids)
    assert kept.vocabulary() == [tokenizer.piece(id) for id in ids]
    assert kept.size == len(ids) == len(kept.scores()) and all(map(math.isfinite, kept.scores()))
    assert [kept.piece(id) for id in kept.special[:4]] == [tokenizer.piece(id) for id in tokenizer.special[:4]]


@pytest.mark.parametrize(
    ("files", "got"),
    [
        ({}, "none"),
        ({"config.json": b"{}"}, "config.json"),
        ({"tokenizer.json": b'{"model": {"type": "BPE"}}'}, "tokenizer.json"),
        ({"tokenizer.json": b'{"post_processor": {"type": "TemplateProcessing"}}'}, "tokenizer.json: KeyError"),
        ({"vocab.json": b"{}", "merges.txt": b"a b c"}, "vocab.json or merges.txt"),
        ({"tokenizer.json": b"[]"}, "tokenizer.json"),
        ({"tokenizer.json": b"\xff{"}, "tokenizer.json"),
        ({"tokenizer.json": b'{"model": {"type": "Unigram"}}'}, "tokenizer.json: KeyError"),
        ({"tokenizer.json": b'{"model": {"type": "Unigram", "vocab": [["a"]], "unk_id": 0}}'}, "tokenizer.json: Value"),
        ({"tokenizer.json": b'{"model": {"type": "WordPiece", "vocab": {"a": 1}}}'}, "do not run from 0"),
        ({"vocab.txt": b"a\nb\n"}, r"\[CLS\], \[SEP\], \[PAD\], \[UNK\]"),
        ({"vocab.txt": b"\xff"}, "vocab.txt"),
        ({"sentencepiece.bpe.model": b"nonsense"}, "sentencepiece.bpe.model"),
        ({"sentencepiece.bpe.model": b""}, "its first pieces"),
    ],
)
def test_wrong_files_are_named(files: dict[str, bytes], got: str) -> None:
    with pytest.raises(WeightsError, match=got):
        from_files(files)
