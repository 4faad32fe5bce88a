"""Several tasks on one encoder: rows of some tasks only, texts beside pairs, weights, signatures of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.contracts.task_cases import BOTH, EITHER, LABELLED, MOOD, PAIRS, SLOTS
from tfxl import registry
from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.serving.answer import Answerer
from tfxl.tasks.joint import Joint
from tfxl.text.dataset import Batches, Rows, StaticShapes

MIXED = {"mood": MOOD, "fits": {**MOOD, "second_text": True}}


@pytest.fixture(scope="module")
def encoder():
    return Tiny()


def encoded(task, examples, encoder):
    for example in examples:
        task.observe(example)
    features = {name: tf.constant(value) for name, value in task.features(examples).items()}
    return task.encode(features, encoder.tokenizer())


def test_rows_are_those_of_their_own_task(encoder):
    task = Joint(tasks=MIXED, max_length=24)
    rows = encoded(task, EITHER, encoder)
    alone = registry.build("tasks", MOOD, max_length=24)
    paired = registry.build("tasks", MIXED["fits"], max_length=24)
    for part, examples, shift in ((alone, LABELLED, 0), (paired, PAIRS, len(LABELLED))):
        own = encoded(part, examples, encoder)
        width = own["input_ids"].shape[1]
        np.testing.assert_array_equal(rows["input_ids"][shift : shift + len(examples), :width], own["input_ids"])


def test_a_row_weighs_nothing_for_the_tasks_that_it_is_not_for(encoder):
    task = Joint(tasks={"mood": MOOD, "fits": {**MIXED["fits"], "weight": 0.5}}, max_length=24)
    weight = encoded(task, EITHER, encoder)["weight"]
    half = len(LABELLED)
    np.testing.assert_array_equal(weight["mood"], [1.0] * half + [0.0] * half)
    np.testing.assert_array_equal(weight["fits"], [0.0] * half + [0.5] * half)


def test_each_task_answers_alone_as_it_does_together(encoder):
    task = Joint(tasks={"mood": MOOD, "slots": {**SLOTS, "head": "crf"}}, max_length=24)
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    assert {"text", "tokens", "mood", "slots"} <= set(answerer.functions)
    texts = [example.text for example in BOTH]
    together = answerer.text(text=texts)
    for name in ("mood", "slots"):
        alone = answerer.functions[name]({"text": tf.constant(texts)})
        for key, value in alone.items():
            if key != "truncated":
                np.testing.assert_array_equal(together[f"{name}_{key}"], value)


def test_targets_of_tokens_grow_with_static_shapes(encoder, tmp_path):
    task = Joint(tasks={"mood": MOOD, "slots": SLOTS}, max_length=32)
    for example in BOTH:
        task.observe(example)
    rows = Rows.write(BOTH, tmp_path / "rows", group=lambda example: example.task)
    static = StaticShapes.up_to(32)
    batches = Batches(rows, task, encoder.tokenizer(), batch_size=8, seed=0, static=static)
    inputs, target, _ = next(iter(batches.dataset(1)))
    assert target["slots"].shape == inputs["input_ids"].shape
    assert target["mood"].shape == (8,)
    assert rows.group_names == ["mood+slots"]


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"tasks": {"a": {"kind": "classification"}}}, "classification.labels"),
        ({"tasks": {"a b": MOOD}}, "tasks"),
        ({"tasks": {"tokens": MOOD}}, "tasks"),
        ({"tasks": {"a": {**MOOD, "weight": -1.0}}}, "weight"),
        ({"tasks": {"a": {**MOOD, "max_length": 64}}}, "max_length = 64"),
        ({"tasks": MIXED, "stride": 8}, "stride = 8"),
        ({"tasks": {"a": {"kind": "multiple_choice"}}}, "multiple_choice"),
    ],
)
def test_tasks_that_do_not_go_together_are_refused(settings, got):
    with pytest.raises(RecipeError) as error:
        Joint(**settings)
    assert got in error.value.got


def test_labels_that_belong_to_no_task_are_refused():
    task = Joint(tasks=MIXED)
    for label, message in (("positive", "label"), ({}, "label"), ({"moods": "positive"}, "'moods'")):
        with pytest.raises(DataError) as error:
            task.gold(Example("gut", label=label))
        assert message in error.value.got
    with pytest.raises(DataError, match="mode"):
        task.gold(replace(EITHER[0], label={"mood": "mode"}))


def test_each_head_starts_from_what_its_task_observed(encoder):
    many = {"kind": "multilabel", "labels": ["anger", "joy"]}
    task = Joint(tasks={"many": many, "mood": MOOD}, max_length=24)
    for labels in ([], ["joy"], ["joy"]):
        task.observe(Example("x", label={"many": labels}))
    model = task.model(encoder.build())
    np.testing.assert_allclose(model.get_layer("many_head").logits.bias, np.log([1 / 4, 3 / 2]), rtol=1e-6)
    assert not model.get_layer("mood_head").logits.bias.numpy().any()
