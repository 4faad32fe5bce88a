"""The 4-bit file, on a small one that is written here byte by byte."""

from __future__ import annotations

import contextlib
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfxl.errors import WeightsError
from tfxl.pretrained import quantised
from tfxl.pretrained.quantised import dequantise, read_quantised

HIDDEN, LAYERS, HEADS, INNER, ROWS, POSITIONS, TYPES = SIZES = (32, 2, 4, 64, 10, 6, 2)
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "ß", "한국", "<mask>"]
SHAPES = {
    "emb.word": (ROWS, HIDDEN),
    "emb.pos": (POSITIONS, HIDDEN),
    "emb.type": (TYPES, HIDDEN),
    "emb.ln.w": (HIDDEN,),
    "emb.ln.b": (HIDDEN,),
}
for layer in range(LAYERS):
    for part, width_out, width_in in [("q", 32, 32), ("k", 32, 32), ("v", 32, 32), ("ao", 32, 32)]:
        SHAPES |= {f"l{layer}.{part}.w": (width_out, width_in), f"l{layer}.{part}.b": (width_out,)}
    SHAPES |= {f"l{layer}.aln.w": (32,), f"l{layer}.aln.b": (32,)}
    SHAPES |= {f"l{layer}.fi.w": (64, 32), f"l{layer}.fi.b": (64,), f"l{layer}.fo.w": (32, 64), f"l{layer}.fo.b": (32,)}
    SHAPES |= {f"l{layer}.oln.w": (32,), f"l{layer}.oln.b": (32,)}


def is_four_bits(name):
    return name == "emb.word" or (len(SHAPES[name]) == 2 and not name.startswith("emb"))


def quantise(matrix):
    """Blocks of 32 weights, written with loops so that it shares nothing with the reader."""
    content = b""
    for block in matrix.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7 or 1)
        halves = [int(np.clip(round(float(weight / scale)), -8, 7)) + 8 for weight in block]
        content += scale.tobytes() + bytes(halves[j] | halves[j + 16] << 4 for j in range(16))
    return content


@pytest.fixture(scope="module")
def content():
    generator = np.random.default_rng(0)
    text = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, text)]).astype("<u4")
    blob = b"".join(text)
    start = b"E5S1" + struct.pack("<I7ifi", 1, *SIZES, 1e-12, 32)
    start += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + offsets.tobytes()
    start += np.arange(len(PIECES), dtype="<f4").tobytes() + blob
    start += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xAA, 1, 0x61) + struct.pack("<i", len(SHAPES))
    data = {}
    for name, shape in SHAPES.items():
        array = generator.normal(size=shape).astype("<f4")
        data[name] = quantise(array) if is_four_bits(name) else array.tobytes()
    place = -(-(len(start) + sum(2 + len(name) + 21 for name in SHAPES)) // 64) * 64
    end = b""
    for name, shape in SHAPES.items():
        start += struct.pack("<H", len(name)) + name.encode()
        start += struct.pack("<BIQQ", is_four_bits(name), math.prod(shape), place + len(end), len(data[name]))
        end += data[name] + b"\0" * (-len(data[name]) % 64)
    return start + b"\0" * (place - len(start)) + end


@pytest.fixture
def path(content, tmp_path):
    (tmp_path / "q4.bin").write_bytes(content)
    return tmp_path / "q4.bin"


def test_header_vocabulary_and_shapes(path):
    file = read_quantised(path)
    assert file.config["layer_norm_eps"] == 1e-12
    assert (file.config["hidden_size"], file.config["vocab_size"], file.config["num_hidden_layers"]) == (32, 10, 2)
    assert (file.pieces, file.scores.tolist()) == (PIECES, list(range(8)))
    assert file.arrays.shapes["encoder.layer.1.intermediate.dense.weight"] == (64, 32)
    assert all(array.shape == file.arrays.shapes[name] for name, array in file.arrays.items())


def test_values(path):
    arrays, generator = read_quantised(path).arrays, np.random.default_rng(0)
    for name, shape in SHAPES.items():
        wanted = generator.normal(size=shape).astype(np.float32)
        found = arrays[quantised.torch_name(name)]
        assert np.abs(found - wanted).max() <= (0.4 if is_four_bits(name) else 0), name


def test_blocks_are_dequantised_exactly():
    generator = np.random.default_rng(1)
    halves = generator.integers(0, 16, (5, 2, 32))
    scales = generator.normal(size=(5, 2)).astype(np.float16)  # half of them negative
    raw = b"".join(
        scales[i, j].tobytes() + bytes(int(halves[i, j, k] | halves[i, j, k + 16] << 4) for k in range(16))
        for i in range(5)
        for j in range(2)
    )
    wanted = ((halves - 8) * scales.astype(np.float32)[..., None]).reshape(5, 64)
    assert np.array_equal(dequantise(np.frombuffer(raw, np.uint8), (5, 64)), wanted)


def test_reading_in_parts_changes_nothing(path, monkeypatch):
    whole = dict(read_quantised(path).arrays)
    monkeypatch.setattr(quantised, "ROWS_AT_ONCE", 3)
    assert all(np.array_equal(array, whole[name]) for name, array in read_quantised(path).arrays.items())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_ends_in_a_weights_error(content, tmp_path, data):
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, 2500))] ^= data.draw(st.integers(1, 255))
    damaged = damaged[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    (tmp_path / "damaged.bin").write_bytes(bytes(damaged))
    with contextlib.suppress(WeightsError):
        dict(read_quantised(tmp_path / "damaged.bin").arrays)


@pytest.mark.parametrize("name", ["emb.word.w.x", "q.w", "l0.q.z", "lx.q.w", "", "emb.pos.w.w"])
def test_unknown_tensors_are_refused(name):
    with pytest.raises((KeyError, ValueError)):
        quantised.torch_name(name)
