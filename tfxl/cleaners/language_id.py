"""Finds out in which language a text is written."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tfxl import languages
from tfxl.cleaners import Cleaner
from tfxl.errors import InstallationError, RecipeError, did_you_mean
from tfxl.example import UNKNOWN_LANGUAGE, Example

if TYPE_CHECKING:
    from lingua import LanguageDetector

_MEMBERS = {"no": frozenset({"nb", "nn"}), "sh": frozenset({"bs", "hr", "sr"})}
"""Codes that stand for several languages which the detector tells apart."""


class LanguageId(Cleaner):
    """Drops or renames examples that are not in the language they claim, and names those that claim none.

    Only what the detector is sure of counts: a guess below `confidence` changes nothing, and a language that the
    detector does not know (it knows 75) is believed. Needs the extra `tfxl[language_id]`, and memory: 190 MB to choose
    between twelve languages, 1.2 GB for all. The detector is lingua, which is made for short texts.
    """

    class Settings(Cleaner.Settings):
        """Between which languages to choose (fewer are told apart better; none means all), and what to do."""

        languages: tuple[str, ...] = ()
        confidence: float = Field(0.9, gt=0, le=1)
        mismatch: Literal["drop", "rename"] = "drop"

    settings: Settings

    def clean(self, example: Example) -> Example | None:
        """Returns the example as it is, with its language named, or None."""
        claimed = _base(example.language)
        if claimed != UNKNOWN_LANGUAGE and not self._variants(claimed) & self._known:
            return example
        found = self._detect(example.text)
        if found is None or found in self._variants(claimed):
            return example
        if claimed == UNKNOWN_LANGUAGE or self.settings.mismatch == "rename":
            return replace(example, language=self._named(found))
        return None

    @staticmethod
    def _variants(code: str) -> frozenset[str]:
        return _MEMBERS.get(code, frozenset({code}))

    def _named(self, found: str) -> str:
        """Returns what the settings call a language that was found: `no` where they say so, and not `nb`."""
        codes = [_base(code) for code in self.settings.languages]
        return found if found in codes else next((code for code in codes if found in self._variants(code)), found)

    def _detect(self, text: str) -> str | None:
        """Returns the code of the language that the detector is sure of, or None."""
        ranking = self._detector.compute_language_confidence_values(text)
        if not ranking or ranking[0].value < self.settings.confidence:
            return None
        return ranking[0].language.iso_code_639_1.name.lower()

    @cached_property
    def _known(self) -> frozenset[str]:
        """The codes between which the detector chooses."""
        known = {language.iso_code_639_1.name.lower() for language in _lingua().Language.all()}
        chosen = frozenset().union(*(self._variants(_base(code)) for code in self.settings.languages))
        for code in chosen - known:
            raise RecipeError(
                f"{self.kind}.languages: {code!r}",
                expected=f"languages that the detector knows: {', '.join(sorted(known))}",
                fix=f"{did_you_mean(code, known)}Leave the others out: their texts are believed to be what they claim.",
            )
        if len(chosen) == 1:
            raise RecipeError(
                f"{self.kind}.languages: only {self.settings.languages[0]!r}",
                expected="at least two languages to choose between, or none for all",
                fix="Add the languages that the texts may wrongly be in.",
            )
        return chosen or frozenset(known)

    @cached_property
    def _detector(self) -> LanguageDetector:
        lingua = _lingua()
        codes = [getattr(lingua.IsoCode639_1, code.upper()) for code in sorted(self._known)]
        return lingua.LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


def _base(code: str) -> str:
    return languages.find(code).base


def _lingua() -> Any:
    """Imports the detector, which is large and may be absent."""
    try:
        import lingua
    except ImportError:
        raise InstallationError(
            "the package lingua-language-detector is not installed",
            expected="lingua-language-detector 2, which tells languages apart",
            fix='pip install "tfxl[language_id]"',
        ) from None
    return lingua
