"""Tuners decide which weights train, and how."""

from __future__ import annotations

from tfxl.backend import keras
from tfxl.registry import Part


class Tuner(Part):
    """Does nothing by default, so a tuner overrides only what it needs."""

    def adapt(self, encoder: keras.Model) -> keras.Model:
        """Changes an encoder before a head is put on it: freezes layers, or adds new ones."""
        return encoder

    def wrap(self, model: keras.Model) -> keras.Model:
        """Changes the whole model before it is compiled."""
        return model

    def multipliers(self, model: keras.Model) -> dict[str, float]:
        """Returns factors on the learning rate by variable name; variables that are not named have 1."""
        return {}

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns what has to happen while training runs."""
        return []

    def merge(self, encoder: keras.Model) -> keras.Model:
        """Undoes what `adapt` added once training is over, keeping the outputs, so that serving costs nothing extra."""
        return encoder
