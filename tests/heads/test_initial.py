"""How new heads start: as those of PyTorch's classes."""

from __future__ import annotations

import numpy as np

from tfxl.heads._initial import new_weights


def test_new_weights_are_normal_and_not_cut():
    drawn = np.asarray(new_weights()([300, 400])) / 0.02
    assert abs(drawn.std() - 1) < 0.01
    assert 0.04 < np.mean(np.abs(drawn) > 2) < 0.05  # 4.55 % of a normal distribution; none of a truncated one
