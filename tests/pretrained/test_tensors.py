"""Files of tensors: alignment, and what is left out."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from tfxl.pretrained import tensors


def test_an_array_is_the_memory_of_its_tensor():
    for shape in [(3, 5), (), (1,), (0, 4), (7, 384)]:
        array = tensors.tensor_array(shape)
        array[...] = 3
        assert array.shape == tuple(array.tensor.shape) == shape
        np.testing.assert_array_equal(array.tensor.numpy(), np.full(shape, 3, np.float32))
        assert array[...].tensor is None and array.T.tensor is None, "a view is not the whole tensor"


def test_integers_are_left_out_and_scalars_are_read(tmp_path):
    save_file({"position_ids": np.arange(4), "scale": np.array(3.5, np.float32)}, tmp_path / "x.safetensors")
    found = tensors.read_safetensors(tmp_path / "x.safetensors")
    assert list(found) == ["scale"]
    shape, read = found["scale"]
    assert (shape, float(read())) == ((), 3.5)


def test_data_begin_at_a_multiple_of_the_alignment(tmp_path):
    for name in ("a", "ab", "a" * 61):
        tensors.write_safetensors(tmp_path / "x.safetensors", {name: (2, 3)}, {name: np.ones((2, 3), np.float32)})
        header = int.from_bytes((tmp_path / "x.safetensors").read_bytes()[:8], "little")
        assert (8 + header) % tensors.ALIGNMENT == 0
