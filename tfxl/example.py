"""The records that travel through tfxl: an Example goes in, a Prediction comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN_LANGUAGE = "und"
"""The BCP 47 tag for a language that is not known."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of data.

    Attributes:
        text: The text, or the first of a pair.
        second_text: The second text of a pair.
        label: The gold answer in the form that the task expects (a label's name for classification); None if unknown.
        language: A BCP 47 tag such as `zh` or `pt-BR`.
        domain: Where the text comes from, such as `hotel`; empty if unknown.
        id: The row's name in its source; a reader gives it file and line if the source has none.
        source: Where the row stands, as `file:line`, for messages; rows are equal wherever they stand.
        words: The words of the text, for data whose labels belong to words; empty otherwise.
        choices: The answers to choose from, for tasks that choose one of them; empty otherwise.
        second_language: The language of the second text, where it is another one; empty otherwise.
    """

    text: str
    second_text: str | None = None
    label: Any = None
    language: str = UNKNOWN_LANGUAGE
    domain: str = ""
    id: str = ""
    source: str = field(default="", compare=False)
    words: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    second_language: str = ""

    @property
    def place(self) -> str:
        """How to call the row in a message."""
        return self.source or self.id or "a row"

    @property
    def task(self) -> str:
        """The tasks of a joint run that the row has labels of, such as `intent+slots`; empty in other runs."""
        return "+".join(self.label) if isinstance(self.label, Mapping) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, with what was found out about it.

    Attributes:
        text: The part itself, as it stands in the original text.
        start: Its first character in the text.
        end: The character after its last one.
        start_byte: Its first byte in the UTF-8 text.
        end_byte: The byte after its last one.
        label: What it is, such as `PER`; empty where the task does not say.
        score: A score between 0 and 1.
    """

    text: str
    start: int
    end: int
    start_byte: int
    end_byte: int
    label: str = ""
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """A text that was found for another.

    Attributes:
        text: The text.
        score: How near it is; for unit vectors the cosine.
        id: Its name in the index, such as a label.
    """

    text: str
    score: float
    id: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """A piece of the vocabulary for a mask in a text.

    Attributes:
        text: The piece as text.
        score: Its probability.
        id: Its id.
        filled: The text with it; of a text that is read in windows, the window.
    """

    text: str
    score: float
    id: int
    filled: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """A finished answer; the task says which of the fields it fills.

    Attributes:
        label: The label (or choice) with the highest score; for a question, the text of the answer.
        scores: A score between 0 and 1 for each label.
        labels: All labels that apply, for tasks that give several.
        spans: Parts of the text, in their order; for a question, the best answers, the best one first.
        value: A number, for tasks that measure; None otherwise.
        vector: The text's embedding, for tasks that give one, as compact as an `array` is.
        matches: Texts that were found, the best one first.
        fills: For each mask in a text the best pieces, the best one first.
        tasks: The answer of each task of a joint one, by the task's name.
        truncated: Whether the text was longer than the model reads.
    """

    label: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    value: float | None = None
    vector: Sequence[float] = ()
    matches: tuple[Match, ...] = ()
    fills: tuple[tuple[Fill, ...], ...] = ()
    tasks: Mapping[str, Prediction] = field(default_factory=dict)
    truncated: bool = False
