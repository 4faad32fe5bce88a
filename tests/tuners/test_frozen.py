"""What freezing leaves to train."""

from __future__ import annotations

import pytest

from tfxl.encoders import blocks
from tfxl.encoders.tiny import Tiny
from tfxl.errors import RecipeError
from tfxl.tuners.frozen import Frozen


def trained(**settings):
    encoder = Frozen(**settings).adapt(Tiny().build())
    embeddings, layers = blocks(encoder)
    return bool(embeddings.trainable_variables), [bool(layer.trainable_variables) for layer in layers]


def test_embeddings_are_frozen_by_default():
    assert trained() == (False, [True, True])


def test_lowest_layers_are_frozen():
    assert trained(layers=1) == (False, [False, True])


def test_nothing_needs_to_be_frozen():
    assert trained(embeddings=False) == (True, [True, True])


def test_more_layers_than_there_are_is_refused():
    with pytest.raises(RecipeError, match="an encoder of 2 layers"):
        trained(layers=3)
