"""The model as it is trained: the layers of the model that is given, and a count of its tokens."""

from __future__ import annotations

from typing import Any

from tfxl.backend import keras, tf, without_autograph


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

    def make_train_function(self, force: bool = False) -> Any:
        """Returns the step as Keras makes it; made in it, the optimizer's variables would have it traced twice."""
        self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    @without_autograph
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on a batch as Keras does."""
        return super().train_step(data)

    @without_autograph
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Measures a batch as Keras does."""
        return super().test_step(data)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, tf.Tensor]:
        """Counts the tokens of a batch."""
        self.tokens.update_state(x["attention_mask"])
        return super().compute_metrics(x, y, y_pred, sample_weight)
