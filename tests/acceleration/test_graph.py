"""Options of the graph optimizer: as they are asked for inside of the block, as before after it."""

from __future__ import annotations

import pytest

from tfxl.acceleration import accelerated
from tfxl.acceleration.graph import graph_options
from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny


def options():
    return tf.config.optimizer.get_experimental_options()


@pytest.mark.parametrize("before", [True, False])
def test_options_are_put_back_even_after_an_error(before):
    with graph_options(remapping=before):
        with pytest.raises(ZeroDivisionError), graph_options(remapping=not before, constant_folding=True):
            assert options()["remapping"] is not before
            raise ZeroDivisionError
        assert options()["remapping"] is before


def test_products_and_biases_stay_apart_only_while_a_model_is_accelerated():
    model = Tiny(layers=1).build()
    assert options().get("remapping", True)
    with accelerated(model, shapes_may_change=True):
        assert not options()["remapping"]
    assert options()["remapping"]
    with accelerated(model, shapes_may_change=False):
        assert options()["remapping"]
