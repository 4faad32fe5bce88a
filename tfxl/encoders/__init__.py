"""Encoders turn token ids into one vector a token."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from tfxl.backend import keras
from tfxl.registry import Part
from tfxl.text.tokenizer import INPUTS, Tokenizer

__all__ = ["INPUTS", "Blocks", "Encoder", "blocks"]


class Encoder(Part):
    """A network with its weights, and the tokenizer that belongs to them."""

    @abstractmethod
    def build(self) -> keras.Model:
        """Returns a functional model over the three `INPUTS`; every call builds new variables.

        Its output is `[batch, tokens, hidden]`.

        Raises:
            WeightsError: The weights are missing or damaged, or do not belong to the tokenizer.
        """

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer that the weights were trained with."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Returns what rebuilds the encoder, weights apart: `config.json` and the tokenizer's files."""


class Blocks(NamedTuple):
    """The parts of an encoder that a tuner may treat differently, from the input upwards."""

    embeddings: keras.layers.Layer
    layers: list[keras.layers.Layer]


def blocks(model: keras.Model) -> Blocks:
    """Returns the embeddings and the transformer layers inside a model that holds an encoder."""
    layers = model._flatten_layers()
    main = next(layer for layer in layers if hasattr(layer, "embeddings") and hasattr(layer, "encoder"))
    return Blocks(main.embeddings, list(main.encoder.layer))
