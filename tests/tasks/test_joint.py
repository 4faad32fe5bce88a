"""Several tasks on one encoder: rows of some tasks only, texts beside pairs, weights, signatures of their own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.contracts.task_cases import BOTH, EVERY, LABELLED, MANY, MOOD, SLOTS
from tfxl import registry
from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.serving.answer import Answerer, encode
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


@pytest.fixture(scope="module")
def batches(encoder, tmp_path_factory):
    task = Joint(tasks=EVERY, max_length=24)
    for example in MANY:
        task.observe(example)
    rows = Rows.write(MANY, tmp_path_factory.mktemp("rows") / "rows", group=lambda example: example.task)
    return Batches(rows, task, encoder.tokenizer(), batch_size=4, seed=0)


def test_tasks_that_read_texts_alike_share_their_rows():
    task = Joint(tasks=EVERY, max_length=24)
    assert task.readings == (1, 1, 1, 2, 2, 3, 1)
    assert task.readings_of(MANY[0]) == (0,) == task.readings_of(Example("x", label={"slots": ("O",)}))
    assert task.readings_of(Example("x", label={"mood": "negative", "alike": "1"})) == (0, 4)
    assert task.readings_of(Example("x", label={"mood": "negative", "masked": None})) == (0, 6)
    assert len(Joint(tasks={"mood": MOOD, "slots": {**SLOTS, "max_length": 64}}).readings) == 2


def test_a_batch_is_of_one_reading_and_every_epoch_has_as_many(batches):
    readings = [set(batches.measured.readings[items].tolist()) for items in batches.plan(0)]
    assert all(len(found) == 1 for found in readings)
    assert {len(batches.plan(epoch)) for epoch in range(5)} == {batches.steps_per_epoch}
    seen = sorted(batches.measured.rows[np.concatenate(batches.plan(0))].tolist())
    assert set(seen) == set(range(len(MANY)))


def test_rows_are_those_of_their_own_task(batches, encoder):
    task = batches.task
    for items in batches.plan(0):
        batch = {key: tf.constant(value) for key, value in batches._batch(items).items()}
        inputs, target, weight = batches._encode(batch)
        (reading,) = set(batches.measured.readings[items].tolist())
        names = [*task._readings.values()][reading]
        asked = {name for row in batches.measured.rows[items] for name in MANY[row].label}
        assert {name for name in EVERY if np.any(weight[name])} == asked <= set(names)
        if len(asked) == 1:
            (name,) = asked
            part = task._parts[name]
            examples = [replace(MANY[row], label=MANY[row].label[name]) for row in batches.measured.rows[items]]
            features = {key: tf.constant(value) for key, value in part.features(examples).items()}
            more = {"window": batches.measured.windows[items], **({"draw": batch["draw"]} if part.draws else {})}
            own = part.encode({**features, **more}, encoder.tokenizer())
            np.testing.assert_array_equal(inputs["input_ids"], own["input_ids"])
            np.testing.assert_array_equal(target[name], own["target"])
        rows = inputs["input_ids"].shape[0]
        assert rows == len(items) * task.readings[reading]
        assert all(value.shape[0] == rows for value in (*target.values(), *weight.values()))


def test_a_loss_is_0_where_a_task_is_not_asked(batches, encoder):
    task, model = batches.task, batches.task.model(encoder.build())
    losses = task.loss()
    for inputs, target, weight in batches.dataset(1):
        logits = model(inputs)
        for name, loss in losses.items():
            value = float(loss(target[name], logits[name], weight[name]))
            assert (value > 0) == bool(np.any(weight[name])), name


def test_a_row_weighs_nothing_for_the_tasks_that_it_is_not_for(encoder):
    task = Joint(tasks={"mood": MOOD, "other": {**MOOD, "weight": 0.5}}, max_length=24)
    rows = [replace(each, label={"mood": each.label}) for each in LABELLED]
    rows += [replace(each, label={"other": each.label}) for each in LABELLED]
    weight = encoded(task, rows, encoder)["weight"]
    half = len(LABELLED)
    np.testing.assert_array_equal(weight["mood"], [1.0] * half + [0.0] * half)
    np.testing.assert_array_equal(weight["other"], [0.0] * half + [0.5] * half)


def test_each_task_answers_as_it_does_without_the_others(encoder):
    task = Joint(tasks=EVERY, max_length=24).with_tokenizer(encoder.tokenizer())
    model = task.model(encoder.build())
    answerer = Answerer(model, task, encoder.tokenizer())
    context = "das Zimmer war groß , das Frühstück war gut , " * 3
    texts = {"text": ["gut <mask>", "Zimmer ?"], "second_text": ["sehr gut", context], "choices": [["gut", "bad"]] * 2}
    together = answerer.text(**texts)
    for name, part in task._parts.items():
        own = {key: tf.constant(texts[key]) for key in part.text_inputs}
        rows = encode(own, part, encoder.tokenizer())
        alone = part.decode(model(task.tasks[name].inputs(rows))[name], rows)
        for key, value in alone.items():
            if key != "truncated":
                same = np.testing.assert_allclose if value.dtype.is_floating else np.testing.assert_array_equal
                served = answerer.functions[name](own)[key]
                same(served, value, **({"atol": 1e-5} if value.dtype.is_floating else {}))
                same(together[f"{name}_{key}"], value, **({"atol": 1e-5} if value.dtype.is_floating else {}))
    assert {"find_second_text", "masked_score"} <= set(answerer.functions)
    assert task.measured_on == ("text", "find_second_text", "masked_score")
    assert together["masked_num_masks"].numpy().tolist() == [1, 0]


def test_what_is_saved_of_the_task_builds_it_again():
    task = Joint(tasks=EVERY, max_length=24)
    again = registry.build("tasks", task.spec())
    assert again.settings == task.settings and again.readings == task.readings
    assert again._parts["answer"].settings.stride == 4


def test_programs_of_fixed_shapes_want_as_many_rows_of_every_text(batches, encoder):
    with pytest.raises(RecipeError, match="make 1, 2, 3 rows"):
        Batches(batches.rows, batches.task, encoder.tokenizer(), batch_size=4, seed=0, static=StaticShapes.up_to(24))


@pytest.mark.slow
def test_texts_and_pairs_train_in_fixed_shapes(encoder, tmp_path):
    """Losses and gradients are those of batches whose shapes are not fixed, with XLA as without."""
    tasks = {**MIXED, "slots": SLOTS, "masked": EVERY["masked"]}
    task = Joint(tasks=tasks, max_length=24)
    examples = [each for each in MANY if set(each.label) <= set(tasks)]
    for example in examples:
        task.observe(example)
    rows = Rows.write(examples, tmp_path / "rows", group=lambda example: example.task)
    told = {"batch_size": 4, "seed": 0}
    free = Batches(rows, task, encoder.tokenizer(), **told)
    fixed = Batches(rows, task, encoder.tokenizer(), **told, static=StaticShapes.up_to(24))
    model, losses = task.model(encoder.build()), task.loss()

    def losses_of(inputs, target, weight):
        with tf.GradientTape() as tape:
            logits = model(inputs)
            found = {name: loss(target[name], logits[name], weight[name]) for name, loss in losses.items()}
            total = tf.add_n(list(found.values()))
        kernels = [each for each in model.trainable_variables if "kernel" in each.name]
        gradients = tape.gradient(total, kernels, unconnected_gradients="zero")
        return found | {each.name: tf.norm(one) for each, one in zip(kernels, gradients, strict=True)}

    compiled = tf.function(losses_of, jit_compile=True)
    for plain, padded in zip(free.dataset(1), fixed.dataset(1), strict=True):
        assert padded[0]["input_ids"].shape[0] == 4
        found = compiled(*padded)
        for name, value in losses_of(*plain).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


MIRRORED = """
from pathlib import Path

from tfxl.backend import keras, tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tests.contracts.task_cases import MANY, MOOD
from tfxl.encoders.tiny import Tiny
from tfxl.tasks.joint import Joint
from tfxl.text.dataset import Batches, Rows
from tfxl.training.model import TrainingModel

task, encoder = Joint(tasks={"mood": MOOD, "fits": {**MOOD, "second_text": True}}, max_length=24), Tiny()
examples = [each for each in MANY if set(each.label) <= {"mood", "fits"}]
for example in examples:
    task.observe(example)
rows = Rows.write(examples, FOLDER, group=lambda example: example.task)
batches = Batches(rows, task, encoder.tokenizer(), batch_size=4, seed=0)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = task.model(encoder.build())
    training = TrainingModel(model.input, model.output)
    training.compile(keras.optimizers.Adam(0.02), loss=task.loss())
losses = training.fit(batches.dataset(4), steps_per_epoch=batches.steps_per_epoch // 2, epochs=4, verbose=0)
print("losses", *losses.history["loss"])
"""


@pytest.mark.slow
def test_texts_and_pairs_train_on_several_devices(tmp_path):
    """In a process of its own, because the number of devices is fixed at the first use of TensorFlow."""
    program = MIRRORED.replace("FOLDER", f"Path({str(tmp_path / 'rows')!r})")
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    losses = [float(number) for number in process.stdout.splitlines()[-1].split()[1:]]
    assert losses[-1] < losses[0]


def test_a_row_that_was_refused_is_not_borrowed():
    task = Joint(tasks=MIXED, max_length=24)
    with pytest.raises(DataError):
        task.observe(Example("x", label={"mood": None}))
    task.observe(replace(LABELLED[0], label={"mood": LABELLED[0].label}))
    task.observe(Example("x", second_text="y", label={"fits": "positive"}))
    features = task.features([Example("x", second_text="y", label={"fits": "negative"})])
    assert features["mood/weight"].tolist() == [0.0] and features["fits/weight"].tolist() == [1.0]


def test_negatives_of_training_are_no_choices_to_callers():
    task = Joint(tasks={"choose": EVERY["choose"], "find": {"kind": "retrieval", "negatives": 5}})
    assert task.num_choices == 2
    pair = Example("a", second_text="b", choices=tuple("cdefg"), label={"find": None})
    chosen = Example("a", choices=("b", "c"), label={"choose": "0"})
    for example in (pair, chosen):
        task.observe(example)
    found = task.features([pair, chosen])["choices"].tolist()
    assert found == [[b"c", b"d", b"e", b"f", b"g"], [b"b", b"c", b"", b"", b""]]


def test_the_longest_row_of_all_tasks_has_to_fit(encoder):
    task = Joint(tasks={"mood": MOOD, "long": {**MOOD, "max_length": 4096}}, max_length=24)
    with pytest.raises(RecipeError, match="max_length = 4096"):
        Answerer(task.model(encoder.build()), task, encoder.tokenizer())


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
        ({"tasks": {"serving_default": MOOD}}, "tasks"),
        ({"tasks": {"a": {**MOOD, "weight": -1.0}}}, "weight"),
        ({"tasks": {"a": {"kind": "fill_mask"}, "b": {"kind": "fill_mask"}}}, "tasks.b: a second fill_mask"),
        ({"tasks": {"a": {"kind": "joint", "tasks": {"b": MOOD}}}}, "joint"),
        ({"tasks": {"a": {"kind": "retrieval"}, "a_second_text": MOOD}}, "a_second_text"),
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
        task.gold(replace(LABELLED[0], label={"mood": "mode"}))


def test_each_head_starts_from_what_its_task_observed(encoder):
    many = {"kind": "multilabel", "labels": ["anger", "joy"]}
    task = Joint(tasks={"many": many, "mood": MOOD}, max_length=24)
    for labels in ([], ["joy"], ["joy"]):
        task.observe(Example("x", label={"many": labels}))
    model = task.model(encoder.build())
    np.testing.assert_allclose(model.get_layer("many_head").logits.bias, np.log([1 / 4, 3 / 2]), rtol=1e-6)
    assert not model.get_layer("mood_head").logits.bias.numpy().any()
