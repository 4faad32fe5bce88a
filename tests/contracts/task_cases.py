"""One table of what every task is tested on: settings that it cannot do without, and a few examples it can learn."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfxl import registry
from tfxl.example import Example

SIDES = {"negative": ["schlecht", "很差", "سيئ", "बुरा"], "positive": ["sehr gut", "很好", "جيد", "अच्छा 👍"]}
"""Texts by what they are, in scripts of all kinds."""


class Case(NamedTuple):
    """A task to be tested.

    Attributes:
        kind: The task.
        settings: Its settings.
        examples: A batch that it can learn by heart.
    """

    kind: str
    settings: dict[str, Any]
    examples: list[Example]

    def __str__(self) -> str:
        return "-".join([self.kind, *(f"{key}={value}" for key, value in self.settings.items() if key != "labels")])


LABELLED = [
    Example(text * (1 + number % 2), label=label) for label, texts in SIDES.items() for number, text in enumerate(texts)
]
PAIRS = [
    Example(each.text, second_text=text, label=each.label)
    for each, text in zip(LABELLED, [text for texts in SIDES.values() for text in texts], strict=True)
]
TWO = {"labels": ["negative", "positive"], "max_length": 24}

CASES = [
    Case("classification", TWO, LABELLED),
    Case("classification", {**TWO, "activation": "sigmoid"}, LABELLED),
    Case("classification", {**TWO, "second_text": True}, PAIRS),
    Case("classification", {**TWO, "class_weights": "balanced", "focal_gamma": 1.0}, LABELLED),
]
"""The first case of a kind is the usual one. A task that is not named here is tested without settings."""

CASES += [Case(kind, {}, LABELLED) for kind in registry.names("tasks") if kind not in {case.kind for case in CASES}]
USUAL = list({case.kind: case for case in reversed(CASES)}.values())
"""One case a task."""
