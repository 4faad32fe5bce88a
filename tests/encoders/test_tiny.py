"""Tiny: the same on every machine, and able to read the scripts that tests are written in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.pretrained.checkpoints import INPUTS
from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import RecipeError
from tfxl.pretrained import families, selftest


@pytest.fixture(params=["sentencepiece", "wordpiece"])
def encoder(request):
    return Tiny(vocabulary=request.param)


def digest(model):
    extracted = families.extract(model)
    return hashlib.sha256(b"".join(extracted[name].tobytes() for name in sorted(extracted))).hexdigest()


def test_weights_depend_on_the_seed_alone():
    tf.random.set_seed(1)
    first = digest(Tiny().build())
    tf.random.set_seed(2)
    assert (digest(Tiny().build()), digest(Tiny(seed=1).build()) == first) == (first, False)


def test_more_layers_leave_the_lower_ones_as_they_are():
    two, three = (families.extract(Tiny(layers=layers).build()) for layers in (2, 3))
    assert all(np.array_equal(two[name], three[name]) for name in two)


def test_two_builds_share_no_variables():
    encoder = Tiny()
    one, two = encoder.build(), encoder.build()
    one.weights[0].assign_add(tf.ones_like(one.weights[0]))
    assert not np.array_equal(one(INPUTS), two(INPUTS))


def test_it_passes_the_self_test(encoder):
    config = encoder._config
    report = selftest.check(config, families.expected_shapes(config), encoder.tokenizer())
    assert report.remarks == ()


def test_different_texts_get_different_vectors(encoder, multilingual_texts):
    texts = multilingual_texts[:5]
    encoded = encoder.tokenizer().encode(tf.constant(texts), max_length=32)
    del encoded["truncated"]
    vectors = encoder.build()(encoded)[:, 0].numpy()
    distances = np.abs(vectors[:, None] - vectors[None]).max(-1)
    assert distances[~np.eye(5, dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("settings", [{"width": 7}, {"vocabulary": "bpe"}, {"hidden_dropout": 1.0}, {"seed": -1}])
def test_settings_are_checked(settings):
    with pytest.raises(RecipeError):
        Tiny(**settings)
