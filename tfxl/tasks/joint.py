"""Several tasks on one encoder, trained together: such as the intent of a request and the slots in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl import registry
from tfxl.backend import keras, tf, without_autograph
from tfxl.encoders import INPUTS
from tfxl.errors import DataError, RecipeError, did_you_mean
from tfxl.example import Example, Prediction
from tfxl.heads import Head
from tfxl.settings import Settings as Table
from tfxl.settings import validate
from tfxl.tasks import Task, Tensors, start

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class Options(Table):
    """What a task of a joint one may be told beside its own settings."""

    head: str | dict[str, Any] | None = None
    """Its head; its usual one if not set."""
    weight: float = Field(default=1.0, ge=0)
    """The factor on its loss."""


class Joint(Task):
    """Trains several tasks at once; each has a head and a weight, and a signature of its own in the SavedModel.

    An example's label is a table: the label of each task that the row is for. Rows may have labels of all tasks (intent
    and slots of one request) or of some (the `by_task` reader mixes data of several tasks). A row without second text
    is read alone and a row with one as a pair, so tasks about texts and tasks about pairs go together.

    Logits are a table, task by task. The main metric is the mean of the tasks' main metrics.

    Example:
        >>> slots = {"kind": "token_classification", "labels": ["O", "B-city"], "head": "crf"}
        >>> Joint(tasks={"intent": {"kind": "classification", "labels": ["book", "play"]}, "slots": slots})
    """

    class Settings(Task.Settings):
        """Which tasks there are."""

        tasks: dict[str, dict[str, Any]] = Field(min_length=1)
        """Each task's kind and settings by its name; also `head`, and `weight`, the factor on its loss."""

        @model_validator(mode="after")
        def _names_are_plain(self) -> Self:
            if wrong := [
                name for name in self.tasks if not name.isidentifier() or name in ("text", "tokens", "classify")
            ]:
                raise ValueError(f"names that can be a signature's, unlike {wrong[0]!r}")
            return self

    default_head = "pooled"
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._parts: dict[str, Task] = {}
        self._options: dict[str, Options] = {}
        self._samples: dict[str, Example] = {}
        limits = self.settings.model_dump(include={"max_length", "stride", "max_windows"})
        for name, spec in self.settings.tasks.items():
            told = {key: value for key, value in spec.items() if key in Options.model_fields}
            self._options[name] = validate(Options, told, where=f"task.tasks.{name}")
            own = {key: value for key, value in spec.items() if key not in told}
            self._parts[name] = registry.build("tasks", own, **limits)
        self.learns_from_validation = any(part.learns_from_validation for part in self._parts.values())
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuses tasks that cannot share the rows of a batch."""
        for name, part in self._parts.items():
            shares_rows = part.rows_per_text == 1 and part.measured_on == ("text",)
            if not shares_rows or not set(part.training_inputs) <= {"text", "second_text"}:
                raise RecipeError(
                    f"task.tasks.{name}: {part.kind}",
                    expected="tasks that read a text, or a pair of texts, as one row",
                    fix="Train this task alone.",
                )
            own = {key: getattr(part.settings, key) for key in ("max_length", "stride", "max_windows")}
            if wrong := [key for key, value in own.items() if value != getattr(self.settings, key)]:
                raise RecipeError(
                    f"task.tasks.{name}.{wrong[0]} = {own[wrong[0]]}",
                    expected=f"task.{wrong[0]} = {getattr(self.settings, wrong[0])}: all tasks read the same rows",
                    fix=f"Set task.{wrong[0]}, and leave it out of the tasks.",
                )
        if self._mixes and self.settings.stride:
            raise RecipeError(
                f"task.stride = {self.settings.stride} for tasks about texts and tasks about pairs",
                expected="windows only where all tasks read the same texts",
                fix="Set task.stride = 0.",
            )

    @property
    def _mixes(self) -> bool:
        """Whether some tasks read texts and others pairs."""
        return len({part.text_inputs for part in self._parts.values()}) > 1

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """Each task as it answers alone."""
        return {name: _Alone(name, part) for name, part in self._parts.items()}

    @property
    def metrics(self) -> tuple[registry.Spec, ...]:  # type: ignore[override]
        """The mean of the tasks' main metrics, whether all answers of a row are right, and each task's metrics.

        Answers that may be right in part have no place in the second.
        """
        mains = {name: _spec(part.metrics[0]) for name, part in self._parts.items()}
        each = [
            {"kind": "joint", "metrics": {name: _spec(metric)}}
            for name, part in self._parts.items()
            for metric in part.metrics
        ]
        whole = () if any(part.answer_kind == "other" for part in self._parts.values()) else ("accuracy",)
        return ({"kind": "joint", "metrics": mains}, *whole, *each)

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text`, and `second_text` where a task is about pairs; it may be empty for rows that are none."""
        return max((part.text_inputs for part in self._parts.values()), key=len)

    @property
    def units(self) -> int:
        """The number of logits of all tasks."""
        return sum(part.units for part in self._parts.values())

    @property
    def target_padding(self) -> dict[str, int | None]:  # type: ignore[override]
        """What pads each task's targets."""
        return {name: part.target_padding for name, part in self._parts.items()}

    def observe(self, example: Example) -> None:
        """Lets each task see the rows that have a label for it, and keeps one of them."""
        for name in self._labels(example):
            own = _for_task(example, name)
            self._samples.setdefault(name, own)
            self._parts[name].observe(own)

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds each task's features, named `task/feature`; a row without a label for a task weighs nothing there."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        for name, part in self._parts.items():
            features |= self._features_of(name, part, examples)
        return {**features, "weight": np.ones(len(examples), np.float32)}

    def _features_of(self, name: str, part: Task, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        has = np.array([name in self._labels(example) for example in examples])
        mine = [_for_task(example, name) if own else None for example, own in zip(examples, has, strict=True)]
        # Rows of other tasks borrow a row of this one, which then weighs nothing.
        borrowed = self._samples.get(name) or next((example for example in mine if example), None)
        if borrowed is None:
            raise DataError(
                f"{len(examples)} rows, none of which is for the task {name!r}",
                expected="`observe` to have seen a row of each task",
                fix="Observe the training data first, or leave the task out.",
            )
        own = part.features([example or borrowed for example in mine])
        own["weight"] = np.where(has, own["weight"], 0).astype(np.float32)
        return {f"{name}/{key}": value for key, value in own.items() if key not in part.training_inputs}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the rows once; `tasks` holds what each task's own `encode` gave, for its `decode`.

        Targets and weights are tables, task by task.
        """
        encoded = {
            name: part.encode(self._batch_of(name, part, batch), tokenizer) for name, part in self._parts.items()
        }
        rows = self._rows(encoded, batch, tokenizer)
        if "weight" not in batch:
            return {**rows, "tasks": encoded}
        width = tf.shape(rows["input_ids"])[1]
        target = {name: _widened(own["target"], width, self.target_padding[name]) for name, own in encoded.items()}
        weight = {name: own["weight"] * self._options[name].weight for name, own in encoded.items()}
        return {**rows, "target": target, "weight": weight}

    def _batch_of(self, name: str, part: Task, batch: Tensors) -> Tensors:
        """Returns what a task's own `encode` takes."""
        own = {key: batch[key] for key in (*part.training_inputs, "window") if key in batch}
        own |= {key.removeprefix(f"{name}/"): value for key, value in batch.items() if key.startswith(f"{name}/")}
        if "weight" in batch:
            own["weight"] *= batch["weight"]
        return own

    def _rows(self, encoded: Mapping[str, Tensors], batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Returns the rows of tokens that all tasks share: a text alone where it has no second text, else a pair."""
        kinds = {self._parts[name].text_inputs: own for name, own in encoded.items()}
        if len(kinds) == 1:
            (rows,) = kinds.values()
            return {key: rows[key] for key in (*INPUTS, "truncated", "example") if key in rows}
        alone, pairs = (kinds[key] for key in sorted(kinds, key=len))
        is_pair = tf.strings.length(batch["second_text"]) > 0
        width = tf.reduce_max([tf.shape(each["input_ids"])[1] for each in (alone, pairs)])
        padding = dict.fromkeys(INPUTS, 0) | {"input_ids": tokenizer.special.pad}
        rows = {
            key: tf.where(is_pair[:, None], *(_widened(each[key], width, value) for each in (pairs, alone)))
            for key, value in padding.items()
        }
        return {**rows, "truncated": tf.where(is_pair, pairs["truncated"], alone["truncated"])}

    def loss(self) -> dict[str, Any]:
        """Returns each task's loss; the weights of the rows hold the tasks' weights."""
        return {name: part.loss() for name, part in self._parts.items()}

    def decode(self, logits: Mapping[str, tf.Tensor], encoded: Tensors) -> Tensors:
        """Gives what each task gives, named `task_output`; `truncated` once."""
        answer = {"truncated": encoded["truncated"]} if "truncated" in encoded else {}
        for name, part in self._parts.items():
            own = encoded["tasks"][name] if "tasks" in encoded else encoded
            found = part.decode(_narrowed(logits[name], own), own)
            answer |= {f"{name}_{key}": value for key, value in found.items() if key != "truncated"}
        return answer

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record: each task's prediction by its name."""
        truncated = bool(answer.get("truncated", False))
        found = {}
        for name, part in self._parts.items():
            own = {key.removeprefix(f"{name}_"): value for key, value in answer.items() if key.startswith(f"{name}_")}
            found[name] = part.prediction({**own, "truncated": truncated})
        return Prediction(tasks=found, truncated=truncated)

    def gold(self, example: Example) -> dict[str, Any]:
        """Returns the right answer of each task that the row is for."""
        return {name: self._parts[name].gold(_for_task(example, name)) for name in self._labels(example)}

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        """Returns, for each row, the answers of the tasks that it has labels of."""
        found: list[dict[str, Any]] = [{} for _ in examples]
        for name, part in self._parts.items():
            mine = [index for index, example in enumerate(examples) if name in self._labels(example)]
            rows = [_for_task(examples[index], name) for index in mine]
            answers = part.answers(rows, [predictions[index].tasks[name] for index in mine])
            for index, answer in zip(mine, answers, strict=True):
                found[index][name] = answer
        return found

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Self:
        """Lets each task choose on the rows that are for it."""
        specs = {}
        for name, part in self._parts.items():
            mine = [index for index, example in enumerate(examples) if name in self._labels(example)]
            rows = [_for_task(examples[index], name) for index in mine]
            tuned = part.tuned(rows, [predictions[index].tasks[name] for index in mine]) if mine else part
            specs[name] = {**tuned.spec(), **self._options[name].as_toml()}
        return type(self)(**{**self.settings.model_dump(), "tasks": specs})

    @without_autograph
    def model(self, encoder: keras.Model, head: Head | None = None) -> keras.Model:
        """Returns a functional model that gives each task's logits, by its name.

        Args:
            encoder: What an encoder's `build` returned.
            head: Not used: each task has a head of its own.
        """
        # Layers
        layers = {name: self._head(name, part) for name, part in self._parts.items()}
        # Functional model
        inputs = {name: encoder.input[name] for name in INPUTS}
        logits = {name: layer(encoder.output, inputs["attention_mask"]) for name, layer in layers.items()}
        for name, layer in layers.items():
            start(layer, self._parts[name].prior)
        # Config
        return keras.Model(inputs=inputs, outputs=logits, name=self.kind)

    def _head(self, name: str, part: Task) -> keras.layers.Layer:
        layer = registry.build("heads", self._options[name].head or part.default_head).layer(part.units)
        layer._name = f"{name}_head"  # Keras wants layers of one model to have different names
        return layer

    def _labels(self, example: Example) -> Mapping[str, Any]:
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
        if unknown := next((name for name in labels if name not in self._parts), None):
            known = ", ".join(self._parts)
            raise DataError(
                f"{example.place}: a label for the task {unknown!r}",
                expected=f"tasks of {known}",
                fix=f"{did_you_mean(unknown, self._parts)}Rename it in the reader or in task.tasks.",
            )
        return labels


class _Alone(Task):
    """One task of a joint one, answered by its own signature: the same, but it takes its logits from a table."""

    kind = "joint"
    default_head = "pooled"

    def __init__(self, name: str, task: Task) -> None:
        self.name, self.task, self.settings = name, task, task.settings
        self.metrics = task.metrics

    @property
    def text_inputs(self) -> tuple[str, ...]:
        return self.task.text_inputs

    @property
    def units(self) -> int:
        return self.task.units

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        return self.task.encode(batch, tokenizer)

    def loss(self) -> Any:
        return self.task.loss()

    def decode(self, logits: Mapping[str, tf.Tensor], encoded: Tensors) -> Tensors:
        return self.task.decode(logits[self.name], encoded)

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        return self.task.prediction(answer)


def _for_task(example: Example, name: str) -> Example:
    return replace(example, label=example.label[name])


def _spec(metric: registry.Spec) -> dict[str, Any]:
    return {"kind": metric} if isinstance(metric, str) else dict(metric)


def _widened(values: tf.Tensor, width: tf.Tensor, padding: int | None) -> tf.Tensor:
    """Pads `[rows, tokens]` to a width; what does not belong to tokens (padding None) stays as it is."""
    if padding is None:
        return values
    return tf.pad(values, [[0, 0], [0, width - tf.shape(values)[1]]], constant_values=padding)


def _narrowed(logits: tf.Tensor, encoded: Tensors) -> tf.Tensor:
    """Cuts logits of tokens to the tokens that a task's own `encode` knows; a row's tokens stand at its beginning."""
    return logits[:, : tf.shape(encoded["input_ids"])[1]] if logits.shape.rank > 2 else logits
