"""Pooling against plain NumPy."""

import numpy as np
import pytest

from tfxl.layers.pooling import Pooling

HIDDEN = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], np.int32)
ROWS = [HIDDEN[row, : MASK[row].sum()] for row in range(3)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", [row.mean(0) for row in ROWS]),
        ("first", [row[0] for row in ROWS]),
        ("max", [row.max(0) for row in ROWS]),
    ],
)
def test_pooling_looks_at_real_tokens_only(kind, expected):
    np.testing.assert_allclose(Pooling(kind)(HIDDEN, MASK), expected, rtol=1e-6)


def test_pooling_of_no_tokens_is_finite():
    for kind in ("mean", "first", "max"):
        assert np.isfinite(Pooling(kind)(HIDDEN, np.zeros_like(MASK))).all()


def test_pooling_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="mean, first, max"):
        Pooling("median")
