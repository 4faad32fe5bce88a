"""Files of tensors, read as float32 and one at a time: safetensors, HDF5, PyTorch's own; and safetensors written."""

from __future__ import annotations

import ctypes
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import h5py
import ml_dtypes
import numpy as np
from safetensors import safe_open

from tfxl.backend import tf

FLOATS: dict[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
ALIGNMENT = 64
"""Data in a safetensors file that is written here start at a multiple of so many bytes."""

TORCH = (2, 6)
"""The first PyTorch whose `weights_only` holds."""

Reader = Callable[[], np.ndarray]


def read_safetensors(path: Path) -> dict[str, tuple[tuple[int, ...], Reader]]:
    """Returns shape and reader by name; tensors that are not floating point are left out.

    The library checks the header against the file. The data are read with plain file reads, because pages of a memory
    map count as memory of the process.
    """
    with safe_open(path, framework="np"):
        pass
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    found: dict[str, tuple[tuple[int, ...], Reader]] = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in FLOATS:
            shape, start = tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
            found[name] = (shape, _safetensor(path, start, shape, FLOATS[entry["dtype"]]))
    return found


def _safetensor(path: Path, start: int, shape: tuple[int, ...], dtype: Any) -> Reader:
    def read() -> np.ndarray:
        array = tensor_array(shape) if dtype is np.float32 else np.empty(shape, dtype)
        with path.open("rb") as file:
            file.seek(start)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise EOFError(f"{path.name} ends too early")
        return array.astype(np.float32, copy=False)

    return read


class TensorArray(np.ndarray):
    """A float32 array in the memory of `tensor`; get one from `tensor_array`. Views of it have no `tensor`."""

    tensor: tf.Tensor | None = None


def tensor_array(shape: tuple[int, ...]) -> TensorArray:
    """Returns an array, not filled, whose `tensor` is the same memory, so that a variable can start from it as it is.

    Where a variable takes over memory that is not TensorFlow's own, the first look-up of a row copies the whole table.
    Whoever hands on the tensor must let go of the array: an update of the variable would change it.
    """
    with tf.init_scope(), tf.device("CPU"):
        tensor = tf.raw_ops.Empty(shape=shape, dtype=tf.float32)
    address = np.asarray(memoryview(tensor)).ctypes.data
    memory = (ctypes.c_char * (4 * math.prod(shape))).from_address(address)
    array = TensorArray(shape, np.float32, buffer=memoryview(memory))
    array.tensor = tensor
    return array


def read_hdf5(path: Path) -> dict[str, tuple[tuple[int, ...], Reader]]:
    """Returns shape and reader by name of the floating-point tensors in the HDF5 file itself.

    Data that the file claims to keep in other files are refused: such a file could read any file of the machine.
    """
    found: dict[str, tuple[tuple[int, ...], Reader]] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
            return
        if item.external or item.is_virtual:
            raise ValueError(f"{name} keeps its data in another file")
        if not isinstance(name, str):  # h5py gives names that are no UTF-8 as bytes
            raise ValueError(f"{name!r} is no name of a tensor")
        found[name] = (tuple(item.shape), _hdf5(path, name))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _hdf5(path: Path, name: str) -> Reader:
    def read() -> np.ndarray:
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][()], np.float32)

    return read


def reads_torch() -> bool:
    """Whether a PyTorch is installed whose loader can be held to tensors; before 2.6 it could be tricked."""
    try:
        major, minor = (int(part) for part in metadata.version("torch").split(".")[:2])
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return (major, minor) >= TORCH


def read_torch(path: Path) -> dict[str, tuple[tuple[int, ...], Reader]]:
    """Returns shape and reader by name of the tensors in a file that `torch.save` wrote.

    Such a file is a program for Python's unpickler. Only PyTorch's own reader with `weights_only` reads it here, which
    makes tensors and containers of them and refuses everything else.
    """
    import torch

    is_archive = zipfile.is_zipfile(path)  # what is older than PyTorch 1.6 cannot be mapped into memory
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except UnpicklingError as error:
        raise ValueError(f"it holds more than tensors, which is not read: {error}") from None
    if not isinstance(state, Mapping):
        raise TypeError(f"it holds a {type(state).__name__}, not tensors by name")
    return {
        str(name): (tuple(value.shape), _torch_tensor(value))
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }


def _torch_tensor(tensor: Any) -> Reader:
    def read() -> np.ndarray:
        array = tensor_array(tuple(tensor.shape))
        array[...] = tensor.detach().float().numpy()  # a copy: the tensor may be a map of the file
        return array

    return read


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes float32 arrays; the library's own writer would hold two copies of all of them."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            array = np.ascontiguousarray(arrays[name], "<f4")
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, not {shape}")
            file.write(array.data)
        file.flush()
        os.fsync(file.fileno())
