"""What every task keeps: settings round-trip, targets fit logits, the loss falls, graph and Python agree."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny
from tfxl.example import Example
from tfxl.serving.answer import Answerer, predict
from tfxl.text.dataset import Batches, Rows

NEEDED = {"classification": {"labels": ["negative", "positive"], "max_length": 24}}
"""Settings that a task cannot do without; a task that is not named here can be made without any."""
VARIANTS = [
    *((kind, NEEDED.get(kind, {})) for kind in registry.names("tasks")),
    ("classification", {**NEEDED["classification"], "activation": "sigmoid"}),
    ("classification", {**NEEDED["classification"], "second_text": True}),
    ("classification", {**NEEDED["classification"], "class_weights": "balanced", "focal_gamma": 1.0}),
]
TEXTS = {"negative": ["schlecht", "很差", "سيئ", "बुरा"], "positive": ["sehr gut", "很好", "جيد", "अच्छा 👍"]}


def examples(task):
    paired = "second_text" in task.text_inputs
    return [
        Example(text * (1 + number % 2), second_text=text if paired else None, label=label, language="und")
        for label, texts in TEXTS.items()
        for number, text in enumerate(texts)
    ]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: f"{variant[0]}-{len(variant[1])}-{variant[1]}")
def trained(request, tmp_path_factory):
    """A task, its model before and after a few steps, and its answers."""
    kind, settings = request.param
    keras.utils.set_random_seed(0)
    task = registry.find("tasks", kind)(**settings)
    for example in examples(task):
        task.observe(example)
    encoder = Tiny()
    rows = Rows.write(examples(task), tmp_path_factory.mktemp("rows") / "rows", group=lambda example: example.language)
    batches = Batches(rows, task, encoder.tokenizer(), batch_size=8, seed=0)
    model = task.model(encoder.build())
    model.compile(keras.optimizers.Adam(0.02), loss=task.loss())
    losses = model.fit(batches.dataset(20), steps_per_epoch=1, epochs=20, verbose=0).history["loss"]
    return SimpleNamespace(task=task, model=model, tokenizer=encoder.tokenizer(), batches=batches, losses=losses)


def test_settings_round_trip(trained):
    again = registry.build("tasks", trained.task.spec())
    assert again.settings == trained.task.settings


def test_encode_matches_the_inputs_of_the_model(trained):
    inputs, target, weight = next(iter(trained.batches.dataset(1)))
    assert set(inputs) == set(INPUTS) == set(trained.model.input)
    assert all(tensor.dtype == tf.int32 for tensor in inputs.values())
    assert len({tuple(tensor.shape) for tensor in inputs.values()}) == 1
    assert target.shape[0] == weight.shape[0] == trained.model(inputs).shape[0]


def test_the_loss_falls(trained):
    assert np.isfinite(trained.losses).all()
    assert trained.losses[-1] < 0.7 * trained.losses[0]


def test_answers_are_records_in_order(trained):
    task, rows = trained.task, examples(trained.task)
    texts = {name: [getattr(row, name) for row in rows] for name in task.text_inputs}
    answerer = Answerer(trained.model, task, trained.tokenizer)
    together = predict(answerer.text, task, texts, batch_size=3)
    alone = [
        predict(answerer.text, task, {name: [text[i]] for name, text in texts.items()})[0] for i in range(len(rows))
    ]
    answers = task.answers(rows, together)
    assert answers == task.answers(rows, alone)
    right = [answer == task.gold(row) for answer, row in zip(answers, rows, strict=True)]
    assert np.mean(right) > 0.7


def test_a_text_that_is_too_long_is_flagged(trained):
    texts = {name: ["gut " * 500, "gut"] for name in trained.task.text_inputs}
    answerer = Answerer(trained.model, trained.task, trained.tokenizer)
    long, short = predict(answerer.text, trained.task, texts)
    assert long.truncated
    assert not short.truncated


def test_what_decode_gives_has_the_batch_first(trained):
    inputs, _, _ = next(iter(trained.batches.dataset(1)))
    for value in trained.task.decode(trained.model(inputs), dict(inputs)).values():
        assert value.shape[0] == inputs["input_ids"].shape[0]
