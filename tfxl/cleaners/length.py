"""Drops texts that are too short or too long."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tfxl import graphemes
from tfxl.cleaners import Cleaner
from tfxl.example import Example


class Length(Cleaner):
    """Keeps an example if each of its texts, without white space around it, has a length between two limits.

    Lengths are in graphemes, what a reader calls a character (a flag, a letter with its marks, a Hindi syllable), or in
    Unicode characters. Words are no measure here: many languages write none.
    """

    class Settings(Cleaner.Settings):
        """The limits, both allowed; without a maximum any length will do."""

        minimum: int = Field(1, ge=0)
        maximum: int | None = Field(None, ge=1)
        unit: Literal["graphemes", "characters"] = "graphemes"

        @model_validator(mode="after")
        def _minimum_is_below_maximum(self) -> Self:
            if self.maximum is not None and self.maximum < self.minimum:
                raise ValueError(f"a maximum of at least the minimum, {self.minimum}")
            return self

    settings: Settings

    def clean(self, example: Example) -> Example | None:
        """Returns the example as it is, or None."""
        texts = [example.text] if example.second_text is None else [example.text, example.second_text]
        return example if all(self._fits(text.strip()) for text in texts) else None

    def _fits(self, text: str) -> bool:
        minimum, maximum = self.settings.minimum, self.settings.maximum
        length = len(text)
        if length < minimum or (minimum <= 1 and maximum is None):  # graphemes are never more than characters
            return length >= minimum
        if self.settings.unit == "graphemes":
            length = graphemes.count(text)
        return minimum <= length and (maximum is None or length <= maximum)
