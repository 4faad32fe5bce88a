"""When layers thaw, and how fast they learn."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contracts.test_tuners import OneBatch, values
from tfxl.backend import keras
from tfxl.encoders import blocks
from tfxl.encoders.tiny import Tiny
from tfxl.tasks.classification import Classification
from tfxl.training.fit import Settings, fit
from tfxl.tuners.gradual import Gradual


def test_rates_fall_towards_the_input():
    tuner = Gradual(decay_factor=2.0)
    encoder = tuner.adapt(Tiny().build())
    model = Classification(labels=["bad", "good"]).model(encoder)
    embeddings, layers = blocks(encoder)
    rates = tuner.multipliers(model)
    assert {rates[each.name] for each in layers[1].variables} == {0.5}
    assert {rates[each.name] for each in layers[0].variables} == {0.25}
    assert {rates[each.name] for each in embeddings.variables} == {0.125}
    assert not rates.keys() & {each.name for each in model.variables if "head" in each.name}


def test_layers_join_from_the_top_and_best_weights_are_put_back_by_variable():
    """Early stopping keeps weights of an epoch with fewer trained layers than at the end."""
    task, tuner = Classification(labels=["bad", "good"]), Gradual(layers_per_epoch=1)
    encoder = tuner.adapt(Tiny().build())
    model = task.model(encoder)
    seen, scores = [], iter([0.1, 0.9, 0.2, 0.3])
    before, best = values(model), {}

    def score():
        now = values(model)
        moved = [any((before[v.name] != now[v.name]).any() for v in part.variables) for part in parts()]
        seen.append(moved)
        value = next(scores)
        if value == 0.9:
            best.update(now)
        return {"en": value}

    def parts():
        embeddings, layers = blocks(encoder)
        return [embeddings, *layers]

    settings = Settings(epochs=4, learning_rate=0.02, early_stopping="mean", patience=3, precision="float32")
    batches = OneBatch(task, Tiny().tokenizer())
    fit(model, task, batches, settings, multipliers=tuner.multipliers(model), callbacks=tuner.callbacks(), score=score)
    assert seen == [[False, False, False], [False, False, True], [True, True, True], [True, True, True]]
    after = values(model)
    for name, value in best.items():
        np.testing.assert_array_equal(after[name], value)


@pytest.mark.parametrize("layers_per_epoch", [1, 9])
def test_thawing_traces_only_when_something_changed(layers_per_epoch):
    (thaw,) = Gradual(layers_per_epoch=layers_per_epoch).callbacks()
    model = Classification(labels=["bad", "good"]).model(Tiny().build())
    traced = []
    model.make_train_function = lambda force: traced.append(force)
    thaw.set_model(model)
    for epoch in range(5):
        thaw.on_epoch_begin(epoch)
    assert len(traced) == (3 if layers_per_epoch == 1 else 2)
    assert isinstance(thaw, keras.callbacks.Callback)
