"""Says of a pair of texts whether the second follows from the first: natural-language inference."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tfxl.tasks._labels import OneLabel


class Inference(OneLabel):
    """One label a pair (Bowman et al. 2015; Conneau et al. 2018): the second text follows, contradicts, or neither.

    A model of this task also sorts texts by labels that it was never trained on (`Model.zero_shot`), so the task knows
    which labels say that something follows and that it cannot be. For other questions about pairs, such as
    paraphrases, use `classification` with `second_text = true`.

    Example:
        >>> task = Inference(labels=["0", "1", "2"], entailment="0", contradiction="2")
    """

    class Settings(OneLabel.Settings):
        """Which labels there are, and what they mean."""

        labels: tuple[str, ...] = Field(default=("entailment", "neutral", "contradiction"), min_length=2)
        """The labels as the data spells them; their order is the order of the scores."""
        entailment: str = "entailment"
        """The label of the data which says that the second text follows from the first."""
        contradiction: str = "contradiction"
        """The label of the data which says that the second text cannot be true; empty if there is none."""

        @model_validator(mode="after")
        def _roles_fit(self) -> Self:
            roles = [label for label in (self.entailment, self.contradiction) if label]
            self.require_labels([self.entailment, *roles], "entailment and contradiction")
            if len(set(roles)) < len(roles):
                raise ValueError("entailment and contradiction that differ")
            return self

    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """The premise is `text`, the hypothesis `second_text`."""
        return ("text", "second_text")

    @property
    def roles(self) -> dict[str, str]:
        """The served names of the labels that mean `entailment` and, if there is one, `contradiction`."""
        told = {"entailment": self.settings.entailment, "contradiction": self.settings.contradiction}
        served = dict(zip(self.settings.labels, self.names, strict=True))
        return {role: served[label] for role, label in told.items() if label}
