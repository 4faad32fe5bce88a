"""Batches of examples: texts on disk, an index in memory, and an order that is a pure function of (seed, epoch).

Because the order is computed and not drawn from a buffer, training can go on from any step, and two runs with one seed
read the same batches. Batches hold texts of similar length: every epoch is shuffled as a whole, cut into pools, each
pool is sorted by length and cut into batches, and the batches are shuffled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfxl.backend import tf, without_autograph
from tfxl.errors import RecipeError
from tfxl.example import Example
from tfxl.settings import tuples
from tfxl.text.drawing import cut, draw
from tfxl.text.tokenizer import INPUTS

MEASURE_ROWS = 256


class Rows:
    """Examples in a file, one JSON object a line; memory holds 8 bytes a row and the group it belongs to.

    Args:
        path: The file; written by `Rows.write`.
        offsets: `[rows + 1]` int64, where each row starts.
        groups: `[rows]` int32, an index into `group_names`.
        group_names: The groups, in order of appearance.
    """

    def __init__(self, path: Path, offsets: np.ndarray, groups: np.ndarray, group_names: Sequence[Any]) -> None:
        self.path, self.offsets, self.groups, self.group_names = path, offsets, groups, list(group_names)
        self._file = path.open("rb")

    @classmethod
    def write(cls, examples: Iterable[Example], path: Path, *, group: Callable[[Example], Any]) -> Rows:
        """Writes a stream of examples to a file and returns them as rows.

        Args:
            examples: Read once.
            path: The file to write.
            group: What a sampler groups an example by.
        """
        offsets, groups, names = [0], [], dict[Any, int]()
        with path.open("wb") as file:
            for example in examples:
                line = json.dumps(asdict(example), ensure_ascii=False).encode("utf-8", "surrogatepass")
                offsets.append(offsets[-1] + file.write(line + b"\n"))
                groups.append(names.setdefault(group(example), len(names)))
        return cls(path, np.array(offsets, np.int64), np.array(groups, np.int32), list(names))

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, indices: Iterable[int]) -> list[Example]:
        return [self._read(int(index)) for index in indices]

    def _read(self, index: int) -> Example:
        self._file.seek(self.offsets[index])
        line = self._file.read(self.offsets[index + 1] - self.offsets[index])
        return Example(**tuples(json.loads(line.decode("utf-8", "surrogatepass"))))

    def counts(self) -> dict[Any, int]:
        """Returns the number of rows of each group."""
        return {self.group_names[group]: count for group, count in sorted(Counter(self.groups.tolist()).items())}


class Coder(Protocol):
    """What batches need of a task: plain features of examples, and their encoding in the graph."""

    target_padding: Any
    draws: bool

    @property
    def training_inputs(self) -> tuple[str, ...]:
        """The names of the texts among the features."""

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Returns what the graph gets of a batch; every array's first dimension is the batch."""

    @property
    def readings(self) -> tuple[int, ...]:
        """The ways in which rows are made of a text, by the rows that each makes of it."""

    def readings_of(self, example: Example) -> tuple[int, ...]:
        """Returns in which of the readings an example is trained on."""

    def read(self, batch: dict[str, Any], tokenizer: Any, reading: int) -> dict[str, Any]:
        """Makes rows of texts in one of the readings."""

    def encode(self, batch: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
        """Encodes a batch in the graph; if there are several readings, `reading` `[batch]` says which one."""

    def inputs(self, encoded: dict[str, Any]) -> dict[str, Any]:
        """Returns what the model reads of it."""

    def pad_to(self, length: Any, inputs: dict[str, Any], target: Any) -> tuple[dict[str, Any], Any]:
        """Pads what the task adds to the inputs, and its targets."""


class StaticShapes(NamedTuple):
    """Shapes for XLA and TPU: token lengths that batches are padded to, so that few programs are compiled.

    Attributes:
        lengths: Allowed numbers of tokens, increasing; the last is the longest text that is read.
    """

    lengths: tuple[int, ...]

    @classmethod
    def up_to(cls, max_length: int) -> StaticShapes:
        """Returns a quarter, a half and the whole of `max_length`: three programs, little padding."""
        return cls(tuple(sorted({-(-max_length // 4), -(-max_length // 2), max_length})))


class Measured(NamedTuple):
    """What measuring found. An item is what is trained on at once: a row of data, or one window of a long one.

    Attributes:
        lengths: `[items]` int32, the real tokens of each item; of its longest row, where it has several.
        rows: `[items]` int64, the row of data of each item.
        windows: `[items]` int32, its window; None if texts are not read in windows.
        readings: `[items]` int32, how it is read: an index into the task's `readings`.
        truncated: `[rows of data]` bool, which ones were cut.
    """

    lengths: np.ndarray
    rows: np.ndarray
    windows: np.ndarray | None
    readings: np.ndarray
    truncated: np.ndarray


def measure(rows: Rows, task: Coder, tokenizer: Any) -> Measured:
    """Encodes every row of data once, to know how long it is and how many windows it has."""
    measurers = dict[int, Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]]()
    parts, truncated, has_windows = [], np.zeros(len(rows), bool), False
    for start in range(0, len(rows), MEASURE_ROWS):
        examples = rows[range(start, min(start + MEASURE_ROWS, len(rows)))]
        features = task.features(examples)
        for reading in range(len(task.readings)):
            mine = np.array([place for place, each in enumerate(examples) if reading in task.readings_of(each)], int)
            if not len(mine):
                continue
            texts = {name: features[name][mine] for name in task.training_inputs}
            if reading not in measurers:
                measurers[reading] = _measurer(task, tokenizer, reading, _specs(texts))
            sizes = measurers[reading]({name: tf.constant(value) for name, value in texts.items()})
            has_windows |= "example" in sizes
            found = {name: value.numpy() for name, value in sizes.items()}
            lengths, owners, windows = _items(found, task.readings[reading])
            parts.append((lengths, mine[owners] + start, windows, np.full(len(lengths), reading, np.int32)))
            truncated[mine + start] |= found["truncated"]
    lengths, owners, windows, readings = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Measured(lengths, owners, windows if has_windows else None, readings, truncated)


def _measurer(
    task: Coder, tokenizer: Any, reading: int, specs: dict[str, tf.TensorSpec]
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Returns what gives the sizes of texts that are read in one way."""
    sizes_of = without_autograph(lambda texts: _sizes(task.read(texts, tokenizer, reading)))
    # Traced here, once: TensorFlow warns of a function that the trainings of one process trace anew.
    return tf.function(sizes_of).get_concrete_function(specs)


def _specs(features: Mapping[str, np.ndarray], batch: int | None = None) -> dict[str, tf.TensorSpec]:
    """Returns what features of any width look like, with `batch` rows or any number of them."""
    return {
        name: tf.TensorSpec([batch, *[None] * (value.ndim - 1)], tf.string if value.dtype == object else value.dtype)
        for name, value in features.items()
    }


def _untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset with its sizes as they are: they are all given, so nothing is left to tune.

    TensorFlow's thread that tunes may miss that its iterator is done with. Whoever drops the iterator then waits for
    the thread's next turn, up to a minute: a third of trainings that were watched ended with such a pause.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _sizes(encoded: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    sizes = {"lengths": tf.reduce_sum(encoded["attention_mask"], axis=1), "truncated": encoded["truncated"]}
    return sizes | ({"example": encoded["example"]} if "example" in encoded else {})


def _items(sizes: Mapping[str, np.ndarray], rows_per_text: int) -> tuple[np.ndarray, ...]:
    """Returns length, text and window of each item of some texts."""
    lengths = sizes["lengths"]
    example = sizes.get("example", np.arange(len(lengths)))
    _, first, counts = np.unique(example, return_index=True, return_counts=True)
    window = np.arange(len(example)) - np.repeat(first, counts)
    # The rows of one text that belong together, such as the choices of a question, are one item.
    keys, item = np.unique(np.stack([example // rows_per_text, window]), axis=1, return_inverse=True)
    longest = np.zeros(keys.shape[1], np.int32)
    np.maximum.at(longest, item.ravel(), lengths)
    return longest, keys[0].astype(np.int64), keys[1].astype(np.int32)


class Batches:
    """The training data of a run as tf.data.

    Args:
        rows: The examples.
        task: Encodes them.
        tokenizer: The encoder's tokenizer.
        batch_size: Rows a step, over all replicas.
        seed: The order is a pure function of it and of the epoch.
        shares: Gives the share of each group by the number of its items; as many as it has if None.
        sorted_batches: Batches of rows that are sorted by length together, before they are cut and shuffled.
        static: Pads to few shapes, with full batches, for XLA and TPU; each batch to its longest text if None.
        replicas: Devices that share a batch. Batches are filled up to a multiple of it: each device takes the mean over
            its own rows, so that unequal shares would give rows unequal weights, and rows of one text must not be
            parted.
    """

    def __init__(
        self,
        rows: Rows,
        task: Coder,
        tokenizer: Any,
        *,
        batch_size: int,
        seed: int,
        shares: Callable[[Mapping[Any, int]], Mapping[Any, float]] | None = None,
        sorted_batches: int = 50,
        static: StaticShapes | None = None,
        replicas: int = 1,
    ) -> None:
        self.rows, self.task, self.tokenizer = rows, task, tokenizer
        self.sorted_batches = sorted_batches
        self.batch_size, self.seed, self.static, self.replicas = batch_size, seed, static, replicas
        if static and len(set(task.readings)) > 1:
            numbers = ", ".join(map(str, sorted(set(task.readings))))
            raise RecipeError(
                f"tasks that make {numbers} rows of a text",
                expected="as many rows in all batches, where programs are compiled for their shapes",
                fix="Set training.jit_compile = false, or train tasks together that make as many rows of a text.",
            )
        self.measured = measure(rows, task, tokenizer)
        counts = self.counts()
        wanted = shares(counts) if shares else counts
        self.shares = np.array([wanted[name] for name in rows.group_names], float)
        self.shares /= self.shares.sum()
        # Each reading has its share of its group's draws, so that every epoch has as many batches of it.
        groups = rows.groups[self.measured.rows]
        cells, self._cells = np.unique(np.stack([groups, self.measured.readings]), axis=1, return_inverse=True)
        self._cells = self._cells.ravel()
        sizes = np.bincount(self._cells)
        self._cell_shares = self.shares[cells[0]] * sizes / np.bincount(groups)[cells[0]]

    def counts(self) -> dict[Any, int]:
        """Returns the number of items of each group: its rows, or their windows where texts are read in windows."""
        numbers = np.bincount(self.rows.groups[self.measured.rows], minlength=len(self.rows.group_names))
        return dict(zip(self.rows.group_names, numbers.tolist(), strict=True))

    @cached_property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return len(self.plan(0))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Returns the items (rows of data, or windows of them) of each batch of an epoch."""
        order = draw(self._cells, self._cell_shares, seed=self.seed, epoch=epoch)
        found = self.measured
        limits = {"batch_size": self.batch_size, "sorted_batches": self.sorted_batches}
        return cut(order, found.lengths, **limits, seed=self.seed, epoch=epoch, kinds=found.readings)

    def dataset(self, epochs: int, *, start_epoch: int = 0, start_step: int = 0) -> tf.data.Dataset:
        """Returns batches of (model inputs, target, weight) for all epochs one after another.

        Args:
            epochs: The number of the last epoch, plus 1.
            start_epoch: The epoch to begin with.
            start_step: Batches of that epoch to pass over.
        """

        def features() -> Iterator[dict[str, np.ndarray]]:
            for epoch in range(start_epoch, epochs):
                plan = self.plan(epoch)
                batches = list(zip(plan, _times_before(plan), strict=True))
                for indices, times in batches[start_step if epoch == start_epoch else 0 :]:
                    yield self._batch(indices, epoch, times)

        raw = tf.data.Dataset.from_generator(features, output_signature=self._signature())
        encoded = raw.map(without_autograph(self._encode), num_parallel_calls=2, deterministic=True)
        return _untuned(encoded.prefetch(4))

    def _batch(self, indices: np.ndarray, epoch: int = 0, times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        features = self.task.features(self.rows[self.measured.rows[indices]])
        if self.measured.windows is not None:
            features["window"] = self.measured.windows[indices]
        if len(self.task.readings) > 1:
            features["reading"] = self.measured.readings[indices]
        if self.task.draws:
            drawn = zip(indices.tolist(), [0] * len(indices) if times is None else times.tolist(), strict=True)
            features["draw"] = np.array([self._draw(index, epoch, time) for index, time in drawn], np.int64)
        size = self._full(self.batch_size if self.static else len(indices))
        if len(indices) == size:
            return features
        # A full batch whose extra rows count nothing. The loss is divided by all rows, so the real ones count for more.
        extra = size - len(indices)
        filled = {name: np.concatenate([value, np.repeat(value[:1], extra, 0)]) for name, value in features.items()}
        filled["weight"][len(indices) :] = 0.0
        filled["weight"] *= np.float32(size / len(indices))
        return filled

    def _draw(self, index: int, epoch: int, times: int) -> int:
        """Returns the seed of an item's random choices in an epoch in which it came so many times before."""
        return int(np.random.default_rng((self.seed, 3, epoch, index, times)).integers(2**62))

    def _full(self, size: int) -> int:
        """Returns how many items a batch of so many is filled up to, so that all devices have as many."""
        return -(-size // self.replicas) * self.replicas

    def _signature(self) -> dict[str, tf.TensorSpec]:
        return _specs(self._batch(np.array([0])), self._full(self.batch_size) if self.static else None)

    def _encode(self, batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any, Any]:
        encoded = self.task.encode(batch, self.tokenizer)
        inputs = self.task.inputs(encoded)
        if self.static is None:
            return inputs, encoded["target"], encoded["weight"]
        tensors = {name: inputs[name] for name in INPUTS}
        values = dict.fromkeys(INPUTS, 0) | {"input_ids": self.tokenizer.special.pad}
        # Targets of tokens grow with their tokens; a joint task has one for each task.
        targets = encoded["target"] if isinstance(encoded["target"], dict) else {"": encoded["target"]}
        paddings = self.task.target_padding
        for name, value in (paddings if isinstance(paddings, dict) else {"": paddings}).items():
            if value is not None:
                tensors[f"target/{name}"], values[f"target/{name}"] = targets[name], value
        tensors = _pad(tensors, self.static.lengths, values, self._full(self.batch_size) * max(self.task.readings))
        padded = {name: tensors.get(f"target/{name}", target) for name, target in targets.items()}
        inputs |= {name: tensors[name] for name in INPUTS}
        target = padded if isinstance(encoded["target"], dict) else padded[""]
        return *self.task.pad_to(tf.shape(inputs["input_ids"])[1], inputs, target), encoded["weight"]


def _times_before(plan: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns how many times each item of an epoch's batches came before in that epoch."""
    items = np.concatenate(plan)
    order = np.argsort(items, kind="stable")
    place = np.arange(len(items))
    is_new = np.diff(items[order], prepend=-1) != 0
    times = np.empty_like(items)
    times[order] = place - np.maximum.accumulate(np.where(is_new, place, 0))
    return np.split(times, np.cumsum([len(batch) for batch in plan])[:-1])


def _pad(
    tensors: dict[str, tf.Tensor], lengths: Sequence[int], values: Mapping[str, int], rows: int
) -> dict[str, tf.Tensor]:
    """Pads `[rows, tokens]` tensors with their values to the smallest allowed length that holds the batch."""
    tokens = tf.shape(tensors["input_ids"])[1]
    length = tf.reduce_min(tf.boolean_mask(lengths, tf.constant(lengths) >= tokens))
    padded = {
        name: tf.pad(tensor, [[0, 0], [0, length - tokens]], constant_values=values[name])
        for name, tensor in tensors.items()
    }
    return {name: tf.ensure_shape(tensor, [rows, None]) for name, tensor in padded.items()}
