"""Training a small functional model with the real `fit`."""

from __future__ import annotations

import numpy as np
import pytest

from tfxl.acceleration import fused
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny
from tfxl.errors import RecipeError
from tfxl.progress import Progress
from tfxl.settings import validate
from tfxl.training import precision
from tfxl.training.fit import LONG, Settings, _fuses, fit
from tfxl.training.optimizer import AdamW, Sgd

VOCABULARY, LABELS = 50, 2


class FakeTask:
    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def check_logits(self, logits):
        assert logits.shape[-1] == LABELS


class FakeBatches:
    """Batches of different lengths; the label is whether the first token is odd."""

    def __init__(self, steps=6, rows=8):
        self.steps_per_epoch, self.count = steps, rows

    def _batch(self, step):
        random = np.random.default_rng(step)
        tokens = 3 + step % 3
        ids = random.integers(0, VOCABULARY, (self.count, tokens)).astype(np.int32)
        mask = (np.arange(tokens) < random.integers(1, tokens + 1, (self.count, 1))).astype(np.int32)
        inputs = {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": mask}
        return inputs, ids[:, 0] % 2, np.ones(self.count, np.float32)

    def tokens(self):
        return sum(int(self._batch(step)[0]["attention_mask"].sum()) for step in range(1, self.steps_per_epoch))

    def dataset(self, epochs):
        ids = tf.TensorSpec([None, None], tf.int32)
        signature = (dict.fromkeys(INPUTS, ids), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32))

        def batches():
            for _ in range(epochs):
                yield from (self._batch(step) for step in range(self.steps_per_epoch))

        return tf.data.Dataset.from_generator(batches, output_signature=signature)


def small_model(dropout=0.0):
    inputs = {name: keras.Input([None], dtype="int32", name=name) for name in INPUTS}
    hidden = keras.layers.Embedding(VOCABULARY, 8, name="word_embeddings")(inputs["input_ids"])
    hidden = keras.layers.Dropout(dropout)(hidden[:, 0] + 0.0 * tf.reduce_mean(hidden, axis=1))
    return keras.Model(inputs, keras.layers.Dense(LABELS, name="logits")(hidden))


def run(model=None, batches=None, settings=None, **options):
    settings = Settings(**{"learning_rate": 0.05, "precision": "float32", **(settings or {})})
    return fit(model or small_model(), FakeTask(), batches or FakeBatches(), settings, **options)


def test_loss_falls_and_the_history_tells(tmp_path):
    history = run(settings={"epochs": 8}, directory=tmp_path)
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] / 2
    assert history.updates == 48
    assert history.precision == "float32"
    assert history.best_epoch == 7
    assert all(epoch["tokens_per_second"] > 0 for epoch in history.epochs)
    assert history.epochs[-1]["learning_rate"] == pytest.approx(0.05 / 44, rel=1e-4)


def test_weights_of_the_given_model_are_trained_and_it_can_be_trained_again():
    model = small_model()
    before = model.get_weights()
    run(model)
    after = model.get_weights()
    assert all((left != right).any() for left, right in zip(before, after, strict=True))
    run(model)


def test_one_seed_gives_one_result():
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        model = small_model(dropout=0.5)
        run(model, seed=7)
        results.append(model.get_weights())
    for left, right in zip(*results, strict=True):
        np.testing.assert_array_equal(left, right)


def test_accumulation_counts_updates():
    assert run(settings={"accumulation_steps": 4, "epochs": 2}).updates == 3


def test_more_accumulation_than_batches_is_refused():
    with pytest.raises(RecipeError, match="accumulation_steps = 99"):
        run(settings={"accumulation_steps": 99})


@pytest.mark.parametrize("stop_on, best", [("mean", 1), ("worst", 0)])
def test_early_stopping_puts_the_best_weights_back(stop_on, best):
    scores = iter([{"de": 0.5, "zh": 0.5}, {"de": 0.9, "zh": 0.4}, {"de": 0.6, "zh": 0.3}, {"de": 0.6, "zh": 0.3}])
    model, weights = small_model(), []

    def score():
        weights.append(model.get_weights())
        return next(scores)

    history = run(model, settings={"epochs": 9, "early_stopping": stop_on, "patience": 2}, score=score)
    assert history.best_epoch == best
    assert len(history.epochs) == best + 3
    assert history.epochs[1]["validation/zh"] == 0.4
    assert history.epochs[1]["validation/mean"] == pytest.approx(0.65)
    for left, right in zip(model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("stop_on, best", [("mean", 2), ("worst", 1)])
def test_early_stopping_leaves_languages_out_whose_score_is_not_defined(stop_on, best):
    nan = float("nan")
    scores = iter([(0.5, 0.3), (0.5, 0.5), (0.9, 0.4), (nan, nan)])
    history = run(
        settings={"epochs": 4, "early_stopping": stop_on, "patience": 3},
        score=lambda: {"ja": nan, **dict(zip(("de", "zh"), next(scores), strict=True))},
    )
    assert history.best_epoch == best and len(history.epochs) == 4
    assert history.epochs[2]["validation/mean"] == pytest.approx(0.65)
    assert history.epochs[2]["validation/worst"] == 0.4


@pytest.mark.parametrize("scores", [{"de": float("nan"), "zh": float("nan")}, {}])
def test_early_stopping_without_any_score_is_refused(scores):
    with pytest.raises(RecipeError, match=r"no validation score is defined: (de, zh|no rows)"):
        run(settings={"epochs": 3, "early_stopping": "mean"}, score=lambda: scores)
    history = run(settings={"epochs": 2}, score=lambda: scores)
    assert history.best_epoch == 1


def test_early_stopping_without_validation_is_refused():
    with pytest.raises(RecipeError, match="without validation"):
        run(settings={"early_stopping": "worst"})


def test_nan_stops_with_the_last_good_weights():
    class Broken(FakeBatches):
        def _batch(self, step):
            inputs, target, weight = super()._batch(step)
            return inputs, target, weight * (np.nan if step == 3 else 1)

    model = small_model()
    with pytest.raises(RecipeError, match="not finite"):
        run(model, Broken(), settings={"log_every": 1})
    assert all(np.isfinite(value).all() for value in model.get_weights())


def test_progress_counts_each_step_and_epoch():
    class Listener(Progress):
        def __init__(self):
            self.said, self.counted, self.closed = [], [], 0

        def say(self, text):
            self.said.append(text)

        def track(self, items, *, what, total=None):
            for item in items:
                yield item
                self.counted.append((what, item, total))
            self.closed += 1

    listener = Listener()
    run(settings={"epochs": 2}, progress=listener, score=lambda: {"ja": float("nan")})
    assert [item for _, item, _ in listener.counted] == [*range(6)] * 2
    assert listener.counted[0] == ("training, epoch 1 of 2", 0, 6)
    assert listener.closed == 2
    assert listener.said[1].startswith("epoch 2 of 2: loss ") and "validation/ja –" in listener.said[1]


def test_model_with_its_own_train_step_keeps_it():
    class Own(keras.Model):
        steps = 0

        def train_step(self, data):
            Own.steps += 1
            return super().train_step(data)

    plain = small_model()
    run(Own(inputs=plain.input, outputs=plain.output))
    assert Own.steps


def test_several_steps_per_execution_give_the_same_weights():
    results = []
    for steps in (1, 3):
        keras.utils.set_random_seed(2)
        model = small_model()
        run(model, settings={"steps_per_execution": steps})
        results.append(model.get_weights())
    for left, right in zip(*results, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_fused_layers_give_the_same_weights(monkeypatch):
    results, fused_products = [], []
    project = fused.project

    def watched(*arguments):
        fused_products.append(fuse)
        return project(*arguments)

    monkeypatch.setattr(fused, "project", watched)
    for fuse in ("off", "on"):
        keras.utils.set_random_seed(2)
        encoder = Tiny(layers=1).build()
        logits = keras.layers.Dense(LABELS)(encoder.output[:, 0])
        model = keras.Model(encoder.input, logits)
        run(model, settings={"fuse_layers": fuse, "optimizer": "sgd"})
        results.append(model.get_weights())
    assert set(fused_products) == {"on"}
    for left, right in zip(*results, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "batches", "expected"),
    [
        ({}, LONG - 1, False),
        ({}, LONG, True),
        ({"fuse_layers": "on"}, 1, True),
        ({"fuse_layers": "off"}, LONG, False),
        ({"fuse_layers": "on", "jit_compile": True}, LONG, False),
    ],
)
def test_layers_are_fused_in_long_runs_or_where_it_is_asked_for(settings, batches, expected):
    assert _fuses(Settings(**settings), tf.distribute.get_strategy(), batches=batches) is expected


@pytest.mark.skipif(not precision.available(), reason="no bfloat16 on this processor")
def test_bfloat16_is_used_only_while_training():
    history = run(settings={"precision": "bfloat16"})
    assert history.precision == "bfloat16"
    assert not tf.config.optimizer.get_experimental_options().get(precision.GRAPH_OPTION)


def test_strategy_for_several_devices_needs_its_scope():
    with pytest.raises(RecipeError, match="built for one device"):
        run(settings={"strategy": "mirrored"})


@pytest.mark.parametrize("name, kind", [("adamw", AdamW), ("sgd", Sgd)])
def test_optimizer_by_name(name, kind):
    model = small_model()
    seen = []
    callback = keras.callbacks.LambdaCallback(on_train_end=lambda logs: seen.append(callback.model.optimizer))
    run(model, settings={"optimizer": name, "weight_decay": 0.2, "clip_norm": 0}, callbacks=[callback])
    assert type(seen[0]) is kind
    assert seen[0].options["weight_decay"] == 0.2
    assert seen[0].options["clip_norm"] is None


def test_settings_are_told_apart():
    with pytest.raises(RecipeError, match="learning_rat"):
        validate(Settings, {"learning_rat": 1.0}, where="training")
