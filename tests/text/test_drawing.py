"""Epochs are drawn by shares, favour no row, and are cut by length without loss."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.text.drawing import cut, draw


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
    batches = cut(order, lengths, batch_size=16, sorted_batches=50, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(1003))
    real = sum(lengths[batch].sum() for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert real / padded > 0.9


def test_fewer_batches_sorted_together_mix_rows_anew():
    lengths = np.random.default_rng(0).integers(2, 60, size=800)

    def companions(epoch, sorted_batches):
        order = np.random.default_rng(epoch).permutation(800)
        batches = cut(order, lengths, batch_size=16, sorted_batches=sorted_batches, seed=0, epoch=epoch)
        return {frozenset((one, other)) for batch in batches for one in batch for other in batch if one < other}

    met_again = [len(companions(0, number) & companions(1, number)) for number in (50, 8)]
    assert met_again[1] < met_again[0] / 2
