"""Batches: nothing is lost, the order is a pure function of (seed, epoch), and lengths are grouped."""

import logging

import numpy as np
import pytest

from tfxl.encoders.tiny import Tiny
from tfxl.example import Example
from tfxl.tasks.classification import Classification
from tfxl.text.dataset import Batches, Rows, StaticShapes


def examples(count, languages=("en", "zh", "ar")):
    texts = {"en": "very good ", "zh": "很好", "ar": "جيد جدا "}
    return [
        Example(texts[language] * (1 + number % 9), label="ab"[number % 2], language=language, id=str(number))
        for number, language in zip(range(count), languages * count, strict=False)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return Tiny().tokenizer()


@pytest.fixture
def make_batches(tmp_path, tokenizer):
    def make(count=50, **options):
        rows = Rows.write(examples(count), tmp_path / "rows.jsonl", group=lambda example: (example.language,))
        task = Classification(labels=["a", "b"], max_length=32)
        return Batches(rows, task, tokenizer, **{"batch_size": 8, "seed": 3, **options})

    return make


def test_rows_come_back_as_they_were(tmp_path):
    written = [
        Example("e\u0301 👩‍👩‍👧 \x00\n", second_text="第二", label="a", language="zh", domain="hotel", id="1"),
        Example("", label=None),
        Example("lone surrogate \ud800"),
        Example("两 个", label=("B-X", "O"), words=("两", "个"), choices=("a", "b"), language="zh"),
    ]
    rows = Rows.write(iter(written), tmp_path / "rows", group=lambda example: (example.language,))
    assert len(rows) == 4
    assert rows[[2, 0, 1, 3]] == [written[2], written[0], written[1], written[3]]
    assert rows.counts() == {("zh",): 2, ("und",): 2}


def test_order_depends_on_seed_and_epoch_alone(make_batches):
    one, two, other = make_batches(), make_batches(), make_batches(seed=4)
    plans = [[batch.tolist() for batch in batches.plan(1)] for batches in (one, two, other)]
    assert plans[0] == plans[1] != plans[2]
    assert plans[0] != [batch.tolist() for batch in one.plan(0)]


def test_dataset_goes_on_from_any_step(make_batches):
    batches = make_batches()
    whole = list(batches.dataset(2))
    rest = list(batches.dataset(2, start_epoch=1, start_step=3))
    assert len(whole) == 2 * batches.steps_per_epoch
    for (inputs, target, _), (again, target_again, _) in zip(whole[-len(rest) :], rest, strict=True):
        np.testing.assert_array_equal(inputs["input_ids"], again["input_ids"])
        np.testing.assert_array_equal(target, target_again)


def test_dropping_the_dataset_waits_for_no_thread_that_tunes(make_batches):
    assert make_batches().dataset(1).options().autotune.enabled is False


def test_trainings_of_one_process_measure_without_a_warning(make_batches, monkeypatch):
    said = []
    monkeypatch.setattr(logging.getLogger("tensorflow"), "handlers", [Said(said)])
    for _ in range(8):
        make_batches(count=5)
    assert said == []


class Said(logging.Handler):
    """Keeps the messages that TensorFlow logs."""

    def __init__(self, messages):
        super().__init__()
        self.messages = messages

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_static_shapes_are_few_and_extra_rows_weigh_nothing(make_batches):
    batches = make_batches(count=21, static=StaticShapes((8, 16, 32)))
    found = list(batches.dataset(1))
    assert {tuple(inputs["input_ids"].shape) for inputs, _, _ in found} <= {(8, 8), (8, 16), (8, 32)}
    weights = sorted((np.asarray(weight) for _, _, weight in found), key=np.count_nonzero)
    assert [np.count_nonzero(weight) for weight in weights] == [5, 8, 8]
    # The loss of a batch is divided by all of its rows.
    np.testing.assert_allclose([weight.sum() for weight in weights], 8, rtol=1e-6)
    np.testing.assert_allclose(weights[0][:5], 8 / 5, rtol=1e-6)
