"""Settings of TensorFlow's graph optimizer, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tfxl.backend import tf

DEFAULTS = {"remapping": True}
"""What TensorFlow does without being told, where that is not False."""


@contextmanager
def graph_options(**options: bool) -> Iterator[None]:
    """Sets options of the graph optimizer for functions that are traced inside, and puts back what was set.

    Args:
        options: As `tf.config.optimizer.set_experimental_options` names them.
    """
    before = {**DEFAULTS, **tf.config.optimizer.get_experimental_options()}
    try:
        tf.config.optimizer.set_experimental_options(options)
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before.get(name, False) for name in options})
