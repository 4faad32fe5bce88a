"""Forms of an encoder's layers that train on the same numbers in less time, put in place while a step is traced."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tfxl.acceleration import dropout, elementwise, fused, unpadded
from tfxl.acceleration.graph import graph_options
from tfxl.backend import keras, tf


@contextmanager
def accelerated(model: keras.Model, *, shapes_may_change: bool, fused_in: tf.DType | None = None) -> Iterator[None]:
    """Lets a model's layers compute by the forms of this package in functions that are traced inside.

    Answers, which are computed outside of training, stay as they are served.

    Args:
        model: A model that is built.
        shapes_may_change: Whether the shapes of a step may follow the tokens of each batch, as `unpadded` needs it:
            on processors. There a product and its bias are two operations as well; as the one that the graph optimizer
            makes of them ("remapping"), a product whose matrix changes at every step takes up to twice as long.
        fused_in: The type in which the layers of `fused` multiply; None leaves them out.
    """
    with ExitStack() as forms:
        if fused_in is not None:
            forms.enter_context(fused.fused_layers(model, fused_in))
        forms.enter_context(dropout.cheap_masks(model))
        forms.enter_context(elementwise.short_gradients(model))
        if shapes_may_change:
            project = unpadded.project if fused_in is None else functools.partial(fused.project, fused_in)
            forms.enter_context(unpadded.without_padding(model, project))
            forms.enter_context(graph_options(remapping=False))
        yield
