"""Transfer: what training on some languages is worth in others, as a matrix."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from tfxl.errors import DataError
from tfxl.evaluation.groups import base
from tfxl.evaluation.record import Evaluation, write_whole
from tfxl.evaluation.score import Score

FORMAT = 1
"""Counts up when the JSON file changes so that an older reader would misread it."""

Kind: TypeAlias = Literal["zero-shot", "few-shot", "joint"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What one row of the matrix was trained on.

    Attributes:
        kind: `zero-shot` is one language, `few-shot` one and a few examples of each other, `joint` all of them.
        languages: The languages whose rows were all trained on.
        shots: Examples of each other language; 0 for none.
    """

    kind: Kind
    languages: tuple[str, ...]
    shots: int = 0

    @property
    def name(self) -> str:
        """How a table calls it: `en`, `en + 16 each`, `en + de + zh`."""
        return " + ".join([*self.languages, *([f"{self.shots} each"] if self.shots else [])])


@dataclass(frozen=True)
class Transfer:
    """The scores of models that differ in the languages they were trained on.

    Attributes:
        metric: What is measured.
        tested: The languages of the test data, in their order.
        scores: For each setting, the score of each tested language; None where it has no rows.
    """

    metric: str
    tested: tuple[str, ...]
    scores: Mapping[Setting, tuple[Score | None, ...]]

    @classmethod
    def of(cls, evaluations: Mapping[Setting, Evaluation]) -> Self:
        """Returns the matrix of evaluations of the same rows."""
        first = next(iter(evaluations.values()))
        tested = first.languages
        scores = {
            setting: tuple(evaluation.by("language").get(code) for code in tested)
            for setting, evaluation in evaluations.items()
        }
        return cls(first.main, tested, scores)

    def is_trained(self, setting: Setting, language: str) -> bool:
        """Whether a setting had all training rows of a language; its regions and scripts count as one language."""
        return base(language) in map(base, setting.languages)

    def mean(self, setting: Setting, *, others: bool = False) -> float:
        """Returns the mean over the tested languages with a score; with `others`, without the trained ones."""
        found = [
            score.value
            for code, score in zip(self.tested, self.scores[setting], strict=True)
            if score is not None and not math.isnan(score.value) and not (others and self.is_trained(setting, code))
        ]
        return sum(found) / len(found) if found else math.nan

    def table(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Returns the columns and rows of a table for people."""
        from tfxl.evaluation.score import number

        rows = [
            (
                setting.kind,
                setting.name,
                *("–" if score is None else number(score.value) for score in scores),
                number(self.mean(setting)),
                number(self.mean(setting, others=True)),
            )
            for setting, scores in self.scores.items()
        ]
        return ("setting", "trained on", *self.tested, "mean", "mean of the others"), rows

    def as_json(self) -> dict[str, Any]:
        """Returns the record as JSON values."""
        rows = [
            {**asdict(setting), "scores": [score and score.as_json() for score in scores]}
            for setting, scores in self.scores.items()
        ]
        return {"format": FORMAT, "metric": self.metric, "tested": list(self.tested), "rows": rows}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Returns the record that `as_json` wrote."""
        return cls(
            metric=values["metric"],
            tested=tuple(values["tested"]),
            scores={
                Setting(row["kind"], tuple(row["languages"]), row["shots"]): tuple(
                    score and Score.from_json(score) for score in row["scores"]
                )
                for row in values["rows"]
            },
        )

    def write(self, path: str | Path) -> Path:
        """Writes the JSON file and returns its path."""
        return write_whole(path, json.dumps(self.as_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Returns the matrix of a JSON file.

        Raises:
            DataError: The file is missing or is no matrix.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: {type(error).__name__}: {error}",
                expected="the JSON file of a transfer matrix",
                fix="Give the matrix.json of tfxl evaluate --matrix.",
            ) from None


def settings_of(languages: Sequence[str], *, shots: Iterable[int] = (), joint: bool = True) -> list[Setting]:
    """Returns the rows of a matrix: each language alone, the first with a few examples of the others, all together.

    Args:
        languages: The languages with training data; few-shot settings start from the first.
        shots: How many examples of each other language a few-shot setting has.
        joint: Whether all languages are also trained together, where there are several.
    """
    found = [Setting("zero-shot", (language,)) for language in languages]
    found += [Setting("few-shot", (languages[0],), count) for count in shots if count > 0]
    return found + ([Setting("joint", tuple(languages))] if joint and len(languages) > 1 else [])
