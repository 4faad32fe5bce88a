"""What every task keeps: settings round-trip, targets fit logits, the loss falls, graph and Python agree."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.contracts.task_cases import CASES
from tfxl import registry
from tfxl.acceleration import accelerated
from tfxl.acceleration.replacing import replaced
from tfxl.backend import keras, tf
from tfxl.data import texts_of
from tfxl.encoders import INPUTS
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError
from tfxl.evaluation.evaluate import Settings, evaluate
from tfxl.scoring import answered
from tfxl.serving.answer import Answerer, encode, encode_as_tokens, predict
from tfxl.text.dataset import Batches, Rows
from tfxl.training.model import TrainingModel

QUICK = Settings(samples=0)


@pytest.fixture(scope="module", params=CASES, ids=str)
def trained(request, tmp_path_factory):
    """A task, its model before and after a few steps, and its answers."""
    case = request.param
    keras.utils.set_random_seed(0)
    task = registry.find("tasks", case.kind)(**case.settings)
    for example in case.examples:
        task.observe(example)
    encoder = Tiny()
    rows = Rows.write(case.examples, tmp_path_factory.mktemp("rows") / "rows", group=lambda example: example.language)
    batches = Batches(rows, task, encoder.tokenizer(), batch_size=len(case.examples), seed=0)
    model = task.model(encoder.build())
    training = TrainingModel(model.input, model.output)
    training.compile(keras.optimizers.Adam(0.02), loss=task.loss())
    epochs = 100 if task.draws else 20  # what is drawn anew each time takes longer to learn by heart
    steps = {"steps_per_epoch": batches.steps_per_epoch, "epochs": epochs}
    losses = training.fit(batches.dataset(epochs), **steps, verbose=0).history["loss"]
    made = {"task": task, "model": model, "tokenizer": encoder.tokenizer(), "batches": batches, "losses": losses}
    return SimpleNamespace(**made, examples=case.examples)


def alike(one, other):
    """Whether two answers are equal, numbers nearly."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    return one == (pytest.approx(other, abs=1e-5) if isinstance(other, float) else other)


def test_settings_round_trip(trained):
    again = registry.build("tasks", trained.task.spec())
    assert again.settings == trained.task.settings


def test_encode_matches_the_inputs_of_the_model(trained):
    inputs, target, weight = next(iter(trained.batches.dataset(1)))
    assert set(INPUTS) <= set(inputs) == set(trained.model.input)
    assert all(tensor.dtype == tf.int32 for tensor in inputs.values())
    assert len({tuple(inputs[name].shape) for name in INPUTS}) == 1
    rows = {tensor.shape[0] for tensor in tf.nest.flatten([target, weight, trained.model(inputs)])}
    assert rows == {inputs["input_ids"].shape[0]}


def test_the_loss_is_one_number_a_row(trained):
    inputs, *sides = next(iter(trained.batches.dataset(1)))
    parts = (tf.nest.flatten(each) for each in (trained.task.loss(), *sides, trained.model(inputs)))
    asked = [part for part in zip(*parts, strict=True) if np.any(part[2])]  # a batch may be of some tasks alone
    assert asked
    for loss, expected, _, logits in asked:
        assert loss.call(expected, logits).shape == (inputs["input_ids"].shape[0],)


def test_the_loss_falls(trained):
    assert np.isfinite(trained.losses).all()
    assert trained.losses[-1] < 0.7 * trained.losses[0]


@pytest.mark.parametrize("fused_in", [None, tf.float32], ids=["unpadded", "unpadded and fused"])
def test_what_is_learned_does_not_depend_on_padding(trained, fused_in):
    inputs, target, weight = next(iter(trained.batches.dataset(1)))
    assert not np.all(inputs["attention_mask"])
    training = TrainingModel(trained.model.input, trained.model.output)
    training.compile(loss=trained.task.loss())

    def loss_and_gradients():
        with tf.GradientTape() as tape:
            logits = training(inputs, training=True)
            loss = training.compute_loss(inputs, target, logits, weight)
        gradients = tape.gradient(loss, training.trainable_variables)
        return [loss, *(tf.convert_to_tensor(each) for each in gradients if each is not None)]

    layers = [each for each in training._flatten_layers() if isinstance(each, keras.layers.Dropout)]
    with replaced((layer, "rate", 0.0) for layer in layers):
        wanted = loss_and_gradients()
        with accelerated(training, shapes_may_change=True, fused_in=fused_in):
            found = loss_and_gradients()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_answers_are_records_in_order(trained):
    task, rows = trained.task, trained.examples
    answerer = Answerer(trained.model, task, trained.tokenizer)
    together = answered(answerer, task, rows)
    alone = zip(*(answered(answerer, task, [row]) for row in rows), strict=True)
    answers = task.answers(rows, together)
    again = task.answers(rows, [each for of_function in alone for each in of_function])
    assert len(answers) == len(again) and all(map(alike, answers, again))
    metric = registry.build("metrics", task.metrics[0])
    assert metric.score([task.gold(row) for row in rows], answers) > 0.7
    evaluation = evaluate(rows, together[: len(rows)], [metric], gold=task.gold, answers=answers, settings=QUICK)
    assert evaluation.overall().value > 0.7


def test_an_answer_to_tokens_is_one_to_their_text_where_the_task_says_so(trained):
    task, texts = trained.task, texts_of(trained.examples[:2], trained.task)
    if not task.answers_tokens or len(task.readings) > 1:
        pytest.skip("its answers hold places in texts, or it reads texts in different ways")
    answerer = Answerer(trained.model, task, trained.tokenizer)

    def through_tokens(**batch):
        encoded = encode_as_tokens(batch, task, trained.tokenizer)
        return {**answerer.tokens(**{name: encoded[name] for name in INPUTS}), "truncated": encoded["truncated"]}

    # Tokens do not tell the text of a choice, which is all that `matches` holds without an index.
    found, expected = (
        [asdict(replace(each, matches=())) for each in predict(function, task, texts)]
        for function in (through_tokens, answerer.text)
    )
    assert all(map(alike, found, expected))


def test_a_text_that_is_too_long_is_flagged(trained):
    example = replace(trained.examples[0], text="gut")
    texts = texts_of([replace(example, text="gut " * 500), example], trained.task)
    answerer = Answerer(trained.model, trained.task, trained.tokenizer)
    long, short = predict(answerer.text, trained.task, texts)
    assert long.truncated
    assert not short.truncated


def test_a_row_that_cannot_be_trained_on_is_refused_before_training(trained):
    """A row without a label is refused in words, unless the task learns from texts or pairs alone."""
    task, example = trained.task, trained.examples[0]
    labels = [{name: None} for name in example.label] if task.kind == "joint" else []
    for label in (None, *labels):
        row = replace(example, label=label)
        if task.kind in ("fill_mask", "retrieval"):
            task.observe(row)
        else:
            with pytest.raises(DataError):
                task.observe(row)


def test_what_decode_gives_has_the_batch_first(trained):
    inputs, _, _ = next(iter(trained.batches.dataset(1)))
    texts = inputs["input_ids"].shape[0] // trained.task.rows_per_text
    for value in trained.task.decode(trained.model(inputs), dict(inputs)).values():
        assert value.shape[0] == texts


def test_long_texts_are_read_to_their_end(trained):
    """With a stride, what stands behind the first window changes the answer, and nothing is cut."""
    task, example = trained.task, trained.examples[0]
    if len(task.readings) > 1:
        pytest.skip("tasks that read texts in different ways have windows of their own")
    if task.training_inputs != task.text_inputs or task.spec().get("teacher"):
        task = registry.build("tasks", task.kind, max_length=24)
    told = {**task.spec(), "max_length": 24, "stride": 4}
    for part in told.get("tasks", {}).values():
        part.update(max_length=24, stride=4)
    task = registry.build("tasks", told)
    long = "second_text" if task.text_inputs == ("text", "second_text") else "text"
    rows = [replace(example, **{long: f"{'gut ' * 60}{end}"}) for end in ("schlecht <mask>", "sehr gut <mask> 很好")]
    columns = {name: tf.constant(column) for name, column in texts_of(rows, task).items()}
    encoded = encode(columns, task, trained.tokenizer)
    assert not encoded["truncated"].numpy().any()
    assert encoded["input_ids"].shape[0] > 2 * task.rows_per_text
    answer = task.decode(trained.model(task.inputs(encoded)), encoded)
    assert any(np.any(value[0].numpy() != value[1].numpy()) for value in answer.values())
