"""Gives each text, or pair of texts, a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfxl.backend import keras, tf
from tfxl.errors import DataError
from tfxl.example import Example, Prediction
from tfxl.tasks import Task, Tensors

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class Regression(Task):
    """One number a text: ratings, quality of a translation, how well a passage answers a question (rerankers).

    Both texts of a pair are read at once, which is more exact than `similarity` and slower, because every pair has to
    be read. Logits are `[batch, 1]`.

    Example:
        >>> task = Regression(second_text=True)
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(Task.Settings):
        """What is read, and what the number is."""

        second_text: bool = False
        """Whether the task is about a pair of texts."""
        activation: Literal["none", "sigmoid"] = "none"
        """`sigmoid` serves numbers between 0 and 1; training then wants such labels."""

    default_head = "pooled"
    metrics = ({"kind": "correlation", "method": "spearman"}, "mean_absolute_error")
    units = 1
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._sum, self._rows = 0.0, 0

    @property
    def prior(self) -> np.ndarray | None:
        """The logit of the mean number: ratings from 1 to 5 are far from the 0 that a new head gives."""
        if not self._rows:
            return None
        if self.settings.activation == "none":
            return np.array([self._sum / self._rows], np.float32)
        share = (self._sum + 0.5) / (self._rows + 1)  # never 0 or 1
        return np.array([math.log(share / (1 - share))], np.float32)

    def observe(self, example: Example) -> None:
        """Adds up the numbers, for the prior."""
        self._sum += self.gold(example)
        self._rows += 1

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text`, and `second_text` for pairs."""
        return ("text", "second_text") if self.settings.second_text else ("text",)

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `target` `[batch]` and `weight` `[batch]` float32 where the examples have labels."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        target = np.array([self.gold(example) for example in examples], np.float32)
        return {**features, "target": target, "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the text or pair; targets pass through."""
        encoded = self.encode_texts(batch, tokenizer)
        return {**encoded, **{name: batch[name] for name in ("target", "weight") if name in batch}}

    def loss(self) -> keras.losses.Loss:
        """Returns the squared error."""
        return SquaredError(sigmoid=self.settings.activation == "sigmoid")

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives `value` `[batch]`."""
        value = self.per_text(tf.cast(logits, tf.float32), encoded)[:, 0]
        answer = {"value": tf.sigmoid(value) if self.settings.activation == "sigmoid" else value}
        return {**answer, "truncated": encoded["truncated"]} if "truncated" in encoded else answer

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record with `value`."""
        return Prediction(value=float(answer["value"]), truncated=bool(answer.get("truncated", False)))

    def gold(self, example: Example) -> float:
        """Returns the example's number.

        Raises:
            DataError: It is none.
        """
        try:
            number = float(example.label)
        except (TypeError, ValueError):
            number = math.nan
        low, high = (0.0, 1.0) if self.settings.activation == "sigmoid" else (-math.inf, math.inf)
        if not (low <= number <= high and math.isfinite(number)):
            raise DataError(
                f"{example.place}: label {example.label!r}",
                expected="a number from 0 to 1, as the activation is sigmoid" if low == 0.0 else "a number",
                fix="Correct the row.",
            )
        return number

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[float | None]:
        """Returns the predicted numbers."""
        return [prediction.value for prediction in predictions]


class SquaredError(keras.losses.Loss):
    """The squared difference of target and number.

    Args:
        sigmoid: Whether the number is the sigmoid of the logit.
    """

    def __init__(self, *, sigmoid: bool = False) -> None:
        super().__init__(name="squared_error")
        self.sigmoid = sigmoid

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses of target `[rows]` and logits `[rows, 1]`."""
        value = tf.cast(logits, tf.float32)[:, 0]
        return ((tf.sigmoid(value) if self.sigmoid else value) - tf.cast(tf.reshape(target, [-1]), tf.float32)) ** 2
