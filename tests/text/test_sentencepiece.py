from __future__ import annotations

import base64
import io
import json

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.text.sentencepiece import Kind, SentencePiece
from tfxl.text.tokenizer import from_files

TEXTS = [
    "The room was clean.",
    "Das Zimmer war groß.",
    "这家酒店很吵。",
    "الغرفة نظيفة",
    "कमरा साफ़ था।",
    "ﬁne ＡＢＣ e\u0301",
]


@pytest.fixture(scope="module")
def model() -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=written,
        vocab_size=120,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def tokenizer(model: bytes) -> SentencePiece:
    return SentencePiece.from_model(model, {})


def test_ids_are_those_of_xlm_roberta(model: bytes, tokenizer: SentencePiece) -> None:
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert tokenizer.special == (0, 2, 1, 3, own.get_piece_size() + 1)
    assert tokenizer.vocabulary()[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert tokenizer.piece(tokenizer.size - 1) == "<mask>" and tokenizer.size == own.get_piece_size() + 2
    texts = [*TEXTS, "something else: ☃"]
    expected = [[id + 1 if id else 3 for id in own.encode(text)] for text in texts]
    assert tokenizer.pieces(tf.constant(texts)).to_list() == expected


def test_ids_are_those_of_camembert(model: bytes) -> None:
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer = SentencePiece.from_model(model, {"tokenizer_class": "CamembertTokenizer"})
    assert tokenizer.special == (5, 6, 1, 3, own.get_piece_size() + 4)
    assert tokenizer.pieces(tf.constant(TEXTS)).to_list() == [[id + 4 for id in own.encode(text)] for text in TEXTS]
    again = from_files(tokenizer.files())
    assert "tokenizer.json" in tokenizer.files()
    assert again.special == tokenizer.special and again.vocabulary() == tokenizer.vocabulary()
    assert again.kinds() == tokenizer.kinds()


def test_all_tokens_behind_a_vocabulary_are_read_and_stay_special(tokenizer: SentencePiece) -> None:
    whole = json.loads(as_json(tokenizer, nested=True))
    first = len(whole["model"]["vocab"])
    (mask,) = [token for token in whole["added_tokens"] if token["content"] == "<mask>"]
    mask["id"] = first + 1
    whole["added_tokens"].append({**mask, "id": first, "content": "<query>"})
    found = from_files({"tokenizer.json": json.dumps(whole).encode()})
    assert found.special.mask == first + 1 and found.size == first + 2
    again = from_files(found.files())
    assert again.kinds() == found.kinds()
    texts = tf.constant(["a <query> b"])
    assert again.pieces(texts).to_list() == found.pieces(texts).to_list()


def test_a_checkpoint_gets_its_own_model_back(model: bytes, tokenizer: SentencePiece) -> None:
    parse = sentencepiece_model_pb2.ModelProto.FromString
    written = tokenizer.files()["sentencepiece.bpe.model"]
    assert [(p.piece, p.score, p.type) for p in parse(written).pieces] == [
        (p.piece, p.score, p.type) for p in parse(model).pieces
    ]
    assert parse(written).normalizer_spec == parse(model).normalizer_spec


def as_json(tokenizer: SentencePiece, *, nested: bool) -> bytes:
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(tokenizer.charsmap).decode()}
    names = [tokenizer.piece(id) for id in tokenizer.special]
    vocabulary = [list(row) for row in zip(tokenizer.vocabulary(), tokenizer.scores(), strict=True)]
    return json.dumps(
        {
            "added_tokens": [{"id": tokenizer.vocabulary().index(name), "content": name} for name in names],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [table, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}],
            }
            if nested
            else table,
            # XLM-R's files list the mask; others add it behind the vocabulary.
            "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary[:-1] if nested else vocabulary},
        }
    ).encode()


@pytest.mark.parametrize("nested", [False, True])
def test_tokenizer_json_alone_is_enough(tokenizer: SentencePiece, nested: bool) -> None:
    alone = from_files({"tokenizer.json": as_json(tokenizer, nested=nested)})
    assert isinstance(alone, SentencePiece)
    assert alone.charsmap == tokenizer.charsmap != b""
    assert alone.special == tokenizer.special and alone.vocabulary() == tokenizer.vocabulary()
    assert alone.pieces(tf.constant(TEXTS)).to_list() == tokenizer.pieces(tf.constant(TEXTS)).to_list()
    assert "sentencepiece.bpe.model" in alone.files()


def test_special_tokens_may_have_berts_names(tokenizer: SentencePiece) -> None:
    names = {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    text = as_json(tokenizer, nested=False).decode()
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    assert from_files({"tokenizer.json": text.encode()}).special == tokenizer.special


def test_missing_special_tokens_are_named(tokenizer: SentencePiece) -> None:
    text = as_json(tokenizer, nested=False).decode().replace('"<pad>"', '"<nopad>"')
    with pytest.raises(WeightsError, match="<pad>"):
        from_files({"tokenizer.json": text.encode()})


def test_offsets_leave_the_space_before_a_word_out(tokenizer: SentencePiece) -> None:
    text = "The \u3000 room\u200b was"
    ids, starts, ends = (part.to_list()[0] for part in tokenizer.pieces_with_offsets(tf.constant([text])))
    words = [text.encode()[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    assert "".join(words) == "Theroomwas"
    assert not any(word != word.strip() for word in words)
    assert len(ids) == len(words)


def test_special_tokens_are_control_pieces(tokenizer: SentencePiece) -> None:
    kinds = tokenizer.kinds()
    assert kinds[:4] == [Kind.CONTROL, Kind.CONTROL, Kind.CONTROL, Kind.UNKNOWN] and kinds[-1] == Kind.CONTROL
