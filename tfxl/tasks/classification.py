"""Gives each text, or pair of texts, one label."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from tfxl.tasks._labels import LabelLoss, OneLabel, probabilities

__all__ = ["Classification", "LabelLoss", "probabilities"]


class Classification(OneLabel):
    """One label a text (Devlin et al. 2019, section 4.1): sentiment, topic, intent.

    Logits are `[batch, labels]`, or `[batch, 1]` with `activation = "sigmoid"`.

    Example:
        >>> task = Classification(labels=["negative", "neutral", "positive"])
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(OneLabel.Settings):
        """What is read, and how many logits there are."""

        second_text: bool = False
        """Whether the task is about a pair of texts."""
        activation: Literal["softmax", "sigmoid"] = "softmax"
        """`sigmoid` gives a two-label task one logit, that of the second label."""

        @model_validator(mode="after")
        def _activation_fits(self) -> Self:
            if self.activation == "sigmoid" and len(self.labels) != 2:
                raise ValueError('two labels with activation = "sigmoid"')
            return self

    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text`, and `second_text` for pairs."""
        return ("text", "second_text") if self.settings.second_text else ("text",)

    @property
    def units(self) -> int:
        """One logit a label, or a single one with sigmoid."""
        return 1 if self.settings.activation == "sigmoid" else len(self.settings.labels)
