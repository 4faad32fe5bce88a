"""Sentences in columns: a word a line, a blank line after each sentence, comments above; and how words make a text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfxl import languages
from tfxl.readers import MAX_CHARACTERS, Line, Reader, lines, reject_line

BLANK_WORD = "\ufffd"
"""What stands for a word that is blank, so that tags and words keep their places."""

_SIGN = re.compile("[=:]")
# Scripts of languages that are written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


@dataclass
class Sentence:
    """The lines of one sentence: where it begins, its comments, and its rows as (line, text)."""

    line: int
    comments: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[int, str]] = field(default_factory=list)


def _never(text: str) -> bool:
    return False


def sentences(
    reader: Reader,
    path: str | Path,
    is_comment: Callable[[str], bool],
    *,
    expected: str,
    is_passed_over: Callable[[str], bool] = _never,
) -> Iterator[Sentence]:
    """Yields the sentences of a file; a sentence with a line that cannot be read is refused as a whole.

    Args:
        reader: Gets what is refused.
        path: The file.
        is_comment: Whether a line above the words of a sentence is a comment.
        expected: What a right sentence looks like, for messages.
        is_passed_over: Whether a line is neither a comment nor a word.
    """
    sentence: Sentence | None = None
    size, refused = 0, False
    for line in lines(path):
        text = line.text.rstrip("\r\n")
        if not text.strip(" \t"):
            if sentence and sentence.rows and not refused:
                yield sentence
            sentence, size, refused = None, 0, False
            continue
        sentence = sentence or Sentence(line.number)
        size += len(text)
        if refused:
            continue
        refused = reject_line(reader, path, line) or _is_endless(reader, path, line, size, expected)
        if not is_passed_over(text):
            _add(sentence, line.number, text, is_comment)
    if sentence and sentence.rows and not refused:
        yield sentence


def _is_endless(reader: Reader, path: str | Path, line: Line, size: int, expected: str) -> bool:
    if size > MAX_CHARACTERS:
        reason = f"a sentence longer than {MAX_CHARACTERS:,} characters"
        reader.reject(path, line.number, reason, expected=expected, fix="Put a blank line between sentences")
    return size > MAX_CHARACTERS


def _add(sentence: Sentence, number: int, text: str, is_comment: Callable[[str], bool]) -> None:
    if sentence.rows or not is_comment(text):
        sentence.rows.append((number, text))
    elif named := keyed(text):
        sentence.comments.setdefault(*named)


def keyed(text: str) -> tuple[str, str] | None:
    """Returns key and value of a comment `# key = value` or `# key: value`; None for other lines."""
    sign = _SIGN.search(text)
    key = text[1 : sign.start()].strip() if sign and text.startswith("#") else ""
    return (key, text[sign.end() :].strip()) if sign and key and "\t" not in text[: sign.start()] else None


def join(words: Sequence[str], language: str, *, written: str = "") -> str:
    """Returns words as the language writes them: with spaces, or without (Chinese, Japanese, Thai, …).

    A language that writes no spaces still has one between two words of letters or digits of another script
    (`World Tour` in a Chinese text), unless both are a single character: then the data splits into characters.
    Searching for the words one after another finds each at its place.

    Args:
        words: The words, without spaces at their ends.
        language: A BCP 47 tag; an unknown language has spaces.
        written: The text as the data has it, which is preferred in languages with spaces where it is these words.
    """
    if languages.find(language).segmentation != "none":
        return written if written and is_written(words, written) else " ".join(words)
    parts = list(words[:1])
    for before, word in itertools.pairwise(words):
        parts += [" ", word] if _is_spaced(before, word) else [word]
    return "".join(parts)


def _is_spaced(before: str, word: str) -> bool:
    ends = before[-1:], word[:1]
    return len(before) + len(word) > 2 and all(end.isalnum() and not _UNSPACED.match(end) for end in ends)


def is_written(words: Sequence[str], text: str) -> bool:
    """Whether a text is these words in order, with nothing but white space around them."""
    position = 0
    for word in words:
        place = text.find(word, position)
        if place < 0 or text[position:place].strip():
            return False
        position = place + len(word)
    return not text[position:].strip()
