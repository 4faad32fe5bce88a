"""A random BERT of a few thousand weights, as a record and in the layouts in which libraries write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tfxl.encoders.tiny import Tiny
from tfxl.pretrained.checkpoint import Checkpoint
from tfxl.pretrained.families import expected_shapes

FILES = {name: content for name, content in Tiny().files().items() if name != "config.json"}
CONFIG: dict[str, Any] = {**json.loads(Tiny().files()["config.json"]), "max_position_embeddings": 40}
INPUTS = {
    "input_ids": np.array([[0, 17, 90, 4, 2], [0, 8, 2, 1, 1]], np.int32),
    "token_type_ids": np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], np.int32),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
}


def arrays(seed: int = 0, *, pooler: bool = True) -> dict[str, np.ndarray]:
    """Random arrays of the shapes that CONFIG asks for."""
    generator = np.random.default_rng(seed)
    shapes = expected_shapes(CONFIG, pooler=pooler)
    return {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def checkpoint(seed: int = 0) -> Checkpoint:
    """The record of a random BERT."""
    return Checkpoint("random", dict(CONFIG), arrays(seed), dict(FILES))


def write_folder(folder: Path, tensors: dict[str, Any] | None, **config: Any) -> Path:
    """Writes config.json, the tokenizer's files and, unless None, model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}), encoding="utf-8")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_shards(folder: Path, tensors: dict[str, Any]) -> Path:
    """Writes two shards and their index."""
    write_folder(folder, None)
    names = sorted(tensors)
    places = {name: f"model-0000{1 + (name > names[9])}-of-00002.safetensors" for name in names}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == file}, folder / file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def same(found: Any, wanted: dict[str, np.ndarray]) -> bool:
    """Whether two sets of arrays are equal, bit for bit."""
    return set(found) == set(wanted) and all(np.array_equal(found[name], wanted[name]) for name in wanted)
