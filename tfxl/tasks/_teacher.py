"""A teacher: an encoder whose embeddings another model learns to give."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfxl import registry
from tfxl.backend import keras, tf, without_autograph
from tfxl.encoders import INPUTS, Encoder
from tfxl.heads import Head
from tfxl.tasks._vectors import unit

BATCH = 64
CACHED = 2**28
"""Bytes of vectors that are kept, so that later epochs need not ask again; texts beyond that are asked each time."""


class Teacher:
    """Gives vectors of length 1 of texts. Weights are read at the first question.

    Args:
        encoder: The encoder's spec.
        head: The spec of the head on it, without weights of its own.
        max_length: Tokens of a text that are read.
    """

    def __init__(self, encoder: Mapping[str, Any], head: registry.Spec, *, max_length: int) -> None:
        self.encoder, self.head, self.max_length = encoder, head, max_length
        self._known: dict[bytes, np.ndarray] = {}

    def vectors(self, texts: Sequence[bytes]) -> np.ndarray:
        """Returns `[texts, dimensions]` float32."""
        new = sorted({text for text in texts if text not in self._known}, key=len)
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            found.update(zip(part, self._function(tf.constant(part, tf.string)).numpy(), strict=True))
        for text, vector in found.items():
            if (len(self._known) + 1) * vector.nbytes <= CACHED:
                self._known[text] = vector
        return np.stack([found[text] if text in found else self._known[text] for text in texts])

    @property
    def dimensions(self) -> int:
        """The size of the vectors."""
        known = next(iter(self._known.values()), None)
        return int(self._network.output.shape[-1] if known is None else known.shape[-1])

    @functools.cached_property
    def _encoder(self) -> Encoder:
        return registry.build("encoders", self.encoder)

    @functools.cached_property
    def _network(self) -> keras.Model:
        model = self._encoder.build()
        head: Head = registry.build("heads", self.head)
        inputs = {name: model.input[name] for name in INPUTS}
        return keras.Model(inputs, head.layer(0)(model.output, inputs["attention_mask"]))

    @functools.cached_property
    def _function(self) -> Any:
        teacher, tokenizer = self._network, self._encoder.tokenizer()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        @without_autograph
        def vectors(texts: tf.Tensor) -> tf.Tensor:
            encoded = tokenizer.encode(texts, max_length=self.max_length)
            return unit(teacher({name: encoded[name] for name in INPUTS}, training=False))

        return vectors


class DistanceLoss(keras.losses.Loss):
    """The squared distance of a row's vector from the teacher's (Reimers and Gurevych 2020), both of length 1."""

    def __init__(self) -> None:
        super().__init__(name="distance_loss")

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses of target and logits, both `[rows, dimensions]`."""
        return tf.reduce_sum((unit(tf.cast(logits, tf.float32)) - target) ** 2, axis=-1)
