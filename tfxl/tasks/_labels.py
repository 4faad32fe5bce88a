"""What tasks of labels have in common: names, weights, loss and answer. The tasks themselves are files of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl.backend import keras, tf
from tfxl.errors import DataError, did_you_mean
from tfxl.example import Example, Prediction
from tfxl.tasks import Task, Tensors

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""What a loss is multiplied by."""


class LabelTask(Task):
    """A task whose answers are labels out of a list that is known."""

    class Settings(Task.Settings):
        """What the labels are, and which rows the loss looks at."""

        labels: tuple[str, ...] = Field(min_length=2)
        """The labels as the data spells them; their order is the order of the scores."""
        label_names: dict[str, str] = Field(default_factory=dict)
        """The name that is served for a label of the data, such as `"1" = "positive"`; by default the label itself."""
        focal_gamma: float = Field(default=0.0, ge=0)
        """Above 0: focal loss (Lin et al. 2017), which looks less at rows that are already right."""

        @model_validator(mode="after")
        def _labels_fit(self) -> Self:
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("labels that differ from each other")
            names = [self.label_names.get(label, label) for label in self.labels]
            if len(set(names)) < len(names):
                raise ValueError("names of labels that differ from each other")
            self.require_labels(self.label_names, "names")
            return self

        def require_labels(self, used: Iterable[str], what: str) -> None:
            """Raises ValueError if something is set for a label that there is not."""
            if unknown := [label for label in used if label not in self.labels]:
                raise ValueError(f"{what} of the labels {', '.join(self.labels)} only, not of {unknown[0]!r}")

    default_head = "pooled"
    answer_kind = "labels"
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.names = tuple(self.settings.label_names.get(label, label) for label in self.settings.labels)
        self._indices = {label: index for index, label in enumerate(self.settings.labels)}

    def index(self, label: Any, example: Example) -> int:
        """Returns the place of a label of the data.

        Raises:
            DataError: There is no such label.
        """
        index = self._indices.get(label) if isinstance(label, str) else None
        if index is None:
            labels = self.settings.labels
            raise DataError(
                f"{example.place}: label {label!r}",
                expected=f"one of {', '.join(labels)}",
                fix=f"{did_you_mean(str(label), labels)}Correct the row, or add the label to task.labels.",
            )
        return index

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the text or pair; targets pass through."""
        encoded = self.encode_texts(batch, tokenizer)
        return {**encoded, **{name: batch[name] for name in ("target", "weight") if name in batch}}

    def named(self, scores: tf.Tensor, encoded: Tensors) -> Tensors:
        """Returns names and scores in one order, `labels` and `scores` `[batch, labels]`, and `truncated` if known."""
        labels = tf.broadcast_to(tf.constant(self.names), tf.shape(scores))
        answer = {"labels": labels, "scores": scores}
        return {**answer, "truncated": encoded["truncated"]} if "truncated" in encoded else answer


class OneLabel(LabelTask):
    """A task that gives one label: class weights, cross-entropy, and the label with the highest probability."""

    class Settings(LabelTask.Settings):
        """What the loss makes of the labels."""

        class_weights: Literal["none", "balanced"] | dict[str, Factor] = "none"
        """A factor on the loss by label; `balanced` makes it rows / (labels x rows of the label)."""
        label_smoothing: float = Field(default=0.0, ge=0, lt=1)

        @model_validator(mode="after")
        def _weights_fit(self) -> Self:
            self.require_labels(self.class_weights if isinstance(self.class_weights, dict) else (), "weights")
            return self

    metrics = ("accuracy", "macro_f1")
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._counts: Counter[int] = Counter()

    @property
    def units(self) -> int:
        """One logit a label."""
        return len(self.settings.labels)

    def observe(self, example: Example) -> None:
        """Counts the labels, for balanced class weights."""
        self._counts[self.index(example.label, example)] += 1

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `target` `[batch]` int32 and `weight` `[batch]` float32 to the texts where the examples have labels."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        target = np.array([self.index(example.label, example) for example in examples], dtype=np.int32)
        return {**features, "target": target, "weight": self._weights()[target]}

    def loss(self) -> keras.losses.Loss:
        """Returns cross-entropy with label smoothing and focal weighting as the settings say."""
        return LabelLoss(focal_gamma=self.settings.focal_gamma, label_smoothing=self.settings.label_smoothing)

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives `label` `[batch]`, and names and probabilities in one order: `labels`, `scores` `[batch, labels]`."""
        scores = probabilities(self.per_text(tf.cast(logits, tf.float32), encoded))
        label = tf.gather(tf.constant(self.names), tf.argmax(scores, axis=-1))
        return {"label": label, **self.named(scores, encoded)}

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record."""
        truncated = bool(answer.get("truncated", False))
        return Prediction(answer["label"].decode(), scores_by_name(answer), truncated=truncated)

    def gold(self, example: Example) -> str:
        """Returns the served name of the example's label."""
        return self.names[self.index(example.label, example)]

    def _weights(self) -> np.ndarray:
        """`[labels]` float32: the factor on the loss of each label."""
        labels, setting = self.settings.labels, self.settings.class_weights
        if isinstance(setting, dict):
            return np.array([setting.get(label, 1.0) for label in labels], np.float32)
        if setting == "none" or not self._counts:
            return np.ones(len(labels), np.float32)
        rows = self._counts.total()
        return np.array([rows / (len(labels) * max(self._counts[i], 1)) for i in range(len(labels))], np.float32)


def scores_by_name(answer: dict[str, Any]) -> dict[str, float]:
    """Returns the scores of one row of `decode` by the labels' names."""
    return {name.decode(): float(score) for name, score in zip(answer["labels"], answer["scores"], strict=True)}


def probabilities(logits: tf.Tensor) -> tf.Tensor:
    """Returns `[batch, labels]` probabilities of `[batch, labels]` logits; one logit gives two labels by sigmoid."""
    if logits.shape[-1] == 1:
        positive = tf.sigmoid(logits)
        return tf.concat([1.0 - positive, positive], axis=-1)
    return tf.nn.softmax(logits)


class LabelLoss(keras.losses.Loss):
    """Cross-entropy of one label a row, softmax or (one logit) sigmoid.

    Args:
        focal_gamma: The exponent of `(1 - probability of the right label)`; 0 is plain cross-entropy (Lin et al. 2017).
        label_smoothing: The share of the target that is spread over all labels (Szegedy et al. 2016).
    """

    def __init__(self, *, focal_gamma: float = 0.0, label_smoothing: float = 0.0) -> None:
        super().__init__(name="label_loss")
        self.focal_gamma, self.label_smoothing = focal_gamma, label_smoothing

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[batch]` losses of target `[batch]` int32 and logits `[batch, units]`."""
        logits = tf.cast(logits, tf.float32)
        if logits.shape[-1] == 1:  # the same loss: a softmax over (0, x) is a sigmoid of x
            logits = tf.concat([tf.zeros_like(logits), logits], axis=-1)
        labels = logits.shape[-1]
        hot = tf.one_hot(tf.reshape(target, [-1]), labels)
        smooth = hot * (1.0 - self.label_smoothing) + self.label_smoothing / labels
        log_probabilities = tf.nn.log_softmax(logits)
        loss = -tf.reduce_sum(smooth * log_probabilities, axis=-1)
        if self.focal_gamma:
            right = tf.exp(tf.reduce_sum(hot * log_probabilities, axis=-1))
            # The gradient of a root of 0 is infinite, and a sure row's probability is 1 to float32.
            loss *= tf.maximum(1.0 - right, 1e-7) ** self.focal_gamma
        return loss
