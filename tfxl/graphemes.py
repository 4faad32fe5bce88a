"""Graphemes: what a reader calls a character, such as a flag, a letter with its marks, a Hindi syllable."""

from __future__ import annotations

import regex

_GRAPHEME = regex.compile(r"\X")


def count(text: str) -> int:
    """Returns the number of graphemes of a text, as Unicode's annex 29 cuts them."""
    return sum(1 for _ in _GRAPHEME.finditer(text))
