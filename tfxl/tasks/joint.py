"""Several tasks on one encoder, trained together: such as the intent of a request and the slots in it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl import registry
from tfxl.backend import keras, tf, without_autograph
from tfxl.encoders import INPUTS
from tfxl.errors import DataError
from tfxl.example import Example, Prediction
from tfxl.heads import Head
from tfxl.settings import Settings as Table
from tfxl.settings import validate
from tfxl.tasks import POSITIONS, Task, Tensors, start
from tfxl.tasks._masking import NOBODY
from tfxl.tasks._readings import (
    Alone,
    WhereAsked,
    asking_nothing,
    check_together,
    chosen,
    fitted,
    for_task,
    if_read,
    labels_by_task,
    most_choices,
    narrowed,
    one_after_another,
    reading_of,
    with_choices,
)

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

LIMITS = {"max_length", "stride", "max_windows"}
"""Settings of a joint task that its tasks have as well, unless they say otherwise."""


class Options(Table):
    """What a task of a joint one may be told beside its own settings."""

    head: str | dict[str, Any] | None = None
    """Its head; its usual one if not set."""
    weight: float = Field(default=1.0, ge=0)
    """The factor on its loss."""


FUNCTIONS = ("serving_default", "text", "tokens", "classify")
"""Names that a SavedModel's functions have already."""


class Joint(Task):
    """Trains several tasks at once; each has a head and a weight, and a signature of its own in the SavedModel.

    An example's label is a table: the label of each task that the row is for. Rows may have labels of all tasks (intent
    and slots of one request) or of some (the `by_task` reader mixes data of several tasks).

    Tasks that read a text in the same way (the same texts, lengths and windows) share its rows. Others, such as those
    about texts and those about pairs, have rows of their own; each batch then holds rows of one kind (Liu et al. 2019,
    MT-DNN), and a row with labels of both kinds is read in both ways.

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
            if wrong := [name for name in self.tasks if not name.isidentifier() or name in FUNCTIONS]:
                raise ValueError(f"names that can be a signature's, unlike {wrong[0]!r}")
            return self

    default_head = "pooled"
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._parts: dict[str, Task] = {}
        self._options: dict[str, Options] = {}
        self._samples: dict[str, Example] = {}
        limits = self.settings.model_dump(include=self.settings.model_fields_set & LIMITS)
        for name, spec in self.settings.tasks.items():
            told = {key: value for key, value in spec.items() if key in Options.model_fields}
            self._options[name] = validate(Options, told, where=f"task.tasks.{name}")
            own = {key: value for key, value in spec.items() if key not in told}
            self._parts[name] = registry.build("tasks", own, **limits)
        self.settings = self.settings.model_copy(update={"tasks": self._specs(self._parts)})
        self.learns_from_validation = any(part.learns_from_validation for part in self._parts.values())
        self.answers_tokens = all(part.answers_tokens for part in self._parts.values())
        self.draws = any(part.draws for part in self._parts.values())
        check_together(self._parts)
        self._asking = next((name for name, part in self._parts.items() if part.asks_positions), None)
        self.asks_positions = self._asking is not None

    @property
    def longest(self) -> int:
        """That of the task that reads the longest rows."""
        return max(part.longest for part in self._parts.values())

    @cached_property
    def _readings(self) -> dict[Any, list[str]]:
        """The names of the tasks of each reading."""
        found: dict[Any, list[str]] = {}
        for name, part in self._parts.items():
            found.setdefault(reading_of(part), []).append(name)
        return found

    @property
    def readings(self) -> tuple[int, ...]:
        """The rows that each reading makes of a text."""
        return tuple(self._parts[names[0]].training_rows for names in self._readings.values())

    def readings_of(self, example: Example) -> tuple[int, ...]:
        """Returns the readings of the tasks that a row has labels of."""
        asked = self._labels(example).keys()
        return tuple(place for place, names in enumerate(self._readings.values()) if not asked.isdisjoint(names))

    def read(self, batch: Tensors, tokenizer: Tokenizer, reading: int) -> Tensors:
        """Returns the rows of one reading."""
        name = [*self._readings.values()][reading][0]
        return self._parts[name].encode(self._batch_of(name, batch, training=True), tokenizer)

    @property
    def rows_per_text(self) -> int:  # type: ignore[override]
        """Those of the tasks that answer tokens."""
        return min(part.rows_per_text for part in self._parts.values())

    @property
    def _of_tokens(self) -> list[str]:
        """The names of the tasks of the first reading with the fewest rows of a text."""
        fewest = self.rows_per_text
        return next(names for names in self._readings.values() if self._parts[names[0]].rows_per_text == fewest)

    def rows_for_tokens(self, encoded: Tensors) -> Tensors:
        """Returns the rows of one reading."""
        own: Tensors = encoded["tasks"][self._of_tokens[0]]
        return own if len(self._readings) > 1 else encoded

    def answers_to_tokens(self, answer: Tensors) -> Tensors:
        """Returns what the tasks of that reading answer."""
        own = tuple(f"{name}_" for name in self._of_tokens)
        return {name: value for name, value in answer.items() if name.startswith(own) or name == "truncated"}

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """Each task as it answers alone, and what it calls its own `tasks`."""
        views = {
            f"{name}_{view}": self._alone(name, task)
            for name, part in self._parts.items()
            for view, task in part.tasks.items()
        }
        return {name: self._alone(name, part) for name, part in self._parts.items()} | views

    def _alone(self, name: str, task: Task) -> Alone:
        return Alone(name, task, asks_positions=self.asks_positions)

    @property
    def resources(self) -> Mapping[str, tf.Variable]:
        """Those of the tasks."""
        return {f"{name}/{key}": each for name, part in self._parts.items() for key, each in part.resources.items()}

    def with_tokenizer(self, tokenizer: Tokenizer) -> Self:
        """Returns the task with what its tasks need of a tokenizer."""
        task = copy.copy(self)
        task._parts = {name: part.with_tokenizer(tokenizer) for name, part in self._parts.items()}
        vars(task).pop("tasks", None)  # they are made of the parts
        return task

    @property
    def measured_on(self) -> tuple[str, ...]:  # type: ignore[override]
        """`text`, which all tasks answer, and what some are measured on beside it."""
        more = [f"{name}_{view}" for name, part in self._parts.items() for view in part.measured_on if view != "text"]
        return ("text", *more)

    @property
    def metrics(self) -> tuple[registry.Spec, ...]:  # type: ignore[override]
        """The mean of the tasks' main metrics, whether all answers of a row are right, and each task's metrics.

        Answers that may be right in part have no place in the second.
        """
        mains = {name: registry.as_table(part.metrics[0]) for name, part in self._parts.items()}
        each = [
            {"kind": "joint", "metrics": {name: registry.as_table(metric)}}
            for name, part in self._parts.items()
            for metric in part.metrics
        ]
        whole = () if any(part.answer_kind == "other" for part in self._parts.values()) else ("accuracy",)
        return ({"kind": "joint", "metrics": mains}, *whole, *each)

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """What the tasks read, `text` first; a text that only other tasks read may be empty."""
        return tuple(dict.fromkeys(name for part in self._parts.values() for name in part.text_inputs))

    @property
    def training_inputs(self) -> tuple[str, ...]:
        """What the tasks read in training."""
        return tuple(dict.fromkeys(name for part in self._parts.values() for name in part.training_inputs))

    @property
    def num_choices(self) -> int:
        """How many choices the texts have: those of the task that has most; negatives of training are none."""
        return most_choices(self._parts.values(), "text_inputs")

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
            own = for_task(example, name)
            self._parts[name].observe(own)
            self._samples.setdefault(name, own)

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds each task's features, named `task/feature`; a row without a label for a task weighs nothing there."""
        most = most_choices(self._parts.values(), "training_inputs")
        features = super().features([with_choices(example, most) for example in examples])
        if any(example.label is None for example in examples):
            return features
        for name, part in self._parts.items():
            features |= self._features_of(name, part, examples)
        return {**features, "weight": np.ones(len(examples), np.float32)}

    def completed(self, example: Example) -> Example:
        """Returns an example with as many choices as the others have; where it has none, no task of it reads them."""
        return with_choices(example, self.num_choices)

    def _features_of(self, name: str, part: Task, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        mine = self._rows_of(name, examples)
        # Rows of other tasks borrow a row of this one, which then weighs nothing.
        borrowed = self._samples.get(name) or next(iter(mine.values()), None)
        if borrowed is None:
            raise DataError(
                f"{len(examples)} rows, none of which is for the task {name!r}",
                expected="`observe` to have seen a row of each task",
                fix="Observe the training data first, or leave the task out.",
            )
        places = range(len(examples))
        own = part.features([mine.get(place, borrowed) for place in places])
        own["weight"] = np.where([place in mine for place in places], own["weight"], 0).astype(np.float32)
        return {f"{name}/{key}": value for key, value in own.items() if key not in part.training_inputs}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the texts once for each reading.

        In training, the rows are those of the batch's `reading`; targets and weights are tables, task by task. Else
        they are those of all readings, one after another, and `tasks` holds what each task's own `encode` gave, for its
        `decode`.
        """
        training = "weight" in batch
        encoded = {
            name: part.encode(self._batch_of(name, batch, training=training), tokenizer)
            for name, part in self._parts.items()
        }
        kinds = [encoded[names[0]] for names in self._readings.values()]
        if training:
            return self._trained(batch, encoded, kinds)
        if len(kinds) == 1:
            more: Tensors = {key: kinds[0][key] for key in ("truncated", "example") if key in kinds[0]}
            return {**self._read_of(kinds[0]), **more, "tasks": encoded}
        rows = one_after_another([self._read_of(each) for each in kinds], pad=tokenizer.special.pad)
        is_cut = tf.reduce_any(tf.stack([each["truncated"] for each in kinds]), axis=0)
        return {**rows, "truncated": is_cut, "tasks": encoded}

    def _read_of(self, rows: Tensors) -> Tensors:
        """Returns what the model reads of rows that a task made."""
        inputs = {key: rows[key] for key in (*INPUTS, POSITIONS) if key in rows}
        return asking_nothing(inputs) if self.asks_positions else inputs

    def inputs(self, encoded: Tensors) -> Tensors:
        """Returns the three inputs, and `masked_positions` where a task asks for some tokens alone."""
        if self._asking is None or POSITIONS in encoded:
            return self._read_of(encoded)
        return self._parts[self._asking].inputs(encoded)

    def pad_to(self, length: tf.Tensor, inputs: Tensors, target: dict[str, tf.Tensor]) -> tuple[Tensors, Any]:
        """Lets the task pad that asks for some tokens alone, in a batch of its rows; others ask for none."""
        if self._asking is None:
            return inputs, target
        name, part = self._asking, self._parts[self._asking]
        found, own = tf.cond(
            tf.shape(inputs[POSITIONS])[1] > 0,
            lambda: part.pad_to(length, inputs, target[name]),
            lambda: (inputs, target[name]),
        )
        return found, {**target, name: own}

    def _trained(self, batch: Tensors, encoded: Mapping[str, Tensors], kinds: Sequence[Tensors]) -> Tensors:
        """Returns rows, targets and weights of a batch whose rows are all of one reading."""
        weights = {name: own["weight"] * self._options[name].weight for name, own in encoded.items()}
        if len(kinds) == 1:
            width = tf.shape(kinds[0]["input_ids"])[1]
            target = {name: fitted(own["target"], width, self.target_padding[name]) for name, own in encoded.items()}
            return {**self._read_of(kinds[0]), "target": target, "weight": weights}
        reading = batch["reading"][0]
        rows = chosen(reading, [self._read_of(each) for each in kinds])
        shape = tf.shape(rows["input_ids"])
        found: dict[str, Tensors] = {}
        for place, names in enumerate(self._readings.values()):
            for name in names:
                target = fitted(encoded[name]["target"], shape[1], self.target_padding[name])
                if name == self._asking:
                    target = fitted(target, tf.shape(rows[POSITIONS])[1], NOBODY)
                own = {"target": target, "weight": weights[name]}
                found[name] = if_read(reading == place, own, shape[0])
        sides = {side: {name: own[side] for name, own in found.items()} for side in ("target", "weight")}
        return {**rows, **sides}

    def _batch_of(self, name: str, batch: Tensors, *, training: bool) -> Tensors:
        """Returns what a task's own `encode` takes."""
        part = self._parts[name]
        texts = part.training_inputs if training else part.text_inputs
        own = {key: batch[key] for key in (*texts, "window", "draw") if key in batch}
        own |= {key.removeprefix(f"{name}/"): value for key, value in batch.items() if key.startswith(f"{name}/")}
        if "choices" in own:
            own["choices"] = own["choices"][:, : part.num_choices]
        if "weight" in batch:
            own["weight"] *= batch["weight"]
        return own

    def loss(self) -> dict[str, Any]:
        """Returns each task's loss; the weights of the rows hold the tasks' weights."""
        losses = {name: part.loss() for name, part in self._parts.items()}
        return losses if len(self._readings) == 1 else {name: WhereAsked(loss) for name, loss in losses.items()}

    def check_logits(self, logits: Mapping[str, tf.Tensor]) -> None:
        """Lets each task check its own."""
        for name, part in self._parts.items():
            part.check_logits(logits[name])

    def decode(self, logits: Mapping[str, tf.Tensor], encoded: Tensors) -> Tensors:
        """Gives what each task gives, named `task_output`; `truncated` once.

        Where the caller sent tokens, it is what the tasks give that take one row a text, if there are any.
        """
        answer = {"truncated": encoded["truncated"]} if "truncated" in encoded else {}
        for name, (part, own, mine) in self._asked(logits, encoded).items():
            found = part.decode(narrowed(mine, own), own)
            answer |= {f"{name}_{key}": value for key, value in found.items() if key != "truncated"}
        return answer

    def _asked(self, logits: Mapping[str, tf.Tensor], encoded: Tensors) -> dict[str, tuple[Task, Tensors, tf.Tensor]]:
        """Returns each task with its own rows, and its logits of them."""
        if "tasks" not in encoded:
            simple = {name: part for name, part in self._parts.items() if part.rows_per_text == self.rows_per_text}
            return {name: (part, encoded, logits[name]) for name, part in simple.items()}
        found, first = {}, 0
        for names in self._readings.values():
            after = first + tf.shape(encoded["tasks"][names[0]]["input_ids"])[0]
            for name in names:
                found[name] = (self._parts[name], encoded["tasks"][name], logits[name][first:after])
            first = after
        return found

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
        return {name: self._parts[name].gold(for_task(example, name)) for name in self._labels(example)}

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        """Returns, for each row, the answers of the tasks that it has labels of."""
        found: list[dict[str, Any]] = [{} for _ in examples]
        for name, part in self._parts.items():
            mine = self._rows_of(name, examples)
            asked = []
            for view in part.measured_on:
                if view == "text":
                    asked += [predictions[index].tasks[name] for index in mine]
                else:
                    first = self.measured_on.index(f"{name}_{view}") * len(examples)
                    asked += [predictions[first + index] for index in mine]
            answers = part.answers([*mine.values()], asked) if mine else []
            for index, answer in zip(mine, answers, strict=True):
                found[index][name] = answer
        return found

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Self:
        """Lets each task choose on the rows that are for it."""
        parts = dict(self._parts)
        for name, part in self._parts.items():
            if mine := self._rows_of(name, examples):
                parts[name] = part.tuned([*mine.values()], [predictions[index].tasks[name] for index in mine])
        return type(self)(**{**self.settings.model_dump(), "tasks": self._specs(parts)})

    def _specs(self, parts: Mapping[str, Task]) -> dict[str, dict[str, Any]]:
        return {name: {**part.spec(), **self._options[name].as_toml()} for name, part in parts.items()}

    def _rows_of(self, name: str, examples: Sequence[Example]) -> dict[int, Example]:
        """Returns by their places the rows that are for a task, with its label alone."""
        return {
            place: for_task(example, name) for place, example in enumerate(examples) if name in self._labels(example)
        }

    @without_autograph
    def model(self, encoder: keras.Model, head: Head | None = None) -> keras.Model:
        """Returns a functional model that gives each task's logits, by its name.

        Args:
            encoder: What an encoder's `build` returned.
            head: Not used: each task has a head of its own.
        """
        # Layers
        layers = {name: self._head(name, part, encoder) for name, part in self._parts.items()}
        # Functional model
        inputs = self.model_inputs(encoder)
        logits = {name: self._parts[name].logits(layer, encoder.output, inputs) for name, layer in layers.items()}
        for name, layer in layers.items():
            start(layer, self._parts[name].prior)
        # Config
        return keras.Model(inputs=inputs, outputs=logits, name=self.kind)

    def _head(self, name: str, part: Task, encoder: keras.Model) -> keras.layers.Layer:
        told = self._options[name].head
        layer = part.layer(encoder, registry.build("heads", told) if told else None)
        layer._name = f"{name}_head"  # Keras wants layers of one model to have different names
        return layer

    def _labels(self, example: Example) -> Mapping[str, Any]:
        return labels_by_task(example, self._parts)
