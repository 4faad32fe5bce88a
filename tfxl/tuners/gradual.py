"""Gradual: layers join training from the top, epoch by epoch, and lower ones learn more slowly."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tfxl.backend import keras
from tfxl.encoders import Blocks, blocks
from tfxl.tuners import Tuner


class Gradual(Tuner):
    """Gradual unfreezing with discriminative learning rates (ULMFiT, Howard and Ruder 2018, section 3.3).

    The head trains alone at first, so that its random weights do not disturb the encoder; then layers join from the
    top. Use it with little data or when full fine-tuning is unstable. It needs enough epochs to reach the layers that
    matter.
    """

    class Settings(Tuner.Settings):
        """How fast the encoder thaws, and how much more slowly its lower layers learn."""

        layers_per_epoch: int = Field(default=6, ge=1)
        """Layers that join at each epoch after the first; the embeddings join once every layer has."""
        decay_factor: float = Field(default=1.2, ge=1)
        """A layer's learning rate is that of the layer above divided by this. The paper has 2.6, for three layers; with
        twelve, 1.05 to 1.3 leaves the lowest ones something to learn with."""

    settings: Settings

    def adapt(self, encoder: keras.Model) -> keras.Model:
        """Freezes the encoder: the first epoch trains the head alone."""
        thaw(blocks(encoder), layers=0)
        return encoder

    def multipliers(self, model: keras.Model) -> dict[str, float]:
        """Returns the rates of the encoder's variables; the head has 1."""
        embeddings, layers = blocks(model)
        from_top = [*reversed(layers), embeddings]
        return {
            variable.name: self.settings.decay_factor ** -(depth + 1)
            for depth, layer in enumerate(from_top)
            for variable in layer.variables
        }

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns what thaws the layers at each epoch."""
        return [Thaw(self.settings.layers_per_epoch)]


class Thaw(keras.callbacks.Callback):
    """Lets more layers train at the beginning of each epoch.

    Args:
        layers_per_epoch: Layers that join at each epoch after the first.
    """

    def __init__(self, layers_per_epoch: int) -> None:
        super().__init__()
        self.layers_per_epoch = layers_per_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets what trains in this epoch and traces the step anew if that changed."""
        before = len(self.model.trainable_variables)
        thaw(blocks(self.model), layers=epoch * self.layers_per_epoch)
        if len(self.model.trainable_variables) != before:
            self.model.make_train_function(force=True)


def thaw(parts: Blocks, *, layers: int) -> None:
    """Lets the highest `layers` layers train and freezes the rest; the embeddings train if every layer does."""
    first = len(parts.layers) - layers
    for index, layer in enumerate(parts.layers):
        layer.trainable = index >= first
    parts.embeddings.trainable = first <= 0
