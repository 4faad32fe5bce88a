"""Which rows an epoch has, in which order, and how they are cut into batches."""

from __future__ import annotations

import numpy as np


def draw(groups: np.ndarray, shares: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """Returns the rows of one epoch, `[rows]` int64: as many as there are, each group with its share.

    A group is read in shuffled rounds that go on from epoch to epoch, so that no row is drawn twice before every row of
    its group was drawn once.

    Args:
        groups: `[rows]` the group of each row.
        shares: `[groups]` the share of each group; they add up to 1.
        seed: The run's seed.
        epoch: Counted from 0.
    """
    drawn = [
        _rounds(np.flatnonzero(groups == group), start=epoch * count, count=count, seed=(seed, group))
        for group, count in enumerate(_whole(shares * len(groups)))
    ]
    return np.random.default_rng((seed, 1, epoch)).permutation(np.concatenate(drawn))


def _whole(parts: np.ndarray) -> np.ndarray:
    """Rounds to whole numbers with the same sum (largest remainder), at least 1 each where there is room."""
    total = round(parts.sum())
    whole = np.floor(parts).astype(int)
    if total >= len(parts):
        whole = np.maximum(whole, 1)
    remainder = total - whole.sum()
    order = np.argsort(whole - parts, kind="stable")
    if remainder >= 0:
        whole[order[:remainder]] += 1
    else:  # the minimum of 1 gave out too many: take them back where there is most
        for _ in range(-remainder):
            whole[np.argmax(whole)] -= 1
    return whole


def _rounds(members: np.ndarray, *, start: int, count: int, seed: tuple[int, int]) -> np.ndarray:
    size, parts = len(members), []
    for number in range(start // size, (start + count - 1) // size + 1):
        shuffled = np.random.default_rng((*seed, 0, number)).permutation(members)
        parts.append(shuffled[max(start - number * size, 0) : start + count - number * size])
    return np.concatenate(parts)


def cut(
    order: np.ndarray,
    lengths: np.ndarray,
    *,
    batch_size: int,
    sorted_batches: int,
    seed: int,
    epoch: int,
    kinds: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Cuts an epoch's rows into batches of one kind and of similar length, in shuffled order.

    Args:
        order: `[rows]` the rows in the order in which they were drawn.
        lengths: The number of tokens of every row there is.
        batch_size: Rows a batch; the last batch may have fewer.
        sorted_batches: Batches of rows that are sorted by length together.
        seed: The run's seed.
        epoch: Counted from 0.
        kinds: The kind of every row there is; all are of one kind if None.
    """
    parts = [order] if kinds is None else [order[kinds[order] == kind] for kind in np.unique(kinds[order])]
    pool = batch_size * sorted_batches
    batches: list[np.ndarray] = []
    for part in parts:
        pools = [part[start : start + pool] for start in range(0, len(part), pool)]
        by_length = np.concatenate([each[np.argsort(lengths[each], kind="stable")] for each in pools])
        batches += [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]
    return [batches[index] for index in np.random.default_rng((seed, 2, epoch)).permutation(len(batches))]
