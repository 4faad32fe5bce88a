"""Parity: whether the graph's tokenizer cuts texts as the Hugging Face `tokenizers` library does with the same files.

The library is what most checkpoints were trained with, so a difference is a text that the network reads in a form it
has not seen. The comparison runs over generated text of many Unicode blocks, and over texts that the caller gives.
"""

from __future__ import annotations

import functools
import math
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece
import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from tfxl.backend import tf
from tfxl.text.library import Library
from tfxl.text.sentencepiece import SentencePiece
from tfxl.text.tokenizer import Tokenizer
from tfxl.text.wordpiece import WordPiece

BLOCKS: Mapping[str, tuple[int, int]] = {
    "Basic Latin": (0x21, 0x7E),
    "Latin-1 and Latin Extended": (0xA0, 0x24F),
    "Combining Diacritical Marks": (0x300, 0x36F),
    "Greek": (0x370, 0x3FF),
    "Cyrillic": (0x400, 0x4FF),
    "Hebrew": (0x590, 0x5F4),
    "Arabic": (0x600, 0x6FF),
    "Devanagari": (0x900, 0x97F),
    "Bengali": (0x980, 0x9FE),
    "Tamil": (0xB82, 0xBFA),
    "Thai": (0xE01, 0xE5B),
    "Georgian": (0x10A0, 0x10FF),
    "Ethiopic": (0x1200, 0x137C),
    "Latin Extended Additional": (0x1E00, 0x1EFF),
    "General Punctuation": (0x2010, 0x2031),
    "Currency and letter-like forms": (0x20A0, 0x214F),
    "Hiragana": (0x3041, 0x3096),
    "Katakana": (0x30A0, 0x30FF),
    "CJK ideographs": (0x4E00, 0x9FA5),
    "Hangul": (0xAC00, 0xD7A3),
    "Ligatures and Arabic forms": (0xFB00, 0xFDFB),
    "Full-width forms": (0xFF01, 0xFF9D),
    "Emoji": (0x1F300, 0x1F64F),
}
TYPED = "special token typed in a text"
"""The one difference that is meant: the library makes a special token of it, the graph reads text."""
NORMALISED = "the library's normaliser gives another text than SentencePiece's own"
"""It normalises a letter and its marks as one where they are short, and loses marks, where SentencePiece composes."""
TIE = "two ways to cut have the same score"
"""The library adds scores in 64 bits, SentencePiece in 32, so rounding decides between them."""
SPACES = (*" " * 8, "  ", "\t", "\n", "\u3000", "\u2009")
JOINERS = ("\u00a0", "\u200b", "\u200c", "\u200d", "\u00ad")
OTHER = "other"
EXAMPLES = 3
LONGEST_WORD = 100
BATCH = 256


@dataclass(frozen=True)
class Kind:
    """One kind of difference: how many texts show it, and a few of them with the pieces of both sides."""

    texts: int
    examples: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        texts: How many texts were compared, without those that differ by design.
        differing: How many of them were cut otherwise.
        by_design: How many more texts hold a typed special token and therefore differ.
        kinds: What the differences are; most frequent first.
    """

    texts: int
    differing: int
    by_design: int
    kinds: Mapping[str, Kind]

    @property
    def rate(self) -> float:
        """The share of texts that were cut otherwise."""
        return self.differing / max(self.texts, 1)

    def as_json(self) -> dict[str, Any]:
        """Returns the record as plain values."""
        kinds = {
            name: {
                "texts": kind.texts,
                "examples": [dict(zip(("text", "graph", "library"), row, strict=True)) for row in kind.examples],
            }
            for name, kind in self.kinds.items()
        }
        counts = {"texts": self.texts, "differing": self.differing, "by_design": self.by_design}
        return {**counts, "rate": self.rate, "kinds": kinds}


def generated_texts(count: int = 2000, *, seed: int = 0, odd: bool = False) -> list[str]:
    """Returns random texts whose words come from one block of `BLOCKS` each, with unusual spaces now and then.

    Args:
        count: How many.
        seed: What the texts depend on.
        odd: Draw any code point, unassigned ones, joiners and heaped marks included. If not, words are spelled as
            writing is: letters, digits and some punctuation, composed, with at most one more mark on a letter.
    """
    draw = random.Random(seed)
    return [_text(draw, index, odd) for index in range(count)]


def _text(draw: random.Random, index: int, odd: bool) -> str:
    names = list(BLOCKS)
    blocks = [names[index % len(names)]] if index % 3 else draw.sample(names, 3)
    characters = [_characters(block, odd) for block in (draw.choice(blocks) for _ in range(draw.randint(1, 8)))]
    text = "".join(_word(draw, known, odd) + draw.choice(SPACES) for known in characters)
    return text if odd else unicodedata.normalize("NFC", text)


@functools.cache
def _characters(block: str, odd: bool) -> tuple[str, ...]:
    """Returns the characters of a block; if not odd, letters come ten times as often as punctuation and symbols."""
    low, high = BLOCKS[block]
    characters = [chr(code) for code in range(low, high + 1)]
    if odd:
        return tuple(characters)
    kinds = [unicodedata.category(character) for character in characters]
    times = ((10 if kind[0] in "LMN" else kind[0] in "PS") for kind in kinds)
    return tuple("".join(character * int(count) for character, count in zip(characters, times, strict=True)))


def _word(draw: random.Random, characters: Sequence[str], odd: bool) -> str:
    if odd:
        return "".join(draw.choice((*characters, *JOINERS)) for _ in range(draw.randint(1, 9)))
    word, longest = "", 9 if any(map(str.isalnum, characters)) else 2
    for character in (draw.choice(characters) for _ in range(draw.randint(1, longest))):
        plain = word[-1:].isalpha() and unicodedata.is_normalized("NFKC", word[-1])
        mark = unicodedata.category(character)[0] == "M"
        word += draw.choice("aeonu") + character if mark and not plain else character
    return word


def compare(tokenizer: Tokenizer, texts: Iterable[str]) -> Parity:
    """Cuts the texts with both tokenizers and sorts the differences by kind.

    Args:
        tokenizer: The graph's tokenizer; the library's is built from the same vocabulary and flags.
        texts: Texts as a person writes them, without special tokens.
    """
    rows = [text.strip() for text in texts]
    sides = _Sides(tokenizer)
    differing = [text for text, (ours, theirs) in zip(rows, sides.cut(rows), strict=True) if ours != theirs]
    found: dict[str, list[str]] = {}
    for text, kind in zip(differing, sides.kinds(differing), strict=True):
        found.setdefault(kind, []).append(text)
    by_design = len(found.pop(TYPED, ()))
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    kinds = {name: Kind(len(hits), sides.examples(hits)) for name, hits in ordered}
    return Parity(len(rows) - by_design, len(differing) - by_design, by_design, kinds)


class _Sides:
    """Both tokenizers, and what can be asked about a text on which they differ."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.library = tokenizer, reference(tokenizer)
        self.vocabulary = tokenizer.vocabulary()
        special = [self.vocabulary[id] for id in tokenizer.special if id is not None]
        self.typed = re.compile("|".join(map(re.escape, special)))

    def cut(self, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        ours: list[list[int]] = []
        for start in range(0, len(texts), BATCH):
            batch = tf.constant([text.encode() for text in texts[start : start + BATCH]], tf.string)
            ours += self.tokenizer.pieces(batch).to_list()
        theirs = self.library.encode_batch(list(texts), add_special_tokens=False)
        return [(mine, other.ids) for mine, other in zip(ours, theirs, strict=True)]

    def examples(self, texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        shown = sorted(texts, key=len)[:EXAMPLES]
        pieces = [tuple(tuple(self.vocabulary[id] for id in side) for side in both) for both in self.cut(shown)]
        return tuple((text, ours, theirs) for text, (ours, theirs) in zip(shown, pieces, strict=True))

    def kinds(self, texts: Sequence[str]) -> list[str]:
        return [self._kind(text) for text in texts]

    def _kind(self, text: str) -> str:
        if self.typed.search(text):
            return TYPED
        if isinstance(self.tokenizer, SentencePiece):
            if not self._same_normal_form(text):
                return NORMALISED
            ours, theirs = (math.fsum(self.scores[id] for id in side) for side in self.cut([text])[0])
            return TIE if math.isclose(ours, theirs, rel_tol=1e-6) else OTHER
        words = text.split()
        different = [word for word, (ours, theirs) in zip(words, self.cut(words), strict=True) if ours != theirs]
        if any(len(word) > LONGEST_WORD for word in different):
            return f"word of more than {LONGEST_WORD} characters"
        return self._smallest(different[0]) if different else OTHER

    @functools.cached_property
    def scores(self) -> list[float]:
        return self.tokenizer.scores()

    @functools.cached_property
    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """SentencePiece's own Python package, for what the op does not show."""
        return sentencepiece.SentencePieceProcessor(model_proto=self.tokenizer.model())

    def _same_normal_form(self, text: str) -> bool:
        if self.library.normalizer is None:
            return True
        own = self.processor.Normalize(text).replace("▁", " ")
        return own.split() == self.library.normalizer.normalize_str(text).split()

    def _smallest(self, word: str) -> str:
        """Names the shortest part of a word, up to three characters, that differs alone or between two letters."""
        parts = [word[start : start + size] for size in (1, 2, 3) for start in range(len(word) - size + 1)]
        probes = [probe for part in parts for probe in (part, f"a{part}a")]
        hits = (parts[index // 2] for index, (ours, theirs) in enumerate(self.cut(probes)) if ours != theirs)
        part = next(hits, None)
        if part is None:
            return OTHER
        names = (f"U+{ord(c):04X} {unicodedata.name(c, 'without a name')} ({unicodedata.category(c)})" for c in part)
        return " + ".join(names)


def reference(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """Returns the library's tokenizer with the same vocabulary, normaliser and flags, special tokens included."""
    if isinstance(tokenizer, SentencePiece):
        library = _unigram(tokenizer)
    elif isinstance(tokenizer, WordPiece):
        library = _wordpiece(tokenizer)
    elif isinstance(tokenizer, Library):
        return tokenizers.Tokenizer.from_str(tokenizer.files()["tokenizer.json"].decode())
    else:
        raise TypeError(f"{type(tokenizer).__name__} has no counterpart in the tokenizers library")
    special = [tokenizer.piece(id) for id in tokenizer.special if id is not None]
    library.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return library


def _unigram(tokenizer: SentencePiece) -> tokenizers.Tokenizer:
    """As XLM-R: the compiled table, words split at white space, each with U+2581 before it."""
    rows = list(zip(tokenizer.vocabulary(), tokenizer.scores(), strict=True))
    library = tokenizers.Tokenizer(models.Unigram(rows, unk_id=tokenizer.special.unknown, byte_fallback=False))
    if tokenizer.charsmap:
        library.normalizer = normalizers.Precompiled(tokenizer.charsmap)
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    return library


def _wordpiece(tokenizer: WordPiece) -> tokenizers.Tokenizer:
    ids = {piece: id for id, piece in enumerate(tokenizer.vocabulary())}
    unknown = tokenizer.piece(tokenizer.special.unknown)
    library = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=LONGEST_WORD))
    library.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=tokenizer.strip_accents,
        lowercase=tokenizer.lower_case,
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return library
