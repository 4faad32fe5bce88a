"""Attributes that hold another value for a while, as long as a function is traced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


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
