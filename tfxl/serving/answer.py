"""Answerer: the functions of a SavedModel, from raw text (or tokens) to the finished answer, all in the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tfxl.backend import keras, tf, without_autograph
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError, RecipeError
from tfxl.example import Prediction
from tfxl.progress import SILENT, Progress
from tfxl.tasks import Task, Tensors
from tfxl.text import windows
from tfxl.text.tokenizer import Tokenizer

Function: TypeAlias = Callable[..., Mapping[str, tf.Tensor]]
"""Takes tensors by name, and gives tensors by name."""
MAX_BYTES = 2**20
"""Bytes of a text that are looked at at all, so that a text of many megabytes costs little."""


@dataclass(frozen=True)
class _Parts:
    """Plain data: `tf.Module` tracks what is assigned to it, and saving a Keras model saves every layer's functions."""

    model: keras.Model
    task: Task
    tokenizer: Tokenizer
    max_tokens: int | None
    max_type: int | None


class Answerer(tf.Module):
    """Answers raw texts (`text`), tokens (`tokens`) and, where the task gives labels, `tf.Example`s (`classify`).

    A task that is made of several (`Task.tasks`) gets a function of texts for each of them, by its name.

    It holds the model's variables, not the model, and the tokenizer's tables. What a caller sends is checked in the
    graph, so that a server refuses it with a message instead of answering nonsense.

    Args:
        model: A Keras model over what the task's `inputs` names that gives the task's logits.
        task: Encodes texts and decodes logits.
        tokenizer: The encoder's tokenizer.
        reads_text: False leaves out whatever needs tensorflow_text's ops: `tokens` is then the only function.

    Raises:
        RecipeError: The task reads longer texts than the encoder has positions for.

    Example:
        >>> answerer = Answerer(model, task, tokenizer)
        >>> answerer.text(text=["Das Zimmer war sauber."])["label"]
    """

    def __init__(self, model: keras.Model, task: Task, tokenizer: Tokenizer, *, reads_text: bool = True) -> None:
        super().__init__(name="answerer")
        task = task.with_tokenizer(tokenizer)
        self.model_variables = list(model.variables)
        rows = {name: _rows(model, name) for name in ("position_embeddings", "token_type_embeddings")}
        self.parts = _Parts(model, task, tokenizer, rows["position_embeddings"], rows["token_type_embeddings"])
        self.resources = dict(task.resources)
        tokens = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}
        # The functions call each other instead of each holding a copy of the network and of the tokenizer's model.
        asked = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in model.input}
        self._network = tf.function(without_autograph(self._logits), input_signature=[asked])
        self.functions = {"tokens": tf.function(without_autograph(self._tokens), input_signature=[tokens])}
        if not reads_text:
            return
        _check_length(task, rows["position_embeddings"])
        self.tokenizer = tokenizer
        for name, part in self._tasks().items():
            self.functions[name] = self._function_of_texts(part)
        if {"labels", "scores"} <= set(self.functions["tokens"].get_concrete_function().structured_outputs):
            examples = {"inputs": tf.TensorSpec([None], tf.string, name="inputs")}
            self.functions["classify"] = tf.function(without_autograph(self._classify), input_signature=[examples])

    def text(self, **texts: Any) -> Tensors:
        """Answers raw texts, each `[batch]` string, named as the task's `text_inputs`."""
        return self._call("text", texts, tf.string)

    def function(self, name: str) -> Function:
        """Returns a function of raw texts: `text`, or what `Task.tasks` names so."""
        return lambda **texts: self._call(name, texts, tf.string)

    def tokens(self, **tokens: Any) -> Tensors:
        """Answers input_ids, token_type_ids and attention_mask, each `[batch, tokens]` int32."""
        return self._call("tokens", tokens, tf.int32)

    def classify(self, *, inputs: Any) -> Tensors:
        """Answers serialised `tf.Example`s `[batch]`, as TensorFlow Serving's classify call sends them."""
        return self._call("classify", {"inputs": inputs}, tf.string)

    def layer_by_layer(self, function: str = "text", /, **inputs: Any) -> Tensors:
        """Answers like a function but with the Keras model run eagerly: what an export is compared with."""
        if function == "tokens":
            task, encoded = self.parts.task, {name: tf.convert_to_tensor(inputs[name], tf.int32) for name in INPUTS}
        else:
            task = self._tasks()[function]
            texts = {name: tf.convert_to_tensor(value, tf.string) for name, value in inputs.items()}
            encoded = encode(texts, task, self.parts.tokenizer)
        return task.decode(self._logits(task.inputs(encoded)), encoded)

    def signatures(self) -> dict[str, Any]:
        """Returns what a SavedModel offers, by name: `serving_default`, and `tokens` and `classify` beside `text`."""
        functions = {name: function.get_concrete_function() for name, function in self.functions.items()}
        return {"serving_default": functions.pop("text", functions["tokens"]), **functions}

    def without_text(self) -> Answerer:
        """Returns an answerer of the same model that has `tokens` alone."""
        return Answerer(self.parts.model, self.parts.task, self.parts.tokenizer, reads_text=False)

    def _call(self, name: str, inputs: Mapping[str, Any], dtype: tf.DType) -> Tensors:
        function = self.functions.get(name)
        if function is None:
            raise ModelError(
                f"the function {name} of a model that has none",
                expected=f"one of {', '.join(sorted(self.functions))}",
                fix="Call one of these. Texts need reads_text; classify needs a task that gives labels and scores.",
            )
        return function({key: tf.convert_to_tensor(value, dtype) for key, value in inputs.items()})

    def _tasks(self) -> dict[str, Task]:
        """What each function of texts answers."""
        return {"text": self.parts.task, **self.parts.task.tasks}

    def _function_of_texts(self, task: Task) -> Any:
        texts = {name: tf.TensorSpec([None, *_shape(name, task)], tf.string, name=name) for name in task.text_inputs}

        @without_autograph
        def answers(batch: Tensors) -> Tensors:
            return self._answer(encode(batch, task, self.parts.tokenizer), task)

        return tf.function(answers, input_signature=[texts])

    def _tokens(self, batch: Tensors) -> Tensors:
        with tf.control_dependencies(self._checks(batch)):
            return self._answer({name: tf.identity(batch[name]) for name in INPUTS}, self.parts.task)

    def _classify(self, batch: Tensors) -> Tensors:
        task = self.parts.task
        features = {name: tf.io.FixedLenFeature(_shape(name, task), tf.string) for name in task.text_inputs}
        answer = self.functions["text"](tf.io.parse_example(batch["inputs"], features))
        return {"classes": answer["labels"], "scores": answer["scores"]}

    def _answer(self, encoded: Tensors, task: Task) -> Tensors:
        return task.decode(self._network(task.inputs(encoded)), encoded)

    def _logits(self, inputs: Tensors) -> tf.Tensor:
        return self.parts.model(inputs, training=False)

    def _checks(self, batch: Tensors) -> list[tf.Operation]:
        """What is wrong with tokens and would not be refused by the model itself, or not in words."""
        ids, types, mask = (batch[name] for name in INPUTS)
        shapes = [
            _require(tf.reduce_all(tf.shape(types) == tf.shape(ids)), "token_type_ids and input_ids differ in shape"),
            _require(tf.reduce_all(tf.shape(mask) == tf.shape(ids)), "attention_mask and input_ids differ in shape"),
            _require(tf.shape(ids)[0] > 0, "the batch is empty: send at least one row"),
        ]
        if self.parts.max_tokens is not None:
            most = self.parts.max_tokens
            shapes.append(_require(tf.shape(ids)[1] <= most, f"rows are longer than {most} tokens", tf.shape(ids)[1]))
        with tf.control_dependencies(shapes):
            values = [
                _in_range("input_ids", ids, self.parts.tokenizer.size),
                _in_range("attention_mask", mask, 2),
                _require(tf.reduce_all(tf.reduce_any(mask == 1, axis=1)), "attention_mask is 0 for a whole row"),
            ]
            if self.parts.max_type is not None:
                values.append(_in_range("token_type_ids", types, self.parts.max_type))
        return shapes + values


def encode(batch: Tensors, task: Task, tokenizer: Tokenizer) -> Tensors:
    """Encodes raw texts by the names in the task's `text_inputs`, each `[batch]` string, whatever bytes they hold.

    Returns:
        What the task's `encode` gives: the three model inputs and `truncated`.
    """
    batch, cut = _cleaned(batch)
    encoded = task.encode(batch, tokenizer)
    return {**encoded, "truncated": encoded["truncated"] | cut}


def encode_as_tokens(batch: Tensors, task: Task, tokenizer: Tokenizer) -> Tensors:
    """Encodes raw texts for a model that answers tokens: a text of several windows is its first one, and `truncated`.

    Returns:
        The three model inputs, and `truncated` `[batch]` bool.
    """
    encoded = task.rows_for_tokens(encode(batch, task, tokenizer))
    if "example" not in encoded:
        return {name: encoded[name] for name in (*INPUTS, "truncated")}
    rows = {name: encoded[name] for name in INPUTS}
    counts = tf.math.bincount(encoded["example"], dtype=tf.int32)
    is_cut = tf.reduce_any(tf.reshape(counts > 1, [-1, task.rows_per_text]), axis=1)
    first = windows.pick({**rows, "example": encoded["example"], "truncated": encoded["truncated"]}, 0 * counts)
    return {**first, "truncated": encoded["truncated"] | is_cut}


def _shape(text_input: str, task: Task) -> list[int]:
    """The shape of one row of a text input."""
    return [task.num_choices] if text_input == "choices" else []


def _check_length(task: Task, most: int | None) -> None:
    if most is not None and task.longest > most:
        raise RecipeError(
            f"max_length = {task.longest} with an encoder of {most} positions",
            expected=f"a number up to {most}",
            fix=f"Set the max_length of the task (of a joint one, also of its tasks) to {most} or less; longer texts "
            "are cut.",
        )


def _rows(model: keras.Model, embedding: str) -> int | None:
    """How many rows an embedding table has; None where the model has no such table."""
    shapes = [variable.shape for variable in model.variables if f"/{embedding}/" in variable.name]
    return int(shapes[0][0]) if shapes else None


def _require(condition: tf.Tensor, message: str, *data: tf.Tensor) -> tf.Operation:
    """Stops with the message where the condition is false; the message is what a client of a server gets."""
    return tf.debugging.Assert(condition, [message, *data])


def _in_range(name: str, values: tf.Tensor, size: int) -> tf.Operation:
    wrong = tf.boolean_mask(values, (values < 0) | (values >= size))
    return _require(tf.size(wrong) == 0, f"{name} must be from 0 to {size - 1}; got", wrong)


def _cleaned(batch: Tensors) -> tuple[Tensors, tf.Tensor]:
    """Returns texts that a tokenizer can read, and which rows `[batch]` were cut at `MAX_BYTES`.

    Bytes that are not UTF-8 become U+FFFD; NUL becomes a space, one byte for one, so that offsets stay true.
    """
    sizes = [tf.shape(text)[0] for text in batch.values()]
    checks = [_require(sizes[0] > 0, "the batch is empty: send at least one text")]
    checks += [_require(size == sizes[0], f"{' and '.join(batch)} differ in number") for size in sizes[1:]]
    with tf.control_dependencies(checks):
        long = [_any(tf.strings.length(text) > MAX_BYTES) for text in batch.values()]
        return {name: _readable(text) for name, text in batch.items()}, tf.reduce_any(tf.stack(long), axis=0)


def _any(flags: tf.Tensor) -> tf.Tensor:
    """Whether one of the flags of each row `[batch, …]` is set."""
    return tf.reduce_any(tf.reshape(flags, [tf.shape(flags)[0], -1]), axis=1)


def _readable(text: tf.Tensor) -> tf.Tensor:
    text = tf.strings.substr(text, 0, MAX_BYTES)
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(text, r"\x00", " ")


def predict(
    function: Function,
    task: Task,
    texts: Mapping[str, Sequence[Any]],
    *,
    batch_size: int = 32,
    progress: Progress = SILENT,
) -> list[Prediction]:
    """Answers any number of texts in batches of similar length; the answers are in the caller's order.

    Args:
        function: `Answerer.text`, or a text signature of a SavedModel.
        task: Turns rows of answers into records.
        texts: The texts by the names in the task's `text_inputs`, all of one length; `choices` are lists of texts.
        batch_size: Texts a call.
        progress: Is told of every batch.

    Raises:
        ModelError: Texts are missing, or differ in number, or are not strings.
    """
    columns = {name: _column(name, texts.get(name), task) for name in task.text_inputs}
    if len({len(column) for column in columns.values()}) > 1:
        raise ModelError(
            ", ".join(f"{len(column)} of {name}" for name, column in columns.items()),
            expected="as many texts as second texts",
            fix="Give one second text for each text.",
        )
    # Bytes tell more about tokens than characters do: both a Chinese sign and an English word of four letters are about
    # one token. The longest go first, so that a batch that does not fit into memory shows at once.
    lengths = -np.sum([[_size(text) for text in column] for column in columns.values()], axis=0)
    order = np.argsort(lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    predictions: list[Any] = [None] * len(order)
    for rows in progress.track(batches, what="batches answered", total=len(batches)):
        batch = {name: tf.constant([column[row] for row in rows], tf.string) for name, column in columns.items()}
        answers = {name: value.numpy() for name, value in function(**batch).items()}
        for place, row in enumerate(rows):
            predictions[row] = task.prediction({name: value[place] for name, value in answers.items()})
    return predictions


def _column(name: str, texts: Sequence[Any] | None, task: Task) -> list[Any]:
    """The texts of an input as UTF-8; for choices, the list of each row.

    Raises:
        ModelError: A row has another number of choices than the task.
    """
    if name != "choices":
        return _encoded(name, texts)
    rows = [_encoded(f"{name}[{place}]", row) for place, row in enumerate(texts or ())]
    if wrong := [len(row) for row in rows if len(row) != task.num_choices] or ([0] if texts is None else []):
        raise ModelError(
            f"{wrong[0]} choices",
            expected=f"{task.num_choices} choices for each text",
            fix="Give as many choices as the model was trained with.",
        )
    return rows


def _size(text: bytes | list[bytes]) -> int:
    """The number of bytes."""
    return len(text) if isinstance(text, bytes) else sum(map(len, text))


def _encoded(name: str, texts: Sequence[str] | None) -> list[bytes]:
    """The texts as UTF-8; a lone surrogate, which has none, becomes U+FFFD."""
    if texts is not None and not isinstance(texts, str | bytes) and all(isinstance(text, str) for text in texts):
        return [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() for text in texts]
    if texts is None or isinstance(texts, str | bytes):
        got = f"{name} = {texts!r}"[:200]
    else:
        place, text = next((place, text) for place, text in enumerate(texts) if not isinstance(text, str))
        got = f"{name}[{place}] = {text!r} ({type(text).__name__})"[:200]
    raise ModelError(got, expected=f"a list of strings as {name}", fix=f"Give {name} as a list, one string a text.")
