"""The two records that travel through tfxl: an Example goes in, a Prediction comes out."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    text: str
    second_text: str | None = None
    label: Any = None
    language: str = UNKNOWN_LANGUAGE
    domain: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A finished answer.

    Attributes:
        label: The label with the highest score.
        scores: A score between 0 and 1 for each label.
        truncated: Whether the text was longer than the model reads.
    """

    label: str
    scores: Mapping[str, float] = field(default_factory=dict)
    truncated: bool = False
