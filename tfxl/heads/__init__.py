"""Heads turn an encoder's vectors into logits."""

from __future__ import annotations

from abc import abstractmethod

from tfxl.backend import keras
from tfxl.registry import Part


class Head(Part):
    """Makes the Keras layer that stands on the encoder."""

    @abstractmethod
    def layer(self, units: int) -> keras.layers.Layer:
        """Returns a new layer, to be called with hidden `[batch, tokens, hidden]` and attention_mask `[batch, tokens]`.

        Args:
            units: The number of logits that the task asks for.
        """
