"""The model as it is trained: the layers of the model that is given, and a count of its tokens."""

from __future__ import annotations

from typing import Any

from tfxl.backend import keras, tf


class TrainingModel(keras.Model):
    """Trains the layers of a functional model, and counts the real (not padding) tokens of each epoch.

    Args:
        inputs: The inputs of the model, by name.
        outputs: Its outputs.
        options: What a Keras model takes.
    """

    def __init__(self, inputs: Any, outputs: Any, **options: Any) -> None:
        super().__init__(inputs=inputs, outputs=outputs, **options)
        self.tokens = keras.metrics.Sum(name="tokens")

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, tf.Tensor]:
        """Counts the tokens of a batch."""
        self.tokens.update_state(x["attention_mask"])
        return super().compute_metrics(x, y, y_pred, sample_weight)
