"""Zero-shot: sorts texts by labels that no model was trained on, by asking what follows from a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfxl import languages as known
from tfxl.errors import DataError, ModelError
from tfxl.example import Prediction
from tfxl.progress import SILENT, Progress

if TYPE_CHECKING:
    from tfxl.serving.model import Model

TEMPLATE = "This text is about {}."
TINY = 1e-12
SURE = 0.5
"""With several labels, the score from which one applies."""


class ZeroShot:
    """Asks a model of natural-language inference whether "This text is about sport." follows (Yin et al. 2019).

    Labels and template may be in any language that the model knows, whatever the language of the texts.

    Args:
        model: A model of the task `inference`.
        labels: The labels.
        template: A sentence in which `{}` stands for the label, or one for each language of the texts.
        several: Whether labels apply each by itself: several of them, or none.

    Raises:
        ModelError: The model is of another task.
        DataError: There are too few labels, one is empty or named twice, or a template has no place for a label.

    Example:
        >>> sort = ZeroShot(load("saved_models/inference"), ["sport", "weather"])
        >>> sort.predict(["Morgen schneit es."])[0].label
    """

    def __init__(
        self,
        model: Model,
        labels: Sequence[str],
        *,
        template: str | Mapping[str, str] = TEMPLATE,
        several: bool = False,
    ) -> None:
        self.roles: Mapping[str, str] = getattr(model.task, "roles", {})
        if "entailment" not in self.roles:
            raise ModelError(
                f"labels for {model.name}, a model of {model.task.kind}",
                expected="a model of natural-language inference, which says what follows from a text",
                fix="Train one with the recipe `inference`, or answer without labels of your own.",
            )
        _check_labels(labels, several=several)
        templates = template if isinstance(template, Mapping) else {"": template}
        _check_templates(templates)
        self.model, self.labels, self.templates, self.several = model, tuple(labels), templates, several

    def predict(
        self,
        texts: Sequence[str],
        *,
        languages: Sequence[str] | None = None,
        batch_size: int = 32,
        progress: Progress = SILENT,
    ) -> list[Prediction]:
        """Returns the labels of texts, in their order, with a score for each label.

        With one label a text, scores are the probabilities that the labels follow, divided by their sum. With several,
        a score is the probability that a label follows, where it either follows or cannot be; `labels` are those of at
        least 0.5.

        Args:
            texts: The texts.
            languages: The language of each text, where each language has its template.
            batch_size: Pairs of text and label a call.
            progress: Is told of every batch.

        Raises:
            DataError: A language has no template, or languages differ in number from the texts.
        """
        templates = [self._template(language) for language in _languages(texts, languages)]
        hypotheses = [template.replace("{}", label) for template in templates for label in self.labels]
        premises = [text for text in texts for _ in self.labels]
        found = self.model.predict(premises, hypotheses, batch_size=batch_size, progress=progress)
        size = len(self.labels)
        return [self._answer(found[start : start + size]) for start in range(0, len(found), size)]

    def _template(self, language: str) -> str:
        for name in (language, known.find(language).base if language else "", ""):
            if name in self.templates:
                return self.templates[name]
        raise DataError(
            f"a text in {language or 'no language that was told'}",
            expected=f"one of the languages that have a template: {', '.join(self.templates)}",
            fix="Add a template for it, or give one template for all.",
        )

    def _answer(self, pairs: Sequence[Prediction]) -> Prediction:
        """Makes one answer of those about each label."""
        follows = [pair.scores[self.roles["entailment"]] for pair in pairs]
        total = [max(sum(follows), TINY)] * len(pairs)
        if self.several:
            opposite = self.roles.get("contradiction", "")
            rest = [pair.scores.get(opposite, 1 - each) for pair, each in zip(pairs, follows, strict=True)]
            total = [max(each + other, TINY) for each, other in zip(follows, rest, strict=True)]
        scores = {label: each / whole for label, each, whole in zip(self.labels, follows, total, strict=True)}
        truncated = any(pair.truncated for pair in pairs)
        if self.several:
            applies = tuple(label for label, score in scores.items() if score >= SURE)
            return Prediction(scores=scores, labels=applies, truncated=truncated)
        return Prediction(max(scores, key=lambda label: scores[label]), scores, truncated=truncated)


def _check_labels(labels: Sequence[str], *, several: bool) -> None:
    least = 1 if several else 2
    wrong = isinstance(labels, str) or len(labels) < least or not all(label.strip() for label in labels)
    if wrong or len(set(labels)) < len(labels):
        raise DataError(
            f"labels {labels!r}"[:300],
            expected=f"at least {least} labels, each with a name of its own",
            fix='Give a list such as ["sport", "politics"].',
        )


def _check_templates(templates: Mapping[str, str]) -> None:
    for language, template in templates.items():
        if template.count("{}") != 1:
            raise DataError(
                f"template {template!r}" + (f" of language {language}" if language else ""),
                expected="a sentence with {} once, where the label goes",
                fix=f"Write a sentence such as {TEMPLATE!r}.",
            )


def _languages(texts: Sequence[str], languages: Sequence[str] | None) -> Sequence[str]:
    if languages is None:
        return [""] * len(texts)
    if len(languages) != len(texts):
        raise DataError(
            f"{len(languages)} languages for {len(texts)} texts",
            expected="the language of each text",
            fix="Name one language a text.",
        )
    return languages
