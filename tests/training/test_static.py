"""Static shapes and XLA change how fast a step is, not what it does."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.backend import keras
from tfxl.encoders.tiny import Tiny
from tfxl.example import Example
from tfxl.heads.pooled import Pooled
from tfxl.tasks.classification import Classification
from tfxl.text.dataset import Batches, Rows, StaticShapes
from tfxl.training.fit import Settings, TrainingModel, fit

TEXTS = {"good": ("the food was good ", "饭菜 也 很 好吃 "), "bad": ("الغرفة قذرة ", "the train was late ")}
SHAPES = StaticShapes((8, 16))
EPOCHS = 2


@pytest.fixture
def make_batches(tmp_path):
    def make(count, static):
        labels = [*TEXTS]
        examples = [
            Example(TEXTS[labels[number % 2]][number // 2 % 2] * (1 + number % 5), label=labels[number % 2])
            for number in range(count)
        ]
        rows = Rows.write(examples, tmp_path / "rows.jsonl", group=lambda example: (example.language,))
        task = Classification(labels=labels, class_weights={"bad": 2.0}, max_length=16)
        return Batches(rows, task, Tiny().tokenizer(), batch_size=8, seed=3, static=static)

    return make


class Losses(keras.callbacks.Callback):
    """Keeps the mean loss so far, after each step."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def trained(batches, **settings):
    """Trains; returns the losses, the weights and the number of traces of the step."""
    task, losses, traces = batches.task, Losses(), []

    class Counting(TrainingModel):
        def train_step(self, data):
            traces.append(data)
            return super().train_step(data)

    keras.utils.set_random_seed(1)
    plain = task.model(Tiny(layers=1).build(), Pooled(dropout=0.0))
    model = Counting(inputs=plain.input, outputs=plain.output)
    chosen = Settings(epochs=EPOCHS, batch_size=8, learning_rate=0.02, precision="float32", **settings)
    fit(model, task, batches, chosen, callbacks=[losses], seed=1)
    return losses.losses, plain.get_weights(), len(traces)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_xla_and_static_shapes_train_as_changing_lengths_do(make_batches, jit_compile):
    dynamic, static = make_batches(40, None), make_batches(40, SHAPES)
    lengths = {inputs["input_ids"].shape[1] for inputs, _, _ in static.dataset(EPOCHS)}
    assert len(lengths) > 1
    expected, _, _ = trained(dynamic)
    losses, _, traces = trained(static, jit_compile=jit_compile)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert traces <= len(lengths)


@pytest.mark.parametrize("count", [21, 5])
def test_a_filled_up_batch_gives_the_same_update_as_one_with_fewer_rows(make_batches, count):
    # Adam and clipping would hide a gradient of the wrong size.
    options = {"optimizer": "sgd", "clip_norm": 0.0, "warmup": 0.0}
    _, expected, _ = trained(make_batches(count, None), **options)
    _, found, _ = trained(make_batches(count, SHAPES), **options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
