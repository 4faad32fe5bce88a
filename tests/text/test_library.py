"""Byte-level BPE and its like: everything works in Python, and the SavedModel is for tokens only."""

from __future__ import annotations

import json

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from tfxl.backend import tf
from tfxl.errors import ModelError, WeightsError
from tfxl.serving import export
from tfxl.text import parity
from tfxl.text.library import Library
from tfxl.text.tokenizer import from_files

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="module")
def library(multilingual_texts: list[str]) -> tokenizers.Tokenizer:
    """A byte-level BPE as English RoBERTa has it."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(multilingual_texts * 2, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made


@pytest.fixture(scope="module")
def tokenizer(library: tokenizers.Tokenizer) -> Library:
    made = from_files({"tokenizer.json": library.to_str().encode()})
    assert isinstance(made, Library)
    return made


def test_it_says_why_it_is_not_in_the_graph(tokenizer: Library) -> None:
    assert not tokenizer.in_graph and "byte-level BPE" in tokenizer.reason
    assert tokenizer.special == (0, 2, 1, 3, 4)


def rows(encoded: dict[str, tf.Tensor]) -> list[list[int]]:
    ids, mask = encoded["input_ids"].numpy(), encoded["attention_mask"].numpy()
    return [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)]


def test_ids_are_the_librarys(tokenizer: Library, library: tokenizers.Tokenizer, multilingual_texts: list[str]) -> None:
    texts = [text.strip() for text in multilingual_texts]
    theirs = [encoding.ids for encoding in library.encode_batch(texts)]
    encoded = tokenizer.encode(tf.constant(texts), max_length=256)
    assert rows(encoded) == theirs
    pairs = list(zip(texts, reversed(texts), strict=True))
    encoded = tokenizer.encode(tf.constant(texts), tf.constant(texts[::-1]), max_length=512)
    assert rows(encoded) == [encoding.ids for encoding in library.encode_batch(pairs)]
    assert not encoded["token_type_ids"].numpy().any()


@pytest.mark.parametrize("text", ["  das Zimmer, groß!", "这家酒店", "e\u0301te\u0301 👩\u200d👧 \n ok "])
def test_offsets_cut_the_original_bytes(tokenizer: Library, text: str) -> None:
    data = text.encode()
    ids, starts, ends = (part.to_list()[0] for part in tokenizer.pieces_with_offsets(tf.constant([data])))
    parts = [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    assert all(part == part.strip() for part in parts)
    assert "".join(dict.fromkeys("".join(parts))) == "".join(dict.fromkeys("".join(text.split())))
    assert starts == sorted(starts) and len(ids) == len(starts)


def test_bytes_that_are_no_text_and_nothing(tokenizer: Library) -> None:
    texts = tf.constant([b"\xff\xfe a", b"", b"\xc3"])
    _, starts, ends = (part.to_list() for part in tokenizer.pieces_with_offsets(texts))
    for text, first, last in zip(texts.numpy(), starts, ends, strict=True):
        assert all(0 <= start <= end <= len(text) for start, end in zip(first, last, strict=True))
    assert tokenizer.pieces(tf.constant([], tf.string)).nrows() == 0


def test_typed_special_tokens_are_text(tokenizer: Library) -> None:
    ids = tokenizer.pieces(tf.constant(["<mask> </s><pad>"])).to_list()[0]
    assert not set(ids) & set(tokenizer.special)


def test_it_works_in_tf_data(tokenizer: Library, multilingual_texts: list[str]) -> None:
    data = tf.data.Dataset.from_tensors(multilingual_texts).map(lambda texts: tokenizer.encode(texts, max_length=32))
    expected = tokenizer.encode(tf.constant(multilingual_texts), max_length=32)
    assert all((value.numpy() == expected[name].numpy()).all() for name, value in next(iter(data)).items())


def test_files_build_the_same_tokenizer(tokenizer: Library, multilingual_texts: list[str]) -> None:
    again = from_files(tokenizer.files())
    texts = tf.constant(multilingual_texts)
    assert again.special == tokenizer.special and again.vocabulary() == tokenizer.vocabulary()
    assert again.pieces(texts).to_list() == tokenizer.pieces(texts).to_list()
    assert parity.compare(again, multilingual_texts).differing == 0


def test_vocabulary_and_merges_are_enough(
    tokenizer: Library, library: tokenizers.Tokenizer, multilingual_texts: list[str]
) -> None:
    model = json.loads(library.to_str())["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])])
    made = from_files({"vocab.json": json.dumps(model["vocab"]).encode(), "merges.txt": merges.encode()})
    texts = tf.constant(multilingual_texts)
    assert made.special == tokenizer.special
    assert made.pieces(texts).to_list() == tokenizer.pieces(texts).to_list()


def test_flags_of_the_configuration_have_the_last_word() -> None:
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "haus": 4}
    made = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    files = {"tokenizer.json": made.to_str().encode(), "tokenizer_config.json": b'{"do_lower_case": true}'}
    tokenizer = from_files(files)
    assert "Chinese" in tokenizer.reason
    assert tokenizer.pieces(tf.constant(["HAUS"])).to_list() == [[4]]


def test_it_cannot_be_trimmed(tokenizer: Library) -> None:
    with pytest.raises(WeightsError, match="byte-level BPE"):
        tokenizer.keep([0, 1, 2, 3])


def test_it_is_not_exported_with_text(tokenizer: Library) -> None:
    with pytest.raises(ModelError, match="byte-level BPE") as caught:
        export._check_in_graph(tokenizer)
    assert "export.tokens_only = true" in caught.value.fix
