"""The record of pretrained weights: configuration, arrays that are read when asked for, and the tokenizer's files."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError

from tfxl.errors import WeightsError
from tfxl.pretrained import tensors

Shape: TypeAlias = tuple[int, ...]


class LazyArrays(Mapping[str, np.ndarray]):
    """Named float32 arrays of which only the shapes are in memory; an array is read at every access and not kept.

    Args:
        shapes: Shape by name.
        read: Returns the array of a name.
    """

    def __init__(self, shapes: Mapping[str, Shape], read: Callable[[str], np.ndarray]) -> None:
        self.shapes = dict(shapes)
        self._read = read

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Shape]:
    """Returns the shapes by name, without reading lazy arrays."""
    if isinstance(arrays, LazyArrays):
        return dict(arrays.shapes)
    return {name: tuple(array.shape) for name, array in arrays.items()}


@dataclass(frozen=True)
class Checkpoint:
    """Pretrained weights and what belongs to them.

    Attributes:
        name: Where they come from, for messages.
        config: The values of a BertConfig; `model_type` is `"bert"`.
        arrays: float32 arrays in PyTorch's names and layout (`embeddings.…`, `encoder.…`, `pooler.…`).
        tokenizer_files: Content by Hugging Face file name, such as `vocab.txt`.
        source_config: The `config.json` as it was published, which names the family and the labels; empty if unknown.
        heads: The arrays that are not the encoder's, in the names of the family's PyTorch classes.
    """

    name: str
    config: dict[str, Any]
    arrays: Mapping[str, np.ndarray]
    tokenizer_files: dict[str, bytes]
    source_config: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, np.ndarray] = field(default_factory=dict)


def write_checkpoint(folder: str | os.PathLike[str], checkpoint: Checkpoint) -> Path:
    """Writes a folder that Hugging Face libraries and `open_checkpoint` read; it appears whole or not at all.

    Args:
        folder: The folder to make; it must not exist yet, or be empty.
        checkpoint: What to write. Lazy arrays are read one at a time.

    Returns:
        The folder.

    Raises:
        WeightsError: The folder exists already.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WeightsError(
            f"{target} exists already",
            expected="a folder that does not exist yet",
            fix="Name another folder, or remove this one.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write_files(unfinished, checkpoint)
        unfinished.chmod(0o755)  # mkdtemp makes folders that nobody else can read
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    for name, content in checkpoint.tokenizer_files.items():
        _write(folder / name, content)
    _write(folder / "config.json", json.dumps(checkpoint.config, indent=2, ensure_ascii=False).encode())
    tensors.write_safetensors(folder / "model.safetensors", shapes_of(checkpoint.arrays), checkpoint.arrays)
    with suppress(OSError):  # not every file system can flush a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)  # names such as 1_Pooling/config.json
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def damage_reported(what: str | os.PathLike[str]) -> Iterator[None]:
    """Turns whatever a parser raises on a damaged file into a `WeightsError` that names the file."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, EOFError) as error:
        raise _damaged(what, error) from error
    except (struct.error, SafetensorError, MemoryError, AttributeError) as error:
        raise _damaged(what, error) from error


def _damaged(what: str | os.PathLike[str], error: BaseException) -> WeightsError:
    reason = " ".join(str(error).split())[:300]
    return WeightsError(
        f"{os.fspath(what)} cannot be read ({type(error).__name__}: {reason})",
        expected="a whole, undamaged file",
        fix="Fetch the file again and compare its size with the original's.",
    )
