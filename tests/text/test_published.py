"""What tokenizer.json says is read, never assumed; what no op can do is said and left to the library."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from tfxl.errors import WeightsError
from tfxl.text import published
from tfxl.text.tokenizer import from_files
from tfxl.text.wordpiece import WordPiece

PIECES = ["<p>", "<u>", "<c>", "<e>", "<m>", "das", "haus", "##es"]
BERT = normalizers.BertNormalizer(lowercase=True)


def written(
    processor: Any = None, normalizer: Any = BERT, before: Any = None, model: Any = None, special: str = ""
) -> dict[str, Any]:
    """What the library writes for a WordPiece with special tokens of unusual names."""
    ids = {piece: id for id, piece in enumerate(PIECES)}
    library = tokenizers.Tokenizer(model or models.WordPiece(ids, unk_token="<u>"))
    library.normalizer = normalizer
    library.pre_tokenizer = before or pre_tokenizers.BertPreTokenizer()
    library.post_processor = processor or processors.BertProcessing(("<e>", 3), ("<c>", 2))
    library.enable_padding(pad_id=0, pad_token="<p>")
    if special:
        library.add_special_tokens([special])
    return json.loads(library.to_str())


def template(single: str, pair: str) -> Any:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[("<c>", 2), ("<e>", 3)])


def test_special_tokens_are_those_of_the_file() -> None:
    tokenizer = from_files({"tokenizer.json": json.dumps(written(special="<mask>")).encode()})
    assert isinstance(tokenizer, WordPiece) and tokenizer.lower_case
    assert tokenizer.special == (2, 3, 0, 1, 8)
    assert from_files(tokenizer.files()).special == tokenizer.special


def test_a_special_tokens_map_is_read() -> None:
    names = {"cls_token": "<c>", "sep_token": {"content": "<e>"}, "pad_token": "<p>", "unk_token": "<u>"}
    files = {"vocab.txt": "\n".join(PIECES).encode(), "special_tokens_map.json": json.dumps(names).encode()}
    assert from_files(files).special == (2, 3, 0, 1, None)


def test_pieces_that_were_added_behind_the_vocabulary_have_ids() -> None:
    config = {"added_tokens_decoder": {"0": {"content": "[PAD]"}, "5": {"content": "[new]"}, "9": {"content": "x"}}}
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "das"]
    files = {"vocab.txt": "\n".join(pieces).encode(), "tokenizer_config.json": json.dumps(config).encode()}
    tokenizer = from_files(files)
    assert tokenizer.vocabulary() == [*pieces, "[new]"] == from_files(tokenizer.files()).vocabulary()


@pytest.mark.parametrize(
    ("processor", "pair"),
    [
        (processors.BertProcessing(("<e>", 3), ("<c>", 2)), (1, 1)),
        (processors.RobertaProcessing(("<e>", 3), ("<c>", 2)), (2, 0)),
        (template("<c> $A <e>", "<c> $A <e> $B:1 <e>:1"), (1, 1)),
        (template("<c> $A <e>", "<c> $A <e> <e> $B <e>"), (2, 0)),
        (processors.Sequence([processors.ByteLevel(), template("<c> $A <e>", "<c> $A $B <e>")]), (0, 0)),
    ],
)
def test_pairs_stand_as_the_file_says(processor: Any, pair: tuple[int, int]) -> None:
    files = {"tokenizer.json": json.dumps(written(processor)).encode()}
    tokenizer = from_files(files)
    assert (tokenizer.separators_between, tokenizer.second_type) == pair
    library = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    encoded = tokenizer.encode(["Haus"], ["das hauses"], max_length=16)
    theirs = library.encode("Haus", "das hauses")
    assert encoded["input_ids"].numpy().tolist() == [theirs.ids]
    assert encoded["token_type_ids"].numpy().tolist() == [theirs.type_ids]
    again = from_files(tokenizer.files())
    assert (again.separators_between, again.second_type) == pair


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"processor": template("<c> $A", "<c> $A $B")}, "<c> TEXT, not between"),
        ({"normalizer": normalizers.Lowercase()}, "Lowercase"),
        ({"normalizer": normalizers.BertNormalizer(handle_chinese_chars=False)}, "Chinese"),
        ({"normalizer": normalizers.BertNormalizer(clean_text=False)}, "control"),
        ({"before": pre_tokenizers.Whitespace()}, "Whitespace"),
        ({"model": models.WordPiece({"<u>": 0}, unk_token="<u>", continuing_subword_prefix="@@")}, "##"),
        ({"model": models.BPE({"a": 0}, [])}, "BPE has no op"),
        ({"model": models.BPE({"a": 0}, []), "before": pre_tokenizers.ByteLevel()}, "byte-level BPE"),
        ({"model": models.Unigram([("a", 0.0)], 0, True)}, "bytes"),
        ({"model": models.Unigram([("a", 0.0)], 0), "normalizer": normalizers.Lowercase()}, "Lowercase"),
        ({"model": models.Unigram([("a", 0.0)], 0), "normalizer": None}, "BertPreTokenizer"),
    ],
)
def test_what_no_op_can_do_has_a_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in published.obstacle(written(**change), {})


@pytest.mark.parametrize("model", [models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"), models.Unigram([("a", 0.0)], 0)])
def test_words_that_were_added_are_cut_out_before_anything_else(model: Any) -> None:
    library = tokenizers.Tokenizer(model)
    library.add_special_tokens(["<mask>", "<query>"])
    assert "added" not in published.obstacle(json.loads(library.to_str()), {})
    library.add_tokens(["covid-19"])
    assert "'covid-19'" in published.obstacle(json.loads(library.to_str()), {})


@pytest.mark.parametrize("content", [" ", "▁"])
def test_nothing_is_in_the_way_of_the_usual_files(content: str) -> None:
    space = normalizers.Replace(tokenizers.Regex(" {2,}"), content)
    before = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    model = models.Unigram([("a", 0.0)], 0)
    assert published.obstacle(written(), {}) == ""
    assert published.obstacle(written(model=model, normalizer=normalizers.Sequence([space]), before=before), {}) == ""
    assert "Chinese" in published.obstacle(written(), {"tokenize_chinese_chars": False})


@pytest.mark.parametrize("value", [[9, 0], "ab", 3, [1], None])
def test_a_wrong_entry_of_pairs_is_refused(value: Any) -> None:
    with pytest.raises(WeightsError, match="tfxl_pair"):
        published.kept({published.PAIR: value}, published.Pair(1, 1))
