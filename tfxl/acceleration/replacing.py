"""Attributes that hold another value for a while, as long as a function is traced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tfxl.backend import keras


@contextmanager
def replaced(values: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Sets attributes inside of the block, and puts back what was there.

    Args:
        values: The owner, the name of the attribute, and its value in the block.
    """
    own: list[tuple[Any, str, Any]] = []
    inherited: list[tuple[Any, str]] = []
    try:
        for owner, name, value in values:
            if name in vars(owner):
                own.append((owner, name, getattr(owner, name)))
            else:
                inherited.append((owner, name))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, before in own:
            setattr(owner, name, before)
        for owner, name in inherited:
            delattr(owner, name)


def calls(
    model: keras.Model, forms: Mapping[type, Callable[..., Any]]
) -> Iterator[tuple[keras.layers.Layer, str, Any]]:
    """Returns for `replaced` what the layers of a model are called by in place of their own `call`.

    Args:
        model: A model that is built.
        forms: The function for each class of layers, subclasses apart: it is given the layer, its own `call`, and
            what the layer was called with.
    """
    for layer in model._flatten_layers(include_self=False):
        if type(layer) in forms:
            yield layer, "call", functools.partial(forms[type(layer)], layer, layer.call)
