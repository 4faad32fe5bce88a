"""Says how similar two texts are, from embeddings of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl.backend import keras, tf
from tfxl.errors import DataError
from tfxl.example import Example, Prediction
from tfxl.tasks import Tensors
from tfxl.tasks._vectors import VectorTask, unit

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class Similarity(VectorTask):
    """The cosine of two texts that are read apart (Reimers and Gurevych 2019), trained towards a number.

    Use it for semantic similarity, where labels are numbers such as 0 to 5, and for pairs that are alike or not (0 and
    1). A model that reads both texts at once (`classification` of pairs) is more exact, but has to read every pair;
    here each text is read once. To find the text that belongs to another, train `retrieval`.

    Example:
        >>> task = Similarity(largest=5.0)
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(VectorTask.Settings):
        """What the numbers mean, and what is made of them."""

        smallest: float = 0.0
        """The number for texts that have nothing in common; it stands for a cosine of 0."""
        largest: float = 1.0
        """The number for texts that mean the same; it stands for a cosine of 1."""
        loss: Literal["squared_error", "contrastive"] = "squared_error"
        """`contrastive` (Hadsell et al. 2006) draws similar texts together and others only as far apart as `margin`."""
        margin: float = Field(default=0.5, gt=0, le=2)
        """The distance (1 less the cosine) from which on texts that are not similar count as far enough apart."""

        @model_validator(mode="after")
        def _has_a_range(self) -> Self:
            if self.smallest >= self.largest:
                raise ValueError("a smallest number below the largest one")
            return self

    metrics = ({"kind": "correlation", "method": "spearman"}, {"kind": "correlation", "method": "pearson"})
    rows_per_text = 2
    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text` and `second_text`."""
        return ("text", "second_text")

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `target` `[batch]` float32 from 0 to 1, and `weight`, where the examples have labels."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        low, high = self.settings.smallest, self.settings.largest
        target = np.array([(self.gold(example) - low) / (high - low) for example in examples], np.float32)
        return {**features, "target": target, "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the two texts of each pair as rows beside each other; targets and weights stand at both."""
        columns = [self.prefixed(name, batch[name]) for name in self.text_inputs]
        encoded = self.encode_rows(columns, batch, tokenizer)
        return {**encoded, **{name: tf.repeat(batch[name], 2) for name in ("target", "weight") if name in batch}}

    def loss(self) -> keras.losses.Loss:
        """Returns the loss of the pairs' cosines."""
        return CosineLoss(margin=self.settings.margin if self.settings.loss == "contrastive" else None)

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives `similarity` `[batch]`, in the range of the labels; below `smallest` where the cosine is negative."""
        cosines = _cosines(self.vectors(logits, encoded))
        low, high = self.settings.smallest, self.settings.largest
        answer = {"similarity": low + cosines * (high - low)}
        return {**answer, "truncated": encoded["truncated"]} if "truncated" in encoded else answer

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record with `value`."""
        return Prediction(value=float(answer["similarity"]), truncated=bool(answer.get("truncated", False)))

    def gold(self, example: Example) -> float:
        """Returns the example's number.

        Raises:
            DataError: It is none, or outside of the range.
        """
        low, high = self.settings.smallest, self.settings.largest
        try:
            number = float(example.label)
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= high:
            raise DataError(
                f"{example.place}: label {example.label!r}",
                expected=f"a number from {low:g} to {high:g}",
                fix="Correct the row, or set task.smallest and task.largest.",
            )
        return number

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[float | None]:
        """Returns the predicted numbers."""
        return [prediction.value for prediction in predictions]


def _cosines(vectors: tf.Tensor) -> tf.Tensor:
    """Returns `[pairs]` cosines of vectors of length 1 `[pairs x 2, dimensions]`."""
    pairs = tf.reshape(vectors, [-1, 2, vectors.shape[-1]])
    return tf.reduce_sum(pairs[:, 0] * pairs[:, 1], axis=-1)


class CosineLoss(keras.losses.Loss):
    """What the cosines of pairs are apart from their targets.

    Args:
        margin: None for the squared difference of cosine and target. A number for the contrastive loss of the distance
            d = 1 - cosine: target · d² + (1 - target) · max(0, margin - d)².
    """

    def __init__(self, *, margin: float | None = None) -> None:
        super().__init__(name="cosine_loss")
        self.margin = margin

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses, each pair's twice, of target `[rows]` and logits `[rows, dimensions]`."""
        cosines = _cosines(unit(tf.cast(logits, tf.float32)))
        target = tf.reshape(target, [-1, 2])[:, 0]
        if self.margin is None:
            return tf.repeat((cosines - target) ** 2, 2)
        apart = 1.0 - cosines
        return tf.repeat(target * apart**2 + (1.0 - target) * tf.nn.relu(self.margin - apart) ** 2, 2)
