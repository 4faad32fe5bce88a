"""Parity: what is saved answers as what was trained, measured on texts in many scripts before anything is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError
from tfxl.serving import answer
from tfxl.serving.answer import Answerer
from tfxl.tasks import Task, Tensors

PROBES = (
    "The room was clean, but the bus was late.",
    "Das Zimmer war groß und ruhig, das Frühstück süß.",
    "这家酒店很吵，早餐也不好吃。",
    "الغرفة نظيفة والخدمة ممتازة",
    "कमरा साफ़ था और खाना अच्छा था।",
    "ห้องพักสะอาดมาก พนักงานใจดี",
    "Номер был чистым, но шумным.",
    "部屋はきれいでした。",
    "방이 깨끗했어요.",
    "החדר היה נקי ושקט",
    "Chumba kilikuwa safi sana.",
    "Great service 👍🏽👩‍👩‍👧 🇩🇪",
    "e\u0301te\u0301 naïve ﬁne ＡＢＣ",
    "[MASK] <mask> </s> <pad>",
    "",
    " \t ",
    "12 345,67 € – №5",
    "long " * 600,
)
"""Texts that a saved model is tried with: many scripts, both directions, marks, emoji, nothing at all, too much."""
LONG = 1000
"""From so many characters on a text fills what a model reads."""
BESIDE = 2
"""Short texts that are padded to the length of the long ones; each such row costs memory."""

Function = Callable[..., Mapping[str, tf.Tensor]]
Answers: TypeAlias = Mapping[str, Sequence[Tensors]]
"""By function (`text`, and what `Task.tasks` names), the answers to each of the `probe_batches`."""


class Difference(NamedTuple):
    """How far two ways to an answer are apart.

    Attributes:
        largest: The largest absolute difference of a score; 0 if there are no scores.
        other_answers: The number of strings, whole numbers and flags that differ.
        has_scores: Whether there are scores at all.
        texts: The number of texts.
        other_texts: How many of them have a string, a number or a flag that differs.
    """

    largest: float
    other_answers: int
    has_scores: bool
    texts: int
    other_texts: int

    def within(self, tolerance: float) -> bool:
        """Whether the answers are the same.

        Where there are scores, a text in twenty may have another label: its two best scores may be as good as equal.
        Offsets or strings that are wrong are so in most texts, however equal the scores are.
        """
        ties = max(1, self.texts // 20) if self.has_scores else 0
        return self.largest <= tolerance and self.other_texts <= ties


def probe_texts(task: Task) -> dict[str, list[Any]]:
    """Returns the probes for a task's text inputs; second texts are the probes backwards, choices move on."""
    columns: dict[str, list[Any]] = {
        name: list(PROBES[:: -1 if place % 2 else 1]) for place, name in enumerate(task.text_inputs)
    }
    if "choices" in columns:
        short = [probe for probe in PROBES if len(probe) < LONG]
        columns["choices"] = [
            [short[(row + place) % len(short)] for place in range(1, task.num_choices + 1)]
            for row in range(len(PROBES))
        ]
        columns["choices"][-1][0] = PROBES[-1]  # in the row of the long text, so that others stay short
    return columns


def longest(cell: str | list[str]) -> int:
    """Returns the characters of a text, or of the longest of several choices."""
    return len(cell) if isinstance(cell, str) else max(map(len, cell))


def probe_batches(task: Task) -> list[dict[str, tf.Tensor]]:
    """Returns the probes as two batches: the short ones together, and the long ones with some of the short.

    In one batch all of them would be as long as the longest, which costs many times as much memory and time.
    """
    columns = probe_texts(task)
    lengths = [max(map(longest, row)) for row in zip(*columns.values(), strict=True)]
    short = [place for place, length in enumerate(lengths) if length < LONG]
    long = [place for place, length in enumerate(lengths) if length >= LONG]
    return [
        {name: tf.constant([column[place] for place in places]) for name, column in columns.items()}
        for places in (short, [*long, *short[:: -(-len(short) // BESIDE)]])
    ]


def keras_answers(answerer: Answerer) -> Answers:
    """Returns what the Keras model answers, layer by layer, by function and batch.

    Where texts are not served, `text` is what it answers to their tokens.
    """
    task = answerer.parts.task
    parts = {"text": task, **{name: part for name, part in task.tasks.items() if name in answerer.functions}}
    functions: dict[str, Function] = {name: partial(answerer.layer_by_layer, name) for name in parts}
    if "text" not in answerer.functions:
        functions["text"] = _through_tokens(answerer, partial(answerer.layer_by_layer, "tokens"))
    with full_precision():
        return {name: [dict(functions[name](**batch)) for batch in probe_batches(part)] for name, part in parts.items()}


def check(
    answerer: Answerer, signatures: Mapping[str, Function], *, keras: Answers, tolerance: float
) -> dict[str, Any]:
    """Compares the signatures of a saved model with the Keras model and with each other.

    Args:
        answerer: What was saved; its variables are not needed.
        signatures: What was read back.
        keras: What `keras_answers` gives.
        tolerance: The largest difference of a score that is no fault.

    Returns:
        The number of texts, and for each comparison what `Difference` holds.

    Raises:
        ModelError: A comparison failed: what would be served is not what was trained.
    """
    task = answerer.parts.task
    batches = probe_batches(task)
    through_tokens = _through_tokens(answerer, signatures["tokens"])
    served = signatures["serving_default"] if "text" in answerer.functions else through_tokens
    with full_precision():
        whole = [served(**batch) for batch in batches]
        tokens = [through_tokens(**batch) for batch in batches]
        differences = {
            "saved_model_against_keras": _difference(whole, keras["text"]),
            "text_against_tokens": _difference(
                _of_one_window(whole, batches, answerer), _of_one_window(tokens, batches, answerer)
            ),
            "batch_against_single": _difference(whole, [_one_by_one(served, batch) for batch in batches]),
        }
        for name in keras.keys() & task.tasks.keys():
            part = [signatures[name](**batch) for batch in probe_batches(task.tasks[name])]
            differences[f"{name}_against_keras"] = _difference(part, keras[name])
    report: dict[str, Any] = {"texts": len(PROBES), "tolerance": tolerance}
    for what, found in differences.items():
        if not found.within(tolerance):
            raise _differs(what, found, tolerance)
        report[what] = {"largest": found.largest, "other_answers": found.other_answers}
    return report


def _through_tokens(answerer: Answerer, function: Function) -> Function:
    """Returns a function that answers texts by way of tokens; of texts in several windows, it answers the first."""

    def answers(**texts: tf.Tensor) -> Tensors:
        encoded = answer.encode_as_tokens(texts, answerer.parts.task, answerer.parts.tokenizer)
        return answerer.parts.task.answers_to_tokens(dict(function(**{name: encoded[name] for name in INPUTS})))

    return answers


def _of_one_window(
    answers: Sequence[Mapping[str, tf.Tensor]], batches: Sequence[Tensors], answerer: Answerer
) -> list[Tensors]:
    """Returns the answers to the texts that are read in one piece, the only ones that tokens alone can answer."""
    return [_in_one_piece(*pair, answerer) for pair in zip(answers, batches, strict=True)]


def _in_one_piece(answers: Mapping[str, tf.Tensor], texts: Tensors, answerer: Answerer) -> Tensors:
    task = answerer.parts.task
    encoded = task.rows_for_tokens(answer.encode(texts, task, answerer.parts.tokenizer))
    if "example" not in encoded:
        return dict(answers)
    counts = tf.reshape(tf.math.bincount(encoded["example"]), [-1, task.rows_per_text])
    whole = tf.reduce_max(counts, axis=1) == 1
    return {name: tf.boolean_mask(value, whole) for name, value in answers.items()}


def _one_by_one(function: Function, texts: Tensors) -> Tensors:
    count = len(next(iter(texts.values())))
    rows = [function(**{name: column[row : row + 1] for name, column in texts.items()}) for row in range(count)]
    return {name: _stacked([row[name].numpy() for row in rows]) for name in rows[0]}


def _difference(first: Sequence[Mapping[str, tf.Tensor]], second: Sequence[Mapping[str, tf.Tensor]]) -> Difference:
    """Returns how far answers to the same batches are apart."""
    found = [difference(*pair) for pair in zip(first, second, strict=True)]
    return Difference(
        largest=float(np.max([each.largest for each in found])),  # NaN stays NaN
        other_answers=sum(each.other_answers for each in found),
        has_scores=any(each.has_scores for each in found),
        texts=sum(each.texts for each in found),
        other_texts=sum(each.other_texts for each in found),
    )


def _stacked(rows: list[np.ndarray]) -> tf.Tensor:
    """Puts rows together that may be padded to different sizes."""
    size = np.max([row.shape for row in rows], axis=0)[1:]
    return tf.constant(np.concatenate([_padded(row, size) for row in rows]))


def _padded(row: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Pads all dimensions but the first: strings with nothing, numbers with 0."""
    missing = [(0, 0), *((0, int(full - has)) for full, has in zip(size, row.shape[1:], strict=True))]
    return np.pad(row, missing, constant_values=b"" if row.dtype == object else 0)


def difference(first: Mapping[str, tf.Tensor], second: Mapping[str, tf.Tensor]) -> Difference:
    """Returns how far two answers to the same texts are apart, over the outputs that both have."""
    pairs = [_alike(first[name].numpy(), second[name].numpy()) for name in sorted(first.keys() & second.keys())]
    scores = [(a, b) for a, b in pairs if a.dtype.kind == "f"]
    others = [a != b for a, b in pairs if a.dtype.kind != "f"]
    by_text = [differs.any(axis=tuple(range(1, differs.ndim))) for differs in others]
    return Difference(
        largest=float(np.max([np.max(np.abs(a - b), initial=0.0) for a, b in scores], initial=0.0)),
        other_answers=sum(int(np.sum(differs)) for differs in others),
        has_scores=bool(scores),
        texts=len(pairs[0][0]) if pairs else 0,
        other_texts=int(np.sum(np.any(by_text, axis=0))),
    )


def _alike(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.maximum(first.shape, second.shape)[1:]
    return _padded(first, size), _padded(second, size)


@contextmanager
def full_precision() -> Iterator[None]:
    """Functions that first run inside compute in float32, also in a process that trains in bfloat16."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(before)


def _differs(what: str, found: Difference, tolerance: float) -> ModelError:
    return ModelError(
        f"{what.replace('_', ' ')}: scores differ by {found.largest:.3g}, {found.other_answers} other answers differ",
        expected=f"at most {tolerance:g} on {len(PROBES)} texts in many scripts",
        fix="If the model computes in low precision on purpose, raise export.tolerance; otherwise this is a fault of a "
        "layer or a task that behaves otherwise in a graph: compare answerer.layer_by_layer with answerer.text.",
    )
