"""Gives each text all labels that apply, which may be several or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from tfxl.backend import keras, tf
from tfxl.example import Example, Prediction
from tfxl.tasks import Tensors
from tfxl.tasks._labels import LabelTask, scores_by_name

HEAVIEST = 100.0
"""The most that balancing makes a row count: a label of a handful of rows must not drown all the others."""

Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


class Multilabel(LabelTask):
    """A probability for each label on its own (sigmoid): emotions, topics, intents that come together.

    A label applies where its probability reaches its threshold. After training, thresholds are chosen on the validation
    data, if there are any, and saved with the model. `Example.label` is a tuple of labels, or one label as text.

    Logits are `[batch, labels]`.

    Example:
        >>> task = Multilabel(labels=["anger", "joy", "trust"], thresholds={"trust": 0.3})
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(LabelTask.Settings):
        """What the loss makes of the labels, and when one applies."""

        threshold: Share = 0.5
        """The probability from which a label applies, where nothing else is said or found."""
        thresholds: dict[str, Share] = Field(default_factory=dict)
        """The same by label."""
        search: Literal["f1", "micro_f1", "none"] = "f1"
        """How thresholds are chosen on validation data: `f1` gives each label the one of its best F1, `micro_f1` gives
        all labels that of the best F1 over all of them."""
        search_rows: int = Field(default=10, ge=1)
        """A label with fewer validation rows has too few for a threshold of its own: it gets that of `micro_f1`."""
        positive_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = "none"
        """A factor on the loss of rows that have a label; `balanced` makes it rows without / rows with, at most 100."""

        @model_validator(mode="after")
        def _settings_fit(self) -> Self:
            self.require_labels(self.thresholds, "thresholds")
            self.require_labels(self.positive_weights if isinstance(self.positive_weights, dict) else (), "weights")
            return self

    metrics = ("micro_f1", "macro_f1")
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.learns_from_validation = self.settings.search != "none"
        self._positives, self._rows = np.zeros(self.units, np.int64), 0

    @property
    def units(self) -> int:
        """One logit a label."""
        return len(self.settings.labels)

    @property
    def thresholds(self) -> np.ndarray:
        """`[labels]` float32: the probability from which each label applies."""
        told = self.settings.thresholds
        return np.array([told.get(label, self.settings.threshold) for label in self.settings.labels], np.float32)

    @property
    def prior(self) -> np.ndarray | None:
        """The log-odds of each label, one row more counted with it and one without."""
        if not self._rows:
            return None
        return np.log((self._positives + 1) / (self._rows - self._positives + 1)).astype(np.float32)

    def observe(self, example: Example) -> None:
        """Counts the rows of each label, for the prior and for balanced weights."""
        self._positives += self._hot(example).astype(np.int64)
        self._rows += 1

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `target` `[batch, labels]` float32 of 0 and 1, and `weight` `[batch]`, where examples have labels."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        target = np.stack([self._hot(example) for example in examples])
        return {**features, "target": target, "weight": np.ones(len(examples), np.float32)}

    def loss(self) -> keras.losses.Loss:
        """Returns binary cross-entropy, the mean over the labels, weighted as the settings say."""
        return MultilabelLoss(self._positive_weights(), focal_gamma=self.settings.focal_gamma)

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives names, probabilities, and what applies: `labels`, `scores`, `applies` `[batch, labels]`."""
        scores = tf.sigmoid(self.per_text(tf.cast(logits, tf.float32), encoded))
        return {**self.named(scores, encoded), "applies": scores >= tf.constant(self.thresholds)}

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record; `labels` are those that apply."""
        applies = tuple(name for name, is_so in zip(self.names, answer["applies"], strict=True) if is_so)
        return Prediction(scores=scores_by_name(answer), labels=applies, truncated=bool(answer.get("truncated", False)))

    def gold(self, example: Example) -> tuple[str, ...]:
        """Returns the served names of the example's labels, in the order of the settings."""
        return tuple(name for name, is_so in zip(self.names, self._hot(example), strict=True) if is_so)

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Any]:
        """Returns the labels that apply, one tuple a row."""
        return [prediction.labels for prediction in predictions]

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Self:
        """Returns the task with the thresholds that give the best F1 on the validation data."""
        scores = np.array([[prediction.scores[name] for name in self.names] for prediction in predictions])
        gold = np.stack([self._hot(example) for example in examples]).astype(bool)
        if self.settings.search == "none" or not gold.any():
            return self
        shared = best_threshold(scores.ravel(), gold.ravel(), default=self.settings.threshold)
        found = dict.fromkeys(self.settings.labels, shared)
        if self.settings.search == "f1":
            for index, label in enumerate(self.settings.labels):
                if gold[:, index].sum() >= self.settings.search_rows:
                    found[label] = best_threshold(scores[:, index], gold[:, index], default=shared)
        return type(self)(**{**self.settings.as_toml(), "thresholds": found})

    def _hot(self, example: Example) -> np.ndarray:
        """`[labels]` float32: 1 for each label of the example."""
        label = example.label
        hot = np.zeros(self.units, np.float32)
        hot[[self.index(each, example) for each in (label if isinstance(label, list | tuple) else [label])]] = 1.0
        return hot

    def _positive_weights(self) -> np.ndarray:
        """`[labels]` float32: the factor on the loss of the rows that have each label."""
        labels, setting = self.settings.labels, self.settings.positive_weights
        if isinstance(setting, dict):
            return np.array([setting.get(label, 1.0) for label in labels], np.float32)
        if setting == "none":
            return np.ones(len(labels), np.float32)
        without = self._rows - self._positives
        weights = np.divide(without, self._positives, out=np.ones(len(labels)), where=self._positives > 0)
        return np.minimum(weights, HEAVIEST).astype(np.float32)


def best_threshold(scores: np.ndarray, gold: np.ndarray, *, default: float) -> float:
    """Returns the threshold with the best F1, halfway between two scores; of several, the one nearest to `default`.

    Args:
        scores: `[rows]` between 0 and 1.
        gold: `[rows]` bool, of which one at least is true.
        default: What is returned where no threshold does better than another.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], np.cumsum(gold[order])
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + gold.sum())
    below = np.append(ranked[1:], 0.0)
    f1[ranked == below] = -1.0  # no threshold can part equal scores
    halfway = (ranked + below) / 2
    # The bounds keep scores that a computer rounds to 0 or 1 from becoming thresholds that mean nothing.
    candidates = np.clip(halfway[np.isclose(f1, f1.max())], 1e-6, 1 - 1e-6)
    return float(candidates[np.argmin(np.abs(candidates - default))])


class MultilabelLoss(keras.losses.Loss):
    """Binary cross-entropy of several labels a row; a row's loss is the mean over the labels.

    Args:
        positive_weights: `[labels]`, the factor on the loss where a label is right.
        focal_gamma: The exponent of `(1 - probability of what is right)`; 0 is plain cross-entropy (Lin et al. 2017).
    """

    def __init__(self, positive_weights: np.ndarray, *, focal_gamma: float = 0.0) -> None:
        super().__init__(name="multilabel_loss")
        self.positive_weights, self.focal_gamma = positive_weights, focal_gamma

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[batch]` losses of target `[batch, labels]` of 0 and 1 and logits `[batch, labels]`."""
        logits, target = tf.cast(logits, tf.float32), tf.cast(target, tf.float32)
        loss = tf.nn.weighted_cross_entropy_with_logits(target, logits, self.positive_weights)
        if self.focal_gamma:
            missing = tf.sigmoid(tf.where(target > 0.5, -logits, logits))
            loss *= missing**self.focal_gamma
        return tf.reduce_mean(loss, axis=-1)
