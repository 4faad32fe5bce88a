"""Masks in texts, and ids as text again: as transformers' tokenizers do both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors

from tfxl.backend import tf
from tfxl.encoders.tiny import SENTENCES, Tiny
from tfxl.errors import WeightsError
from tfxl.text.detokenizer import Detokenizer
from tfxl.text.tokenizer import Tokenizer, from_files

TEXTS = [
    "Das Zimmer war {}.",
    "{} das Zimmer",
    "das {}{} gut {} !",
    "房间很{}，饭菜",
    "كانت الغرفة {}",
    "कमरा{}था",
    "das Zimmer{}war",
    "",
    "  {}  ",
    "{}",
    "das   {} , gut",
    "it's {} do not",
    "👍{}👍",
    "das\u00a0{}\u3000war",
    "das\u00a0",
    "\u3000das {}\u00a0",
]


def byte_level(folder: Path) -> None:
    """A tokenizer like RoBERTa's: bytes, and pairs of them that are frequent; the mask swallows the space before it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters, "Ġd", "as", "Ġdas", "<mask>"]
    ids = {piece: id for id, piece in enumerate(pieces)}
    library = tokenizers.Tokenizer(models.BPE(ids, [("Ġ", "d"), ("a", "s"), ("Ġd", "as")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    library.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    library.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    library.save(str(folder / "tokenizer.json"))
    names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    config = {"tokenizer_class": "RobertaTokenizer", **{f"{name}_token": piece for name, piece in names.items()}}
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    config |= {"mask_token": {**mask, "__type": "AddedToken"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(params=["sentencepiece", "sentencepiece again", "wordpiece", "wordpiece again", "byte-level"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Tokenizer, Any]:
    """A tokenizer, and transformers' own of the same files; `again` are those that transformers saved."""
    kind, _, again = request.param.partition(" ")
    if kind == "byte-level":
        byte_level(tmp_path)
    else:
        for name, content in Tiny(vocabulary=kind).tokenizer().files().items():
            (tmp_path / name).write_bytes(content)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    if again:
        theirs.save_pretrained(tmp_path / "again")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    folder = tmp_path / again if again else tmp_path
    return from_files({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}), theirs


def ids_of(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    encoded = tokenizer.encode(tf.constant(texts), max_length=500, masks=True)
    ids, mask = encoded["input_ids"].numpy(), encoded["attention_mask"].numpy()
    return [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)]


def test_masks_are_read_as_transformers_reads_them(both: tuple[Tokenizer, Any]) -> None:
    ours, theirs = both
    texts = [text.replace("{}", theirs.mask_token).strip() for text in TEXTS]
    assert ids_of(ours, texts) == theirs(texts)["input_ids"]


def test_ids_are_written_as_transformers_writes_them(both: tuple[Tokenizer, Any]) -> None:
    ours, theirs = both
    words = Detokenizer.of(ours.spelling())
    texts = [*(text.replace("{}", theirs.mask_token) for text in TEXTS), *SENTENCES, "it 's , you 've ' s !"]
    for ids in ids_of(ours, texts):
        row, everything = tf.constant(ids), tf.ones([len(ids)], tf.bool)
        for kept, skip in ((everything, False), (~words.is_hidden(row), True)):
            assert words.text(row, kept).numpy().decode() == theirs.decode(ids, skip_special_tokens=skip)
    alone = [piece.decode() for piece in words.alone(tf.range(ours.size)).numpy()]
    assert alone == [theirs.decode([id]) for id in range(ours.size)]


def test_without_masks_the_name_of_the_mask_is_text() -> None:
    tokenizer = Tiny(vocabulary="wordpiece").tokenizer()
    typed = tokenizer.encode(tf.constant(["das [MASK] war"]), max_length=32)["input_ids"].numpy()
    assert tokenizer.mask not in typed and tokenizer.special.unknown not in typed


def test_a_vocabulary_without_a_mask_is_refused() -> None:
    tokenizer = from_files({"vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n"})
    with pytest.raises(WeightsError, match="mask"):
        tokenizer.encode(tf.constant(["a [MASK]"]), max_length=8, masks=True)
