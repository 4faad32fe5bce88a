"""What every head keeps: the shape that was asked for, padding without influence, float32 logits."""

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import keras

VARIANTS = [
    *((kind, {}) for kind in registry.names("heads")),
    ("pooled", {"pooling": "first", "transform": "tanh"}),
    ("pooled", {"pooling": "max", "transform": "gelu", "dropout": 0.0}),
]
HIDDEN = np.random.default_rng(0).normal(size=(4, 7, 8)).astype(np.float32)
MASK = (np.arange(7) < np.array([[7], [3], [1], [5]])).astype(np.int32)


@pytest.fixture(params=VARIANTS, ids=str)
def head(request):
    kind, settings = request.param
    return registry.find("heads", kind)(**settings)


def test_settings_round_trip(head):
    assert registry.build("heads", head.spec()).settings == head.settings


def test_logits_have_the_units_and_do_not_see_padding(head):
    layer = head.layer(3)
    logits = layer(HIDDEN, MASK)
    assert logits.shape[0] == 4
    assert logits.shape[-1] == 3
    noise = HIDDEN + (1 - MASK[..., None]) * 100.0
    np.testing.assert_allclose(layer(noise, MASK), logits, rtol=1e-5, atol=1e-6)


def test_logits_are_float32_under_mixed_precision(head):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert head.layer(2)(HIDDEN, MASK).dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_dropout_is_off_outside_training(head):
    layer = head.layer(2)
    np.testing.assert_array_equal(layer(HIDDEN, MASK), layer(HIDDEN, MASK))
