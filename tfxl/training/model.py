"""The model as it is trained: the layers of the model that is given, a count of tokens, and shards of each batch."""

from __future__ import annotations

import os
from typing import Any

from tfxl.backend import keras, tf
from tfxl.training.precision import on_processor

ROWS_PER_SHARD = 8
"""Rows below which a part of a batch is too little work to be worth a thread of its own."""


class TrainingModel(keras.Model):
    """Trains the layers of a functional model.

    It counts the real (not padding) tokens of each epoch, and it may run a batch as several shards side by side. On a
    processor that keeps the cores busy where one operation alone is too small to share between them. Outputs are put
    together again before the loss, so the loss sees the whole batch.

    Args:
        inputs: The inputs of the model, by name.
        outputs: Its outputs, whose first dimension is the batch.
        shards: The number of shards.
        options: What a Keras model takes.
    """

    def __init__(self, inputs: Any, outputs: Any, *, shards: int = 1, **options: Any) -> None:
        super().__init__(inputs=inputs, outputs=outputs, **options)
        self.shards = shards
        self.tokens = keras.metrics.Sum(name="tokens")

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch of (inputs, target, weight)."""
        inputs, target, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = self.in_shards(inputs)
            loss = self.compute_loss(inputs, target, outputs, weight)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.compute_metrics(inputs, target, outputs, weight)

    def in_shards(self, inputs: dict[str, tf.Tensor]) -> Any:
        """Returns the outputs of a batch that is computed shard by shard, in the order of the batch."""
        if self.shards == 1:
            return self(inputs, training=True)
        rows = tf.shape(inputs["attention_mask"])[0]
        # Shards are of one size: the last one repeats the first row, and that row's outputs are cut off again.
        places = tf.range(-(-rows // self.shards) * self.shards)
        places = tf.where(places < rows, places, 0)
        split = {name: tf.split(tf.gather(value, places), self.shards) for name, value in inputs.items()}
        shards = [{name: split[name][index] for name in split} for index in range(self.shards)]
        outputs = [self(shard, training=True) for shard in shards]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0)[:rows], *outputs)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, tf.Tensor]:
        """Counts the tokens of a batch."""
        self.tokens.update_state(x["attention_mask"])
        return super().compute_metrics(x, y, y_pred, sample_weight)


def useful_shards(batch_size: int, *, jit_compile: bool) -> int:
    """Returns how many shards keep this machine busy: one a core on a processor, one on anything else."""
    if jit_compile or not on_processor() or tf.distribute.has_strategy():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, batch_size // ROWS_PER_SHARD))
