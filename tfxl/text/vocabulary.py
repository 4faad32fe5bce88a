"""The vocabulary: which pieces texts use, and a tokenizer with only the pieces that some languages need.

A multilingual vocabulary has 120,000 to 250,000 pieces, and their embeddings are most of a small model. Few languages
need few of them; the others can go together with their rows of the embedding table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import regex
from pydantic import Field, field_validator

from tfxl import settings
from tfxl.backend import tf
from tfxl.text.sentencepiece import Kind, SentencePiece
from tfxl.text.tokenizer import Tokenizer

BATCH = 256
HAN = regex.compile(r"\p{Script=Hani}")
EVERYWHERE = ("Zyyy", "Zinh")
"""Unicode's scripts Common and Inherited: digits, punctuation, emoji, combining marks."""
WRITTEN_WITH = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
"""ISO 15924 codes that are ways to write, by the scripts of Unicode that they consist of."""


class Rules(settings.Settings):
    """Which pieces are kept. Special tokens and pieces of one character always are, so any text can be read."""

    min_count: int = Field(default=1, ge=1)
    """How often a piece must occur in the counted texts."""
    scripts: tuple[str, ...] = ()
    """Scripts (ISO 15924: `Latn`, `Hans`) whose pieces are kept also where the counted texts do not use them: a small
    sample cannot show every word. Digits, punctuation and emoji belong to every script."""
    top: int = Field(default=0, ge=0)
    """How many pieces of these scripts are kept, the most frequent first; 0 keeps all of them."""
    seen_letters: bool = False
    """Of these scripts, keep only pieces spelled with letters that the counted texts use: it leaves out Polish where
    German is counted. Chinese characters are too many to be seen, so they count as seen."""

    @field_validator("scripts")
    @classmethod
    def _known(cls, scripts: tuple[str, ...]) -> tuple[str, ...]:
        _pattern(scripts)
        return scripts


def count(tokenizer: Tokenizer, texts: Iterable[str]) -> np.ndarray:
    """Returns how often each piece occurs in the texts: `[size]` int64."""
    counts = np.zeros(tokenizer.size, np.int64)
    for ids in _ids(tokenizer, texts):
        counts += np.bincount(ids.flat_values.numpy(), minlength=tokenizer.size)
    return counts


def kept_ids(tokenizer: Tokenizer, counts: np.ndarray, **rules: Any) -> np.ndarray:
    """Returns the ids of the pieces that stay, ascending; the new id of a piece is its rank among them.

    Args:
        tokenizer: The tokenizer with all pieces.
        counts: What `count` returned.
        rules: See `Rules`.

    Raises:
        RecipeError: A rule is unknown or has a wrong value.
    """
    chosen = settings.validate(Rules, rules, where="rules")
    vocabulary, counted = tokenizer.vocabulary(), counts >= chosen.min_count
    keep = counted | _indispensable(tokenizer)
    if chosen.scripts:
        pattern = _pattern(chosen.scripts)
        letters = set().union(*(vocabulary[id] for id in np.flatnonzero(counted))) if chosen.seen_letters else None
        fits = (pattern.fullmatch(piece) and (letters is None or _seen(piece, letters)) for piece in vocabulary)
        ids = np.flatnonzero([bool(fit) for fit in fits])
        order = np.argsort(-np.array(tokenizer.scores())[ids], kind="stable")
        keep[ids[order][: chosen.top or None]] = True
    return np.flatnonzero(keep)


def _seen(piece: str, letters: set[str]) -> bool:
    return all(char in letters or not char.isalpha() or HAN.fullmatch(char) for char in piece)


def trim(tokenizer: Tokenizer, kept_ids: np.ndarray) -> Tokenizer:
    """Returns a tokenizer with these pieces alone; the rows of an embedding table are then `table[kept_ids]`.

    A text whose pieces are all kept is cut as before. Other texts are cut into more, shorter pieces.
    """
    return tokenizer.keep([int(id) for id in kept_ids])


class Loss(NamedTuple):
    """How many pieces of some texts a trimmed vocabulary lacks.

    Attributes:
        pieces: The pieces of the texts, counted before trimming.
        lost: How many of them are not kept.
        growth: The factor by which the texts have more pieces after trimming.
    """

    pieces: int
    lost: int
    growth: float

    @property
    def share(self) -> float:
        """The share of pieces lost."""
        return self.lost / max(self.pieces, 1)


def losses(
    tokenizer: Tokenizer, kept_ids: np.ndarray, texts: Mapping[str, Sequence[str]], *, trimmed: Tokenizer | None = None
) -> dict[str, Loss]:
    """Returns what trimming costs each language; measure it on texts that were not counted.

    Args:
        tokenizer: The tokenizer with all pieces.
        kept_ids: The pieces that stay.
        texts: Texts by language.
        trimmed: What `trim` returned, if the caller has it.
    """
    trimmed = trimmed or trim(tokenizer, kept_ids)
    gone = np.ones(tokenizer.size, bool)
    gone[kept_ids] = False
    found = {}
    for language, rows in texts.items():
        before, after = count(tokenizer, rows), count(trimmed, rows)
        found[language] = Loss(int(before.sum()), int(before[gone].sum()), after.sum() / max(before.sum(), 1))
    return found


def all_kept(tokenizer: Tokenizer, kept_ids: np.ndarray, texts: Sequence[str]) -> list[str]:
    """Returns the texts whose pieces are all kept and known; trimming must not change anything for them."""
    stays = np.zeros(tokenizer.size, bool)
    stays[kept_ids] = True
    # A WordPiece word that was unknown for one lost piece may be cut into shorter pieces afterwards.
    stays[tokenizer.special.unknown] = False
    kept = [bool(stays[row].all()) for ids in _ids(tokenizer, texts) for row in ids.to_list()]
    return [text for text, keep in zip(texts, kept, strict=True) if keep]


def _ids(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterable[tf.RaggedTensor]:
    rows = [text.encode() for text in texts]
    for start in range(0, len(rows), BATCH):
        yield tokenizer.pieces(tf.constant(rows[start : start + BATCH], tf.string))


def _indispensable(tokenizer: Tokenizer) -> np.ndarray:
    """Special tokens, single characters (with or without the sign of a word's beginning or middle), bytes."""
    bare = (piece.removeprefix("▁").removeprefix("##") for piece in tokenizer.vocabulary())
    keep = np.array([len(piece) <= 1 for piece in bare])
    keep[[id for id in tokenizer.special if id is not None]] = True
    if isinstance(tokenizer, SentencePiece):
        kinds, scores = np.array(tokenizer.kinds()), np.array(tokenizer.scores())
        keep |= kinds != Kind.NORMAL
        # An unknown character costs the lowest score minus ten, a symbol of the user's the highest: neither may move.
        normal = np.flatnonzero(kinds == Kind.NORMAL)
        keep[normal[[np.argmin(scores[normal]), np.argmax(scores[normal])]]] = True
    return keep


def _pattern(scripts: Sequence[str]) -> regex.Pattern[str]:
    """Returns what matches a piece that is written in these scripts alone."""
    names = [*EVERYWHERE, *(name for script in scripts for name in WRITTEN_WITH.get(script, (script,)))]
    for name in names:
        try:
            regex.compile(rf"\p{{Script={name}}}")
        except regex.error:
            raise ValueError(f"ISO 15924 codes of scripts such as Latn, Cyrl, Arab or Hans, not {name!r}") from None
    return regex.compile("[" + "".join(rf"\p{{Script={name}}}" for name in names) + "]+")
