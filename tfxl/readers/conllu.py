"""Reads sentences of Universal Dependencies (CoNLL-U): ten columns a word, comments above, a blank line below."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers import Reader
from tfxl.readers._sentences import BLANK_WORD, Sentence, sentences

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_ID = re.compile(r"(\d+)(?:([-.])(\d+))?", re.ASCII)
_RIGHT = f"ten columns that stand apart by tabs ({', '.join(COLUMNS)}), and a blank line after each sentence"


class Conllu(Reader):
    """Reads the treebanks of Universal Dependencies (Zeman et al. 2017), plain or gzipped (`.gz`).

    The text is put together as it was written: with spaces except after a word with `SpaceAfter=No`. Empty nodes
    (`1.1`) are passed over. Use it for parts of speech, and for anything else that a column holds.

    Example:
        >>> example = next(Conllu().read("zh_pud-ud-test.conllu", language="zh"))
        >>> example.words[:3], example.label[:3]
        (('"', '雖然', '美國'), ('PUNCT', 'ADP', 'PROPN'))
    """

    class Settings(Reader.Settings):
        """Which column is the label, what becomes of fused words, and which comments hold the rest."""

        column: Literal["lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"] = "upos"
        fused: Literal["first", "joined", "split"] = "first"
        """How words that are written as one (`zum` = `zu` + `dem`) are read: as one word with the tag of its first
        part, as one with all tags (`ADP+DET`), or as words of their own, which changes the text."""
        language: str = ""
        """The key of a comment with the sentence's language."""
        domain: str = ""
        """The key of a comment with the sentence's domain."""
        id: str = "sent_id"
        """The key of a comment with the sentence's id."""

    settings: Settings

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the sentences of one file."""
        return self.some(path, self._examples(path, language))

    def _examples(self, path: str | Path, language: str) -> Iterator[Example]:
        for sentence in sentences(self, path, lambda text: text.startswith("#"), expected=_RIGHT):
            words = self._words(path, sentence)
            if not words:
                continue
            told, comments, place = self.settings, sentence.comments, f"{path}:{sentence.line}"
            yield Example(
                text="".join(word.form + word.space for word in words).rstrip(" "),
                label=tuple(word.tag for word in words),
                language=comments.get(told.language) or language,
                domain=comments.get(told.domain, ""),
                id=comments.get(told.id) or place,
                source=place,
                words=tuple(word.form for word in words),
            )

    def _words(self, path: str | Path, sentence: Sentence) -> list[_Word]:
        """Returns the words of a sentence; none if one of its lines is wrong."""
        parts = _Parts(COLUMNS.index(self.settings.column), self.settings.fused)
        place = sentence.line
        try:
            for line, text in sentence.rows:
                place = line
                parts.add([cell.strip() for cell in text.split("\t")])
            return parts.finished()
        except ValueError as error:
            self.reject(path, place, str(error), expected=_RIGHT)
            return []


class _Word(NamedTuple):
    form: str
    tag: str
    space: str


@dataclass
class _Fused:
    """A word that is written as one and stands for several."""

    last: int
    form: str
    space: str


class _Parts:
    """Collects the words of one sentence from its lines."""

    def __init__(self, column: int, fused: str) -> None:
        self._words: list[_Word] = []
        self._column, self._mode = column, fused
        self._count, self._fused, self._tags = 0, _Fused(0, "", ""), list[str]()

    def add(self, cells: list[str]) -> None:
        """Takes a line; raises ValueError if it is wrong."""
        match = _ID.fullmatch(cells[0])
        if len(cells) != len(COLUMNS) or not match:
            raise ValueError(f"number of columns: {len(cells)}, the first one {cells[0]!r}")
        form, space = cells[1] or BLANK_WORD, "" if "SpaceAfter=No" in cells[9].split("|") else " "
        first, sign, last = match.groups()
        if sign == ".":
            return
        if int(first) != self._count + 1 or int(last or first) < int(first):
            raise ValueError(f"word {cells[0]} where word {self._count + 1} should stand")
        if sign:
            self.finished()
            self._fused = _Fused(int(last), form, space)
        else:
            self._count += 1
            self._word(form, cells[self._column], space)

    def finished(self) -> list[_Word]:
        """Returns the words; raises ValueError if a fused word lacks one of its own."""
        if self._count < self._fused.last:
            raise ValueError(f"word {self._fused.last}, the last one of {self._fused.form!r}, is missing")
        return self._words

    def _word(self, form: str, tag: str, space: str) -> None:
        fused = self._fused
        if self._count > fused.last:
            self._words.append(_Word(form, tag, space))
        elif self._mode == "split":
            self._words.append(_Word(form, tag, fused.space if self._count == fused.last else " "))
        else:
            self._tags.append(tag)
            if self._count == fused.last:
                tags = self._tags if self._mode == "joined" else self._tags[:1]
                self._words.append(_Word(fused.form, "+".join(tags), fused.space))
                self._tags = []
