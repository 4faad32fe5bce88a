"""How sure a score is: bootstrap intervals, and tests for two models that answered the same rows.

Everything works on a metric's statistics, `[rows, numbers]`. Rows with equal statistics are interchangeable, so they
are counted once and drawn by a multinomial: the same distribution as drawing row by row, and much faster.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tfxl.metrics import Metric

Seed = int | Sequence[int]

MEMORY = 4_000_000
"""Weights (samples x distinct rows) that are held at once; larger draws are made in parts."""


def bootstrap(metric: Metric, statistics: np.ndarray, *, samples: int = 1000, seed: Seed = 0) -> np.ndarray:
    """Returns the scores `[samples]` of rows drawn with replacement (Efron 1979).

    Args:
        metric: What is measured.
        statistics: `[rows, numbers]`, what the metric's `statistics` gave.
        samples: How often rows are drawn.
        seed: The same seed gives the same draws.
    """
    return metric.value(resampled_sums(statistics, samples=samples, seed=seed))


def interval(values: np.ndarray, *, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of bootstrap scores; nan if none is defined.

    Args:
        values: `[samples]`.
        confidence: The share of samples inside the interval.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def mean_of_draws(draws: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the means `[samples]` of several groups' draws; a group counts in the draws that leave it defined.

    Args:
        draws: `[samples]` of each group.
    """
    values = np.stack(draws)
    is_defined = ~np.isnan(values)
    total, number = np.where(is_defined, values, 0).sum(axis=0), is_defined.sum(axis=0)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def paired_bootstrap(
    metric: Metric, first: np.ndarray, second: np.ndarray, *, samples: int = 1000, seed: Seed = 0
) -> np.ndarray:
    """Returns the differences `[samples]`, second minus first, over rows drawn together for both models.

    Args:
        metric: What is measured.
        first: `[rows, numbers]` statistics of one model.
        second: `[rows, numbers]` statistics of the other on the same rows.
        samples: How often rows are drawn.
        seed: The same seed gives the same draws.
    """
    sums = resampled_sums(np.concatenate([first, second], axis=1), samples=samples, seed=seed)
    before, after = np.split(sums, 2, axis=1)
    return metric.value(after) - metric.value(before)


def permutation_differences(
    metric: Metric, first: np.ndarray, second: np.ndarray, *, samples: int = 10_000, seed: Seed = 0
) -> np.ndarray:
    """Returns differences `[samples]` as they would be if the models were alike: each row's answers swapped at random.

    Args:
        metric: What is measured.
        first: `[rows, numbers]` statistics of one model, in the same columns as `second`.
        second: `[rows, numbers]` statistics of the other on the same rows.
        samples: How often rows are swapped.
        seed: The same seed gives the same draws.
    """
    changes, counts = _distinct(second - first)
    generator = np.random.default_rng(seed)
    swaps = (generator.binomial(counts, 0.5, size=(size, len(counts))) for size in _parts(samples, len(counts)))
    moved = np.concatenate([part @ changes for part in swaps])
    return metric.value(second.sum(axis=0) - moved) - metric.value(first.sum(axis=0) + moved)


def permutation_test(
    metric: Metric, first: np.ndarray, second: np.ndarray, *, samples: int = 10_000, seed: Seed = 0
) -> float:
    """Returns the two-sided p-value of the difference of two models (paired approximate randomisation, Noreen 1989).

    Exact, over all swaps, where these are at most `samples`; nan where the difference is not defined.

    Args:
        metric: What is measured.
        first: `[rows, numbers]` statistics of one model, in the same columns as `second`.
        second: `[rows, numbers]` statistics of the other on the same rows.
        samples: How often rows are swapped.
        seed: The same seed gives the same draws.
    """
    observed = float(metric.value(second.sum(axis=0)) - metric.value(first.sum(axis=0)))
    if np.isnan(observed):
        return float("nan")
    changes = (second - first)[np.any(first != second, axis=1)]
    if 2 ** min(len(changes), 60) > samples:
        drawn = permutation_differences(metric, first, second, samples=samples, seed=seed)
        return p_value(observed, drawn)
    swaps = np.array(list(itertools.product((0, 1), repeat=len(changes))), dtype=float)
    moved = swaps @ changes
    differences = metric.value(second.sum(axis=0) - moved) - metric.value(first.sum(axis=0) + moved)
    return float(np.mean(_as_large(differences, observed)))


def p_value(observed: float, drawn: np.ndarray) -> float:
    """Returns the share of drawn differences at least as large as the observed one, which counts as one of them.

    Args:
        observed: The difference of the two models; where it is nan, so is the p-value.
        drawn: `[samples]` differences under the hypothesis that the models are alike.
    """
    if np.isnan(observed):
        return float("nan")
    return float((np.sum(_as_large(drawn, observed)) + 1) / (len(drawn) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for testing several hypotheses at once (Holm 1979), in the order given.

    One that is nan belongs to no test: it stays nan, and the others are corrected as if it were not there.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")[: np.sum(~np.isnan(values))]  # nan is sorted to the end
    factors = len(order) - np.arange(len(order))
    corrected = np.full_like(values, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected.tolist()


def _as_large(differences: np.ndarray, observed: float) -> np.ndarray:
    # Sums in another order differ in the last bits, and must still count as equal; nan must not count as evidence.
    return ~(np.abs(differences) < abs(observed) - 1e-12)


def resampled_sums(statistics: np.ndarray, *, samples: int, seed: Seed) -> np.ndarray:
    """Returns sums `[samples, numbers]` of rows drawn with replacement.

    Args:
        statistics: `[rows, numbers]`.
        samples: How often rows are drawn.
        seed: The same seed gives the same draws.
    """
    rows, counts = _distinct(statistics)
    total = int(counts.sum())
    if not total or not samples:
        return np.zeros((samples, statistics.shape[1]))
    generator, shares = np.random.default_rng(seed), counts / total
    return np.concatenate(
        [generator.multinomial(total, shares, size=size) @ rows for size in _parts(samples, len(rows))]
    )


def _distinct(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows that differ from each other and how often each occurs."""
    rows = np.ascontiguousarray(statistics, dtype=float)
    if not rows.size:
        return rows, np.ones(len(rows), dtype=int)
    # Comparing rows as bytes is several times faster than comparing their numbers one after another.
    _, index, counts = np.unique(
        rows.view(np.dtype((np.void, rows.strides[0]))).ravel(), return_index=True, return_counts=True
    )
    return rows[index], counts


def _parts(samples: int, width: int) -> Iterator[int]:
    size = max(1, MEMORY // max(width, 1))
    while samples > 0:
        yield min(size, samples)
        samples -= size
