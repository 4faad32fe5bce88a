"""Opens a folder as Hugging Face libraries write it: `config.json`, weights, the tokenizer's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tfxl.errors import WeightsError
from tfxl.pretrained import families, tensors
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, Shape, damage_reported
from tfxl.pretrained.configuration import check_config, parse_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "sentencepiece.bpe.model")
WEIGHTS_FILES = ("model.safetensors", "tf_model.h5")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

Found: TypeAlias = dict[str, tuple[Shape, Callable[[], np.ndarray]]]


def open_folder(folder: Path) -> Checkpoint:
    """Returns the checkpoint in a folder.

    Weights are read from safetensors (PyTorch's or TensorFlow's names, whole or in shards) or else from
    `tf_model.h5`; half precision becomes float32. Pickle files are never opened.

    Raises:
        WeightsError: A file is missing or damaged, or the tensors are not those that `config.json` asks for.
    """
    where = str(folder)
    values = parse_json(_read(folder, "config.json"), where=f"{where}/config.json")
    family = families.find_family(values.get("model_type"), where=f"{where}/config.json")
    config = check_config(values, where=f"{where}/config.json")
    arrays = families.canonical(_arrays(folder), family, where=where)
    families.check_shapes(config, arrays.shapes, where=where)
    files = {name: _read(folder, name) for name in TOKENIZER_FILES if (folder / name).is_file()}
    return Checkpoint(where, config, arrays, files)


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


def _arrays(folder: Path) -> LazyArrays:
    found: Found = {}
    for path in _weights_paths(folder):
        with damage_reported(path):
            part = tensors.read_hdf5(path) if path.suffix == ".h5" else tensors.read_safetensors(path)
        found.update({name: (shape, _guarded(path, read)) for name, (shape, read) in part.items()})
    return LazyArrays({name: shape for name, (shape, _) in found.items()}, lambda name: found[name][1]())


def _guarded(path: Path, read: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def guarded() -> np.ndarray:
        with damage_reported(path):
            return read()

    return guarded


def _weights_paths(folder: Path) -> list[Path]:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            index = folder / f"{name}.index.json"
            return [_shard(folder, shard) for shard in shard_names(_read(folder, index.name), where=str(index))]
    pickles = [name for name in PICKLES if (folder / name).is_file()]
    if pickles:
        raise WeightsError(
            f"{folder} has its weights in {pickles[0]} only, a pickle file, which can run any code when it is read",
            expected=f"{' or '.join(WEIGHTS_FILES)}",
            fix='Convert it once where you trust it and PyTorch is installed: python -c "from transformers import '
            f"AutoModel; AutoModel.from_pretrained({str(folder)!r}).save_pretrained('converted')\", copy the "
            "tokenizer's files beside the result, and name that folder.",
        )
    raise WeightsError(
        f"{folder} has no weights",
        expected=" or ".join(WEIGHTS_FILES),
        fix="Copy the weights into the folder.",
    )


def shard_names(index: bytes, *, where: str) -> list[str]:
    """Returns the files that an index of shards names.

    Raises:
        WeightsError: The index is damaged, or names a file outside its folder.
    """
    names = parse_json(index, where=where).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise WeightsError(f"{where}: it has no weight_map", expected="an index of shards", fix="Fetch the file again.")
    listed = sorted({str(name) for name in names.values()})
    for name in listed:
        if not name.endswith((".safetensors", ".h5")) or any(sign in name for sign in "/\\:\0"):
            raise WeightsError(
                f"{where} names the file {name[:200]!r}",
                expected="names of .safetensors or .h5 files in the same folder",
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
