"""Tasks say what is asked of a text: how it is encoded, what loss trains it, how logits become a finished answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.example import Example, Prediction
from tfxl.heads import Head
from tfxl.registry import Part

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

Tensors = dict[str, tf.Tensor]


class Task(Part):
    """One kind of question. `encode` and `decode` are TensorFlow ops: the same in training and in the SavedModel."""

    class Settings(Part.Settings):
        """What every task can be told."""

        max_length: int = Field(default=128, ge=4)
        """Tokens of a text (or pair) that are read, special tokens included."""

    default_head: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    """Kinds of metrics; the first is the one that a run is judged by."""

    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """The raw texts that the task reads, by their names in `Example` and in the SavedModel's signature."""
        return ("text",)

    @property
    @abstractmethod
    def units(self) -> int:
        """The number of logits."""

    def observe(self, example: Example) -> None:
        """Looks at each training example once before training starts, for tasks that count something (class weights).

        Raises:
            DataError: The example cannot be used for this task.
        """

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Returns what the graph gets of a batch of examples: texts as `[batch]` bytes objects, and the targets.

        Raises:
            DataError: A label is not one that the task knows.
        """
        return {
            name: np.array([getattr(example, name).encode() for example in examples], dtype=object)
            for name in self.text_inputs
        }

    @abstractmethod
    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes a batch of texts, in the graph.

        Args:
            batch: The texts by `text_inputs`, each `[batch]` string; in training also what `features` adds.
            tokenizer: The encoder's tokenizer.

        Returns:
            The three model inputs and `truncated` `[batch]` bool; in training also `target` and `weight`, as the loss
            takes them.
        """

    @abstractmethod
    def loss(self) -> keras.losses.Loss:
        """Returns the loss of targets and logits."""

    @abstractmethod
    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Turns logits into the finished answer, in the graph.

        Args:
            logits: What the model gives.
            encoded: What `encode` gave; without `truncated` where the caller sent tokens.

        Returns:
            Tensors whose first dimension is the batch.
        """

    def gold(self, example: Example) -> Any:
        """Returns the right answer of an example in the form that the metrics take."""
        return example.label

    def answer(self, prediction: Prediction) -> Any:
        """Returns a predicted answer in the form that the metrics take."""
        return prediction.label

    @abstractmethod
    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode`, as NumPy values, as a record."""

    def model(self, encoder: keras.Model, head: Head | None = None) -> keras.Model:
        """Returns a functional Keras model over the three named inputs that gives logits.

        Args:
            encoder: What an encoder's `build` returned.
            head: The head; the task's default head if None.
        """
        # Layers
        layer = (head or registry.build("heads", self.default_head)).layer(self.units)
        # Functional model
        inputs = {name: encoder.input[name] for name in INPUTS}
        logits = layer(encoder.output, inputs["attention_mask"])
        # Config
        return keras.Model(inputs=inputs, outputs=logits, name=self.kind)
