"""Errors that a person can mend: what was got, what was expected, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TfxlError(Exception):
    """The base of every error that tfxl raises on purpose.

    The command line prints it without a traceback and exits with code 2.

    Args:
        got: What was found, with the place where it was found.
        expected: What would have been right; known names are listed here.
        fix: What to do now.
    """

    def __init__(self, got: str, *, expected: str, fix: str) -> None:
        super().__init__(got, expected, fix)
        self.got, self.expected, self.fix = got, expected, fix

    def __str__(self) -> str:
        return f"got:      {self.got}\nexpected: {self.expected}\nfix:      {self.fix}"


class RecipeError(TfxlError):
    """A recipe, a setting or the name of a part is wrong."""


class DataError(TfxlError):
    """A data file is missing, unreadable or holds a wrong row."""


class WeightsError(TfxlError):
    """Pretrained weights or their tokenizer are missing, damaged or do not belong together."""


class ModelError(TfxlError):
    """A saved model is missing, damaged or cannot do what was asked."""


class InstallationError(TfxlError):
    """A package is missing, or the installed versions do not fit each other."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'? " for the known name nearest to `name`, or an empty string."""
    nearest = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"did you mean '{nearest[0]}'? " if nearest else ""
