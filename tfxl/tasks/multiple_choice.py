"""Chooses one of several given texts: the answer that fits a text, or a text and a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.errors import DataError
from tfxl.example import Example, Match, Prediction
from tfxl.tasks import Task, Tensors

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class MultipleChoice(Task):
    """Reads a text beside each of its choices and gives each choice a logit (Radford et al. 2018, section 3.3).

    Use it for causes and effects (COPA), endings of stories, questions with given answers. `Example.choices` are the
    choices, `Example.label` the number of the right one as text, from `"0"`; a question may be the `second_text`.

    Logits are `[rows, 1]`, a row a choice; those of one text stand beside each other.

    Example:
        >>> task = MultipleChoice(second_text=True, prompts={"cause": "because", "effect": "therefore"})
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(Task.Settings):
        """How many choices there are, and what is asked."""

        num_choices: int = Field(default=2, ge=2)
        """Every text has as many choices."""
        second_text: bool = False
        """Whether a question stands in `second_text`; it is read after the text."""
        prompts: dict[str, str] = Field(default_factory=dict)
        """What is read in place of a question, such as `cause = "What was the cause?"`; others are read as they are."""

    default_head = "pooled"
    answer_kind = "labels"
    metrics = ("accuracy",)
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rows_per_text = self.num_choices
        self.names = tuple(str(number) for number in range(self.num_choices))

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text`, `second_text` where there are questions, and `choices`."""
        return ("text", "second_text", "choices") if self.settings.second_text else ("text", "choices")

    @property
    def num_choices(self) -> int:
        """How many choices each text has."""
        return self.settings.num_choices

    @property
    def units(self) -> int:
        """One logit a row."""
        return 1

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `target` `[batch]` int32 and `weight` `[batch]` float32 where the examples have labels."""
        for example in examples:
            self._check(example)
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        target = np.array([self._index(example) for example in examples], np.int32)
        return {**features, "target": target, "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes each text beside each of its choices, so many rows a text; adds `choices` `[batch, choices]`."""
        texts = tf.repeat(self._asked(batch), self.num_choices)
        window = tf.repeat(batch["window"], self.num_choices) if "window" in batch else None
        sides = [texts, tf.reshape(batch["choices"], [-1])]
        # Windows are cut from the second side, and it is the text that may be long.
        encoded = self.encode_sides(sides[:: -1 if self.settings.stride else 1], window, tokenizer)
        cut = tf.reduce_any(tf.reshape(encoded["truncated"], [-1, self.num_choices]), axis=1)
        targets: Tensors = {
            name: tf.repeat(batch[name], self.num_choices) for name in ("target", "weight") if name in batch
        }
        return {**encoded, **targets, "truncated": cut, "choices": batch["choices"]}

    def loss(self) -> keras.losses.Loss:
        """Returns cross-entropy over the choices of a text."""
        return ChoiceLoss(self.num_choices)

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives `choice` `[batch]` int32, `scores` `[batch, choices]` and, with texts, `answer`: the choice itself."""
        logits = self.per_text(tf.cast(logits, tf.float32), encoded)
        scores = tf.nn.softmax(tf.reshape(logits, [-1, self.num_choices]))
        choice = tf.argmax(scores, axis=-1, output_type=tf.int32)
        answer = {"choice": choice, "scores": scores}
        if "choices" in encoded:
            answer["answer"] = tf.gather(encoded["choices"], choice, axis=1, batch_dims=1)
        return {**answer, "truncated": encoded["truncated"]} if "truncated" in encoded else answer

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record; `matches` holds the text of the choice."""
        scores = {name: float(score) for name, score in zip(self.names, answer["scores"], strict=True)}
        label = self.names[int(answer["choice"])]
        text = answer.get("answer", b"").decode("utf-8", "replace")
        matches = (Match(text, scores[label], label),) if "answer" in answer else ()
        return Prediction(label, scores, matches=matches, truncated=bool(answer.get("truncated", False)))

    def gold(self, example: Example) -> str:
        """Returns the number of the right choice as text."""
        self._check(example)
        return self.names[self._index(example)]

    def _asked(self, batch: Tensors) -> tf.Tensor:
        """`[batch]` string: each text, followed by its question."""
        if not self.settings.second_text:
            return batch["text"]
        question = words = batch["second_text"]
        for asked, prompt in self.settings.prompts.items():
            words = tf.where(question == asked, prompt, words)
        return tf.strings.join([batch["text"], words], separator=" ")

    def _check(self, example: Example) -> None:
        if len(example.choices) != self.num_choices:
            raise DataError(
                f"{example.place}: {len(example.choices)} choices",
                expected=f"{self.num_choices} choices in every row",
                fix='Name the columns of the choices in data.reader, such as choices = ["choice1", "choice2"], or set '
                "task.num_choices.",
            )

    def _index(self, example: Example) -> int:
        if example.label not in self.names:
            raise DataError(
                f"{example.place}: label {example.label!r}",
                expected=f"the number of the right choice, one of {', '.join(self.names)}",
                fix="Correct the row; choices are counted from 0.",
            )
        return self.names.index(example.label)


class ChoiceLoss(keras.losses.Loss):
    """Cross-entropy over the choices of a text; each of its rows has the text's loss, so that their mean is the same.

    Args:
        num_choices: Rows of a text.
    """

    def __init__(self, num_choices: int) -> None:
        super().__init__(name="choice_loss")
        self.num_choices = num_choices

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses of target `[rows]` int32, alike in all rows of a text, and logits `[rows, 1]`."""
        logits = tf.reshape(tf.cast(logits, tf.float32), [-1, self.num_choices])
        target = tf.reshape(target, [-1, self.num_choices])[:, 0]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
        return tf.repeat(loss, self.num_choices)
