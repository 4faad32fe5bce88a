"""What a joint task makes of its tasks: rows they share, targets where they are not asked, each one's own answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from tfxl.backend import keras, tf
from tfxl.errors import DataError, RecipeError, did_you_mean
from tfxl.example import Example, Prediction
from tfxl.tasks import POSITIONS, Task, Tensors
from tfxl.tasks._masking import NOBODY

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class Alone(Task):
    """One task of a joint one, answered by its own signature: the same, but it takes its logits from a table.

    Args:
        name: The task's name.
        task: The task.
        asks_positions: Whether the model reads `masked_positions`, whatever this task asks.
    """

    default_head = "pooled"
    answers_tokens = False  # tokens are answered for all tasks at once

    def __init__(self, name: str, task: Task, *, asks_positions: bool) -> None:
        self.asks_positions = asks_positions
        self.name, self.task, self.settings = name, task, task.settings
        self.metrics, self.rows_per_text = task.metrics, task.rows_per_text

    @property
    def num_choices(self) -> int:
        return self.task.num_choices

    @property
    def text_inputs(self) -> tuple[str, ...]:
        return self.task.text_inputs

    @property
    def units(self) -> int:
        return self.task.units

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        return self.task.encode(batch, tokenizer)

    def inputs(self, encoded: Tensors) -> Tensors:
        found = self.task.inputs(encoded)
        return asking_nothing(found) if self.asks_positions else found

    def loss(self) -> Any:
        return self.task.loss()

    def decode(self, logits: Mapping[str, tf.Tensor], encoded: Tensors) -> Tensors:
        return self.task.decode(logits[self.name], encoded)

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        return self.task.prediction(answer)


class WhereAsked(keras.losses.Loss):
    """The loss of a task whose rows are in some batches alone; elsewhere its targets stand for nothing, and it is 0.

    Args:
        loss: The task's own loss.
    """

    def __init__(self, loss: keras.losses.Loss) -> None:
        super().__init__(name=loss.name)
        self.loss = loss

    def __call__(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor) -> tf.Tensor:
        """Returns the mean over the rows."""
        mean = super().__call__  # not the loss's own, which knows nothing of the strategy that it is compiled under
        return tf.cond(
            tf.reduce_any(sample_weight > 0), lambda: mean(y_true, y_pred, sample_weight), lambda: tf.constant(0.0)
        )

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses."""
        return self.loss.call(y_true, y_pred)


def check_together(parts: Mapping[str, Task]) -> None:
    """Checks that tasks can be trained beside each other.

    Args:
        parts: The tasks by their names.

    Raises:
        RecipeError: One is made of others, two ask for some tokens alone, or two signatures would have one name.
    """
    asking = None
    for name, part in parts.items():
        if any(isinstance(task, Alone) for task in part.tasks.values()):
            raise RecipeError(
                f"task.tasks.{name}: {part.kind}",
                expected="tasks that are not made of others",
                fix="Name its tasks beside these.",
            )
        if part.asks_positions and asking:
            raise RecipeError(
                f"task.tasks.{name}: a second {part.kind}, beside {asking}",
                expected="one, which has an output for each piece of the vocabulary",
                fix=f"Give its texts to {asking}.",
            )
        asking = name if part.asks_positions else asking
    taken = [*parts, *(f"{name}_{view}" for name, part in parts.items() for view in part.tasks)]
    if twice := [name for name in taken if taken.count(name) > 1]:
        raise RecipeError(
            f"task.tasks.{twice[0]}", expected="names that differ from all signatures", fix="Rename the task."
        )


def reading_of(part: Task) -> Any:
    """Returns what says how a task makes rows of texts.

    One that makes several rows of a text, or changes the text in training, shares them with no other.
    """
    told = part.settings
    if part.training_rows > 1 or part.draws or part.training_inputs != part.text_inputs:
        return id(part)
    return part.text_inputs, told.max_length, told.stride, told.max_windows


def asking_nothing(inputs: Tensors) -> Tensors:
    """Adds `masked_positions` `[rows, 0]` to the inputs of rows that have none."""
    return {POSITIONS: tf.zeros([tf.shape(inputs["input_ids"])[0], 0], tf.int32), **inputs}


def chosen(number: tf.Tensor, tables: Sequence[Tensors]) -> Tensors:
    """Returns one of several tables of tensors."""
    found: Tensors = tf.switch_case(number, [lambda table=table: table for table in tables])
    return found


def if_read(is_read: tf.Tensor, own: Tensors, rows: tf.Tensor) -> Tensors:
    """Returns a task's targets and weights, or as many rows of nothing."""

    def nothing() -> Tensors:
        return {key: tf.zeros(tf.concat([[rows], tf.shape(value)[1:]], 0), value.dtype) for key, value in own.items()}

    found: Tensors = tf.cond(is_read, lambda: own, nothing)
    return found


def one_after_another(kinds: Sequence[Tensors], *, pad: int) -> Tensors:
    """Returns the rows of all readings of the same texts in one table, padded to the longest.

    Args:
        kinds: What the model reads of each reading.
        pad: The id that fills rows up.
    """
    padding = {"input_ids": pad, POSITIONS: NOBODY}
    together = {}
    for key in kinds[0]:
        width = tf.reduce_max([tf.shape(rows[key])[1] for rows in kinds])
        together[key] = tf.concat([fitted(rows[key], width, padding.get(key, 0)) for rows in kinds], axis=0)
    return together


def fitted(values: tf.Tensor, width: tf.Tensor, padding: int | None) -> tf.Tensor:
    """Pads or cuts `[rows, tokens]` to a width; what does not belong to tokens (padding None) stays as it is."""
    if padding is None:
        return values
    columns = tf.minimum(width, tf.shape(values)[1])
    return tf.pad(values[:, :columns], [[0, 0], [0, width - columns]], constant_values=padding)


def narrowed(logits: tf.Tensor, encoded: Tensors) -> tf.Tensor:
    """Cuts logits of tokens to the tokens that a task's own `encode` knows; a row's tokens stand at its beginning."""
    return logits[:, : tf.shape(encoded["input_ids"])[1]] if logits.shape.rank > 2 else logits


def labels_by_task(example: Example, tasks: Collection[str]) -> Mapping[str, Any]:
    """Returns the labels of a row by task.

    Raises:
        DataError: The label is no table, or names a task that there is not.
    """
    labels = example.label
    if not isinstance(labels, Mapping) or not labels:
        raise DataError(
            f"{example.place}: label {labels!r}"[:300],
            expected="a label for at least one task, by the task's name",
            fix='Name each task\'s column: label = {intent = "intent", …}, or use the reader by_task.',
        )
    if unknown := next((name for name in labels if name not in tasks), None):
        known = ", ".join(tasks)
        raise DataError(
            f"{example.place}: a label for the task {unknown!r}",
            expected=f"tasks of {known}",
            fix=f"{did_you_mean(unknown, tasks)}Rename it in the reader or in task.tasks.",
        )
    return labels


def for_task(example: Example, name: str) -> Example:
    """Returns an example with its label for one task."""
    return replace(example, label=example.label[name])


def most_choices(parts: Iterable[Task], inputs: Literal["text_inputs", "training_inputs"]) -> int:
    """Returns how many choices a text has for the task that reads most of them; 0 if none does."""
    return max((part.num_choices for part in parts if "choices" in getattr(part, inputs)), default=0)


def with_choices(example: Example, count: int) -> Example:
    """Returns an example with so many choices, the missing ones empty; as it is where there are to be none."""
    return replace(example, choices=(*example.choices, *[""] * count)[:count]) if count else example
