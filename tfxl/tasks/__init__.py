"""Tasks say what is asked of a text: how it is encoded, what loss trains it, how logits become a finished answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl.backend import keras, tf, without_autograph
from tfxl.encoders import INPUTS
from tfxl.errors import DataError
from tfxl.example import Example, Prediction
from tfxl.heads import Head
from tfxl.registry import Part, Spec
from tfxl.text import windows

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

Tensors = dict[str, tf.Tensor]
POSITIONS = "masked_positions"
"""The fourth input of models that answer for some tokens alone, `[rows, positions]` int32: these tokens, -1 where a row
has fewer of them than others."""


class Task(Part):
    """One kind of question. `encode` and `decode` are TensorFlow ops: the same in training and in the SavedModel."""

    class Settings(Part.Settings):
        """What every task can be told."""

        max_length: int = Field(default=128, ge=4)
        """Tokens of a text (or pair) that are read at once, special tokens included."""
        stride: int = Field(default=0, ge=0)
        """Above 0: longer texts are read whole, in windows that share so many tokens with their neighbours."""
        max_windows: int = Field(default=64, ge=1)
        """The most windows of a text, so that one text cannot keep a server busy."""

    default_head: ClassVar[str]
    metrics: tuple[Spec, ...]
    """The metrics; the first is the one that a run is judged by."""
    answer_kind: ClassVar[Literal["labels", "tags", "other"]] = "other"
    """What an answer is: `labels`, one or several, mean the same in every language; `tags` stand for the words of a
    text, one each; `other` answers may be right in part, so that only a metric can compare them."""
    rows_per_text: int = 1
    """Rows of tokens that belong together: 2 where a task compares two texts that are read apart."""
    target_padding: int | None = None
    """What pads targets `[rows, tokens]`, for tasks whose targets belong to tokens."""
    draws: bool = False
    """Whether `encode` makes random choices in training; its batch then has `draw` `[batch]` int64, a seed a text."""
    asks_positions: bool = False
    """Whether the model answers for some tokens alone: it then reads `masked_positions` beside the three inputs."""
    learns_from_validation: bool = False
    """Whether `tuned` wants the answers to the validation data."""
    answers_tokens: bool = True
    """Whether what `decode` makes of tokens alone is an answer to their text: not where it stands in the text."""
    measured_on: ClassVar[tuple[str, ...]] = ("text",)
    """The functions whose answers `answers` needs, one after another: `text`, and names of `tasks`."""

    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """The raw texts that the task reads, by their names in `Example` and in the SavedModel's signature."""
        return ("text",)

    @property
    def training_inputs(self) -> tuple[str, ...]:
        """The raw texts that training reads: more than `text_inputs` where pairs are learned but texts served alone."""
        return self.text_inputs

    @property
    def longest(self) -> int:
        """The most tokens of a row."""
        return self.settings.max_length

    @property
    def training_rows(self) -> int:
        """Rows of tokens of a text in training."""
        return self.rows_per_text

    @property
    def readings(self) -> tuple[int, ...]:
        """The ways in which training makes rows of a text, by the rows that each makes; a joint task may have several.

        All rows of a batch are of one reading.
        """
        return (self.training_rows,)

    def readings_of(self, example: Example) -> tuple[int, ...]:
        """Returns in which of the `readings` an example is trained on."""
        return (0,)

    def read(self, batch: Tensors, tokenizer: Tokenizer, reading: int) -> Tensors:
        """Returns the rows that training makes of texts in one of the `readings`, as `encode` gives them."""
        return self.encode(batch, tokenizer)

    def rows_for_tokens(self, encoded: Tensors) -> Tensors:
        """Returns which of the rows that `encode` gave of texts may be sent as tokens: all of them, in most tasks."""
        return encoded

    def answers_to_tokens(self, answer: Tensors) -> Tensors:
        """Returns the part of an answer that such rows are asked for."""
        return answer

    @property
    def resources(self) -> Mapping[str, tf.Variable]:
        """Variables that `decode` reads and that are no weights, such as an index; they are saved with the model."""
        return {}

    def with_resources(self, resources: Mapping[str, tf.Variable]) -> Self:
        """Returns the task with the `resources` of a saved model; itself if there are none."""
        return self

    def with_tokenizer(self, tokenizer: Tokenizer) -> Self:
        """Returns the task with what `inputs` and `decode` need of the encoder's tokenizer; itself if it is nothing."""
        return self

    def inputs(self, encoded: Tensors) -> Tensors:
        """Returns what the model reads of what `encode` gave, or of tokens that a caller sent: the three inputs."""
        return {name: encoded[name] for name in INPUTS}

    def pad_to(self, length: tf.Tensor, inputs: Tensors, target: Any) -> tuple[Tensors, Any]:
        """Pads what a task adds beside the three inputs and what belongs to tokens; most tasks add nothing.

        Where shapes are static, every batch of rows of one length must have one shape.

        Args:
            length: The tokens of a row, which the three inputs are padded to already.
            inputs: What `inputs` gave.
            target: What `encode` gave.
        """
        return inputs, target

    def probe(self, encoded: Tensors) -> Tensors:
        """Returns rows of texts as `inputs` takes them, with something in them to answer; most tasks answer any text.

        Models are compared on such rows.

        Args:
            encoded: The three inputs `[rows, tokens]`.
        """
        return encoded

    @property
    @abstractmethod
    def units(self) -> int:
        """The number of logits; 0 where the head decides."""

    @property
    def prior(self) -> np.ndarray | None:
        """`[units]` float32, the logits of an answer that knows the observed labels only, and no text.

        A new head starts with them as its bias (Lin et al. 2017, section 4.1): with many rare labels, training would
        otherwise first spend hundreds of steps on learning that they are rare. None where nothing was observed.
        """
        return None

    def observe(self, example: Example) -> None:
        """Looks at each training example once before training starts: whether it can be trained on.

        It can if `features` gives it a `weight`. Tasks that count something (class weights) count here.

        Raises:
            DataError: The example cannot be used for this task.
        """
        if "weight" not in self.features([example]):
            raise DataError(
                f"{example.place}: no label",
                expected="a label for each row that is trained on",
                fix="Label the row, or leave it out.",
            )

    @property
    def num_choices(self) -> int:
        """How many `choices` each text has, for a task whose `text_inputs` name them."""
        return 0

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks that this one is made of and that can be answered alone, by name; each gets a signature."""
        return {}

    def completed(self, example: Example) -> Example:
        """Returns an example with all texts that the task reads of a batch; most tasks read what it has."""
        return example

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Returns what the graph gets of a batch of examples: texts as `[batch]` bytes objects, and the targets.

        What can be trained on also has a `weight` `[batch]`; examples to be answered alone have neither.

        Raises:
            DataError: A label is not one that the task knows.
        """
        return {
            name: np.array([_bytes(getattr(each, name)) for each in examples], object) for name in self.training_inputs
        }

    @abstractmethod
    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes a batch of texts as rows of tokens, in the graph.

        A text is one row, or `rows_per_text` rows beside each other. With `stride` it is as many windows as it takes;
        in training each window is a row of data of its own, and `batch` says which one is asked for.

        Args:
            batch: The texts by `text_inputs`, each `[batch]` string (`choices` `[batch, choices]`); in training those
                by `training_inputs`, what `features` adds, where the task `draws` also `draw`, and, with `stride`,
                `window` `[batch]` int32.
            tokenizer: The encoder's tokenizer.

        Returns:
            What `inputs` takes, the three inputs `[rows, tokens]` among it, and `truncated` `[batch]` bool; when
            windows are not asked for, with `stride`, also `example` `[rows]` int32, the row's place among the texts
            (times `rows_per_text`); in training also `target` and `weight` `[rows, …]`, as the loss takes them.
        """

    def encode_texts(self, batch: Tensors, tokenizer: Tokenizer, *, offsets: bool = False) -> Tensors:
        """Returns the rows of a batch of texts, or of pairs: what most tasks' `encode` begins with.

        Args:
            batch: What `encode` got.
            tokenizer: The encoder's tokenizer.
            offsets: Whether to add `starts` and `ends` `[rows, tokens]`: see `Tokenizer.encode`.
        """
        texts = [batch[name] for name in self.text_inputs]
        return self.encode_sides(texts, batch.get("window"), tokenizer, offsets=offsets)

    def encode_sides(
        self, texts: Sequence[tf.Tensor], window: tf.Tensor | None, tokenizer: Tokenizer, *, offsets: bool = False
    ) -> Tensors:
        """Returns the rows of texts or pairs, cut or in windows as the settings say.

        Args:
            texts: One or two tensors `[texts]` string.
            window: `[texts]` int32, the window of each text that is asked for; all of them if None.
            tokenizer: The encoder's tokenizer.
            offsets: Whether to add offsets.
        """
        told = self.settings
        limits: dict[str, Any] = {"max_length": told.max_length, "stride": told.stride, "max_windows": told.max_windows}
        encoded = tokenizer.encode(*texts, **limits, offsets=offsets)
        return encoded if window is None or "example" not in encoded else windows.pick(encoded, window)

    @staticmethod
    def per_text(logits: tf.Tensor, encoded: Tensors) -> tf.Tensor:
        """Returns logits `[texts, …]`: the mean over a text's windows, where texts were read in windows."""
        return tf.math.segment_mean(logits, encoded["example"]) if "example" in encoded else logits

    @abstractmethod
    def loss(self) -> Any:
        """Returns the loss of targets and logits; it gives `[rows]`."""

    def check_logits(self, logits: Any) -> None:
        """Checks, before training, that a model's logits can learn what the task teaches; in most tasks they can.

        Args:
            logits: The model's output, of which only the shape is looked at.

        Raises:
            RecipeError: They cannot.
        """

    @abstractmethod
    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Turns logits into the finished answer, in the graph.

        Args:
            logits: What the model gives for each row.
            encoded: What `encode` gave; the three model inputs alone where the caller sent tokens.

        Returns:
            Tensors whose first dimension is the texts; a text with fewer entries than others is padded.
        """

    def gold(self, example: Example) -> Any:
        """Returns the right answer of an example in the form that the metrics take."""
        return example.label

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Any]:
        """Returns the predicted answers to a whole split in the form that the metrics take.

        Args:
            examples: What was asked, for tasks whose answer belongs to the words of a text or to all candidates.
            predictions: One for each example and function in `measured_on`, function by function.
        """
        return [prediction.label for prediction in predictions]

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Self:
        """Returns the task with what is chosen after training, such as thresholds; itself if there is nothing.

        Args:
            examples: The validation data.
            predictions: The trained model's answers to it.
        """
        return self

    @abstractmethod
    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode`, as NumPy values, as a record."""

    @without_autograph
    def model(self, encoder: keras.Model, head: Head | None = None) -> keras.Model:
        """Returns a functional Keras model over what `inputs` names that gives logits.

        Args:
            encoder: What an encoder's `build` returned.
            head: The head; the task's default head if None.
        """
        # Layers
        layer = self.layer(encoder, head)
        # Functional model
        inputs = self.model_inputs(encoder)
        logits = self.logits(layer, encoder.output, inputs)
        start(layer, self.prior)
        # Config
        return keras.Model(inputs=inputs, outputs=logits, name=self.kind)

    def layer(self, encoder: keras.Model, head: Head | None = None) -> keras.layers.Layer:
        """Returns a new layer that makes the task's logits.

        Args:
            encoder: What an encoder's `build` returned.
            head: The head; the task's default head if None.
        """
        return (head or registry.build("heads", self.default_head)).layer(self.units)

    def model_inputs(self, encoder: keras.Model) -> Tensors:
        """Returns what a functional model reads, by the names in what `inputs` gives."""
        inputs = {name: encoder.input[name] for name in INPUTS}
        if self.asks_positions:
            inputs[POSITIONS] = keras.Input([None], dtype="int32", name=POSITIONS)
        return inputs

    def logits(self, layer: keras.layers.Layer, hidden: tf.Tensor, inputs: Tensors) -> tf.Tensor:
        """Returns the logits of the encoder's vectors.

        Args:
            layer: What `layer` returned.
            hidden: `[rows, tokens, hidden]`.
            inputs: What `model_inputs` returned.
        """
        return layer(hidden, inputs["attention_mask"])


def start(layer: keras.layers.Layer, prior: np.ndarray | None) -> None:
    """Gives the logits of a head that was just made their prior as bias; a head without such a layer stays as it is."""
    logits = getattr(layer, "logits", None)
    if prior is not None and logits is not None and logits.bias is not None:
        logits.bias.assign(prior)


def _bytes(text: str | tuple[str, ...] | None) -> Any:
    """A text as the graph takes it; a tuple of texts as a list."""
    return [each.encode() for each in text] if isinstance(text, tuple) else (text or "").encode()
