"""Frozen: the embeddings and the lowest layers stay as they were pretrained."""

from __future__ import annotations

from pydantic import Field

from tfxl.backend import keras
from tfxl.encoders import blocks
from tfxl.errors import RecipeError
from tfxl.tuners import Tuner


class Frozen(Tuner):
    """Leaves the lowest part of the encoder alone: less memory, less time, and less that the data can spoil.

    Use it when there is little data, or when languages without training data matter most: their pieces then keep the
    places that they share with the languages that are trained.
    """

    class Settings(Tuner.Settings):
        """What is frozen."""

        embeddings: bool = True
        """Word, position and type embeddings and their normalisation."""
        layers: int = Field(default=0, ge=0)
        """Transformer layers, counted from the lowest."""

    settings: Settings

    def adapt(self, encoder: keras.Model) -> keras.Model:
        """Freezes the embeddings and the lowest layers.

        Raises:
            RecipeError: The encoder has fewer layers than are to be frozen.
        """
        embeddings, layers = blocks(encoder)
        if self.settings.layers > len(layers):
            raise RecipeError(
                f"frozen.layers = {self.settings.layers} for an encoder of {len(layers)} layers",
                expected=f"at most {len(layers)}",
                fix="Lower tuner.layers.",
            )
        embeddings.trainable = not self.settings.embeddings
        for layer in layers[: self.settings.layers]:
            layer.trainable = False
        return encoder
