"""Memory: what is free goes back to the system where a step needs the room."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable

from tfxl.backend import tf


def give_back() -> None:
    """Frees what nobody holds any more, and gives free memory back to the system.

    Keras models hold themselves, so they go only when Python looks for cycles; glibc keeps freed blocks for the next
    request. Other C libraries than glibc have no `malloc_trim`; there only the first is done.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def release(variables: Iterable[tf.Variable]) -> None:
    """Frees the memory of variables, whoever holds them: they are empty from then on."""
    for variable in variables:
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tf.zeros([0], variable.dtype))
    give_back()
