"""What holds for every tuner: it trains what it declares and nothing else, and merging keeps the outputs."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny
from tfxl.example import Example
from tfxl.tasks.classification import Classification
from tfxl.training.fit import Settings, fit

EXAMPLES = [
    Example("the room was clean and the food was good", label="good"),
    Example("комната была чистой", label="good"),
    Example("饭菜 也 很 好吃", label="good"),
    Example("but the train was late", label="bad"),
    Example("phòng rất sạch sẽ nhưng đồ ăn không ngon", label="bad"),
    Example("لكن القطار متأخر", label="bad"),
]


class OneBatch:
    """The same batch again and again."""

    steps_per_epoch = 4

    def __init__(self, task, tokenizer):
        batch = {name: tf.constant(value) for name, value in task.features(EXAMPLES).items()}
        encoded = task.encode(batch, tokenizer)
        self.inputs = {name: encoded[name] for name in INPUTS}
        self.row = (self.inputs, encoded["target"], encoded["weight"])

    def dataset(self, epochs):
        return tf.data.Dataset.from_tensors(self.row).repeat(epochs * self.steps_per_epoch)


@pytest.fixture(params=registry.names("tuners"))
def tuner(request):
    return registry.build("tuners", request.param)


@pytest.fixture
def task():
    return Classification(labels=["bad", "good"])


@pytest.fixture
def batches(task):
    return OneBatch(task, Tiny().tokenizer())


def adapted(tuner, task):
    encoder = tuner.adapt(Tiny().build())
    return encoder, tuner.wrap(task.model(encoder))


def train(model, tuner, task, batches, *, epochs):
    settings = Settings(epochs=epochs, learning_rate=0.02, warmup=0.0, precision="float32")
    multipliers, callbacks = tuner.multipliers(model), tuner.callbacks()
    return fit(model, task, batches, settings, multipliers=multipliers, callbacks=callbacks)


def values(model):
    return {variable.name: variable.numpy() for variable in model.variables}


def test_settings_round_trip(tuner):
    assert registry.build("tuners", tuner.spec()).spec() == tuner.spec()


def test_tuning_keeps_the_outputs_at_first(tuner, batches):
    encoder = Tiny().build()
    before = encoder(batches.inputs).numpy()
    np.testing.assert_allclose(tuner.adapt(encoder)(batches.inputs), before, atol=1e-5)


def test_something_trains_and_the_loss_falls(tuner, task, batches):
    _, model = adapted(tuner, task)
    assert model.trainable_variables
    history = train(model, tuner, task, batches, epochs=4)
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]


@pytest.mark.parametrize("epochs", [1, 2])
def test_only_what_is_declared_trains(tuner, task, batches, epochs):
    _, model = adapted(tuner, task)
    before = values(model)
    train(model, tuner, task, batches, epochs=epochs)
    after = values(model)
    rates = tuner.multipliers(model)
    declared = {each.name for each in model.trainable_variables if rates.get(each.name, 1.0)}
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed <= declared
    # Nothing is declared that does not learn; a key's bias cannot: attention is the same without it.
    assert not {name for name in declared - changed if not name.endswith("key/bias:0")}


def test_multipliers_name_variables_of_the_model(tuner, task):
    _, model = adapted(tuner, task)
    assert tuner.multipliers(model).keys() <= {variable.name for variable in model.variables}


def test_merging_keeps_the_outputs(tuner, task, batches):
    encoder, model = adapted(tuner, task)
    train(model, tuner, task, batches, epochs=2)
    before = encoder(batches.inputs).numpy()
    merged = tuner.merge(encoder)
    np.testing.assert_allclose(merged(batches.inputs), before, atol=1e-5)
