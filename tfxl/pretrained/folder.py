"""Opens a folder as Hugging Face libraries write it: `config.json`, weights, the tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tfxl.errors import WeightsError
from tfxl.pretrained import families, layout, tensors
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, Shape, damage_reported
from tfxl.pretrained.configuration import as_bert, parse_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
)
WEIGHTS_FILES = ("model.safetensors", "tf_model.h5")
PICKLE = "pytorch_model.bin"

READERS = {
    ".safetensors": tensors.read_safetensors,
    ".h5": tensors.read_hdf5,
    ".bin": tensors.read_torch,
}

Found: TypeAlias = dict[str, tuple[Shape, Callable[[], np.ndarray]]]


def open_folder(folder: Path) -> Checkpoint:
    """Returns the checkpoint in a folder, of any of the `FAMILIES`.

    Weights are read from safetensors (PyTorch's or TensorFlow's names, whole or in shards), else from `tf_model.h5`,
    else, if PyTorch is installed, from `pytorch_model.bin` through its loader that reads nothing but tensors. Half
    precision becomes float32. Pickle files are never opened otherwise.

    Raises:
        WeightsError: A file is missing or damaged, or the tensors are not those that `config.json` asks for.
    """
    where = str(folder)
    values = parse_json(_read(folder, "config.json"), where=f"{where}/config.json")
    family = families.find_family(values.get("model_type"), where=f"{where}/config.json")
    config = as_bert(values, family, where=f"{where}/config.json")
    first = layout.first_position(values, family)
    encoder, heads = layout.split(read_tensors(folder), family, first=first, where=where)
    families.check_shapes(config, encoder.shapes, where=where)
    files = {name: _read(folder, name) for name in TOKENIZER_FILES if (folder / name).is_file()}
    return Checkpoint(where, config, encoder, _with_class(files, values["model_type"]), values, heads)


def _with_class(files: dict[str, bytes], model_type: str) -> dict[str, bytes]:
    """Says in `tokenizer_config.json` how a SentencePiece model's pieces are numbered, where only the family tells."""
    config = parse_json(files.get("tokenizer_config.json", b"{}"), where="tokenizer_config.json")
    if "sentencepiece.bpe.model" not in files or config.get("tokenizer_class") or model_type != "camembert":
        return files
    return {**files, "tokenizer_config.json": json.dumps({**config, "tokenizer_class": "CamembertTokenizer"}).encode()}


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise WeightsError(
            f"{folder} has no {name}",
            expected=f"a folder with {name}, {' or '.join(WEIGHTS_FILES)}, and the tokenizer's files",
            fix="Name the folder that save_pretrained wrote, or one that was downloaded whole.",
        )
    with damage_reported(path):
        return path.read_bytes()


def read_tensors(folder: Path) -> LazyArrays:
    """Returns every tensor in the files of a folder, under the names that it has there."""
    found: Found = {}
    for path in _weights_paths(folder):
        with damage_reported(path):
            part = READERS[path.suffix](path)
        found.update({name: (shape, _guarded(path, read)) for name, (shape, read) in part.items()})
    return LazyArrays({name: shape for name, (shape, _) in found.items()}, lambda name: found[name][1]())


def _guarded(path: Path, read: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def guarded() -> np.ndarray:
        with damage_reported(path):
            return read()

    return guarded


def _weights_paths(folder: Path) -> list[Path]:
    for name in weights_files():
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            index = folder / f"{name}.index.json"
            return [_shard(folder, shard) for shard in shard_names(_read(folder, index.name), where=str(index))]
    if (folder / PICKLE).is_file() or (folder / f"{PICKLE}.index.json").is_file():
        raise WeightsError(
            f"{folder} has its weights in {PICKLE} only, a pickle file, which can run any code when it is read",
            expected=f"{' or '.join(WEIGHTS_FILES)}; or PyTorch 2.6 or later, whose loader reads nothing but tensors",
            fix="Install PyTorch (pip install torch) and try again. Or convert it once where PyTorch is installed: "
            f'python -c "from transformers import AutoModel; AutoModel.from_pretrained({str(folder)!r})'
            ".save_pretrained('converted')\", copy the tokenizer's files beside the result, and name that folder.",
        )
    raise WeightsError(
        f"{folder} has no weights",
        expected=" or ".join(WEIGHTS_FILES),
        fix="Copy the weights into the folder.",
    )


def weights_files() -> tuple[str, ...]:
    """Returns the names of files that weights are read from here, the best one first."""
    return (*WEIGHTS_FILES, PICKLE) if tensors.reads_torch() else WEIGHTS_FILES


def shard_names(index: bytes, *, where: str) -> list[str]:
    """Returns the files that an index of shards names.

    Args:
        index: The content of the index.
        where: Its path; shards have the suffix that it has before `.index.json`.

    Raises:
        WeightsError: The index is damaged, or names a file outside its folder.
    """
    names = parse_json(index, where=where).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise WeightsError(f"{where}: it has no weight_map", expected="an index of shards", fix="Fetch the file again.")
    listed = sorted({str(name) for name in names.values()})
    suffixes = (".bin",) if where.endswith(".bin.index.json") else (".safetensors", ".h5")
    for name in listed:
        if not name.endswith(suffixes) or any(sign in name for sign in "/\\:\0"):
            raise WeightsError(
                f"{where} names the file {name[:200]!r}",
                expected=f"names of {' or '.join(suffixes)} files in the same folder",
                fix="Do not use this checkpoint unless you know who wrote it: such an index can read other files.",
            )
    return listed


def _shard(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise WeightsError(
            f"{folder} has no {name}, which its index of shards names",
            expected="every shard beside the index",
            fix=f"Copy {name} into the folder.",
        )
    return folder / name
