"""How answers to questions are compared: what of a text counts, in each language."""

from __future__ import annotations

import re
import string
import unicodedata
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from tfxl import languages
from tfxl.metrics import Metric
from tfxl.metrics._counts import mean

Rule = Literal["mlqa", "squad"]

ARTICLES = {
    "en": ("a", "an", "the"),
    "es": ("un", "una", "unos", "unas", "el", "la", "los", "las"),
    "vi": ("của", "là", "cái", "chiếc", "những"),
    "de": ("ein", "eine", "einen", "einem", "eines", "einer", "der", "die", "das", "den", "dem", "des"),
}
"""The words that MLQA drops (Lewis et al. 2020, appendix). Arabic's article is part of a word and dropped inside it."""

_ARTICLE = {language: re.compile(rf"\b({'|'.join(words)})\b") for language, words in ARTICLES.items()}
_CHINESE = re.compile("([\u4e00-\u9fa5])")
# MLQA knows no other language without spaces; the same is done with their characters.
_UNSPACED = re.compile(
    "([\u0e00-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])"
)


class AnswerMetric(Metric):
    """The mean over questions of how well the predicted answer fits the right answer that it fits best.

    Gold is `{"language": code, "answers": (texts)}`, predicted a text. Without right answers the right one is "".
    """

    class Settings(Metric.Settings):
        """How answers are made comparable."""

        normalisation: Rule = "mlqa"
        """`mlqa` follows the language of the answer; `squad` treats every language as English."""

    settings: Settings

    def statistics(self, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
        """Returns `[rows, 2]`: how well the best right answer is met, and 1."""
        rows = [(self._best(right, answer), 1) for right, answer in zip(gold, predicted, strict=True)]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Returns `[…]`; nan where there are no rows."""
        return mean(sums)

    @abstractmethod
    def compare(self, right: Sequence[str], answer: Sequence[str]) -> float:
        """Returns between 0 and 1 how well the words of an answer fit those of the right one."""

    def _best(self, gold: Mapping[str, Any], predicted: str) -> float:
        rule, language = self.settings.normalisation, str(gold["language"])
        answer = words(predicted, language, rule)
        rights = [words(right, language, rule) for right in gold["answers"]]
        if rule == "squad":  # its script looks past right answers of which nothing is left
            rights = [right for right in rights if right]
        return max((self.compare(right, answer) for right in rights), default=float(not answer))


def words(text: str, language: str, rule: Rule) -> tuple[str, ...]:
    """Returns the words of an answer that are compared.

    Args:
        text: The answer.
        language: A BCP 47 tag.
        rule: `squad` drops ASCII punctuation and English articles; `mlqa` all punctuation and the language's articles,
            and splits Chinese into characters. Both lower the case.
    """
    if rule == "squad":
        kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return tuple(_ARTICLE["en"].sub(" ", kept).split())
    kept = "".join(letter for letter in text.lower() if not _is_punctuation(letter))
    base, segmentation = _language(language)
    if base in _ARTICLE:
        kept = _ARTICLE[base].sub(" ", kept)
    elif base == "ar":
        kept = kept.replace("ال", " ")
    if segmentation == "none":
        kept = (_CHINESE if base == "zh" else _UNSPACED).sub(r" \1 ", kept)
    return tuple(kept.split())


@lru_cache(maxsize=65_536)
def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


def _language(code: str) -> tuple[str, str]:
    found = languages.find(code)
    return found.base, found.segmentation
