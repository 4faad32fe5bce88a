"""Batches: nothing is lost, the order is a pure function of (seed, epoch), and lengths are grouped."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.encoders.tiny import Tiny
from tfxl.example import Example
from tfxl.tasks.classification import Classification
from tfxl.text.dataset import Batches, Rows, StaticShapes, cut, draw


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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=80),
    st.lists(st.floats(0.05, 1), min_size=4, max_size=4),
    st.integers(0, 5),
)
def test_an_epoch_has_as_many_rows_as_there_are_and_none_is_favoured(groups, shares, epochs):
    groups = np.array([*groups, 0, 1, 2, 3])
    shares = np.array(shares) / sum(shares)
    drawn = [draw(groups, shares, seed=1, epoch=epoch) for epoch in range(epochs + 1)]
    assert all(len(epoch) == len(groups) for epoch in drawn)
    times = np.bincount(np.concatenate(drawn), minlength=len(groups))
    for group in range(4):
        of_group = times[groups == group]
        assert of_group.max() - of_group.min() <= 1


def test_natural_shares_read_every_row_once_an_epoch():
    groups = np.array([0] * 7 + [1] * 30 + [2] * 3)
    order = draw(groups, np.bincount(groups) / 40, seed=0, epoch=4)
    assert sorted(order) == list(range(40))


def test_shares_are_kept():
    groups = np.array([0] * 90 + [1] * 10)
    order = draw(groups, np.array([0.5, 0.5]), seed=0, epoch=0)
    assert Counter(groups[order].tolist()) == {0: 50, 1: 50}


def test_cut_groups_lengths_and_loses_nothing():
    lengths = np.random.default_rng(0).integers(2, 100, size=1003)
    order = np.random.default_rng(1).permutation(1003)
    batches = cut(order, lengths, batch_size=16, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(1003))
    real = sum(lengths[batch].sum() for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert real / padded > 0.9


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


def test_static_shapes_are_few_and_extra_rows_weigh_nothing(make_batches):
    batches = make_batches(count=21, static=StaticShapes((8, 16, 32)))
    found = list(batches.dataset(1))
    assert {tuple(inputs["input_ids"].shape) for inputs, _, _ in found} <= {(8, 8), (8, 16), (8, 32)}
    weights = sorted((np.asarray(weight) for _, _, weight in found), key=np.count_nonzero)
    assert [np.count_nonzero(weight) for weight in weights] == [5, 8, 8]
    # The loss of a batch is divided by all of its rows.
    np.testing.assert_allclose([weight.sum() for weight in weights], 8, rtol=1e-6)
    np.testing.assert_allclose(weights[0][:5], 8 / 5, rtol=1e-6)
