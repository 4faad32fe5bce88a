"""Opens the encoder inside a model that tfxl saved, to train it further or to trim it."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.pretrained import families, layout
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, Shape, damage_reported
from tfxl.pretrained.configuration import check_config, parse_json

EXTRA = Path("assets.extra")
MANIFEST = EXTRA / "manifest.json"
ENCODER = EXTRA / "encoder"


KEY = "model_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
"""The key of a model's variable in the checkpoint, by its number in the manifest."""


def find_version(folder: Path) -> Path | None:
    """Returns the version that a folder is, or the newest one in it; None if it holds no model that tfxl saved."""
    if (folder / MANIFEST).is_file():
        return folder
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and (path / MANIFEST).is_file()]
    return max(versions, key=lambda path: int(path.name), default=None)


def open_saved_model(folder: Path) -> Checkpoint:
    """Returns the encoder's weights and tokenizer of a saved model, such as `saved_models/sentiment/1`.

    Raises:
        WeightsError: A file is missing, damaged or not the one that was saved.
    """
    where = str(folder)
    with damage_reported(folder / MANIFEST):
        manifest = parse_json((folder / MANIFEST).read_bytes(), where=f"{where}/{MANIFEST}")
        digests = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        shapes = [(str(variable["name"]), tuple(variable["shape"])) for variable in manifest["variables"]]
    files = _encoder_files(folder, digests)
    _check_variables(folder, digests)
    place = f"{where}/{ENCODER.as_posix()}/config.json"
    config = check_config(parse_json(files.pop("config.json"), where=place), where=place)
    arrays = layout.split(_arrays(folder, shapes), families.FAMILIES["bert"], where=where).encoder
    families.check_shapes(config, arrays.shapes, where=where)
    return Checkpoint(where, config, arrays, files)


def _encoder_files(folder: Path, digests: dict[str, Any]) -> dict[str, bytes]:
    prefix = f"{ENCODER.as_posix()}/"
    names = [name for name in digests if name.startswith(prefix) and "/" not in name.removeprefix(prefix)]
    files = {}
    for name in names:
        with damage_reported(folder / name):
            files[name.removeprefix(prefix)] = (folder / name).read_bytes()
        _compare(folder, name, hashlib.sha256(files[name.removeprefix(prefix)]).hexdigest(), digests[name])
    if "config.json" not in files:
        raise _changed(folder, f"{prefix}config.json")
    return files


def _check_variables(folder: Path, digests: dict[str, Any]) -> None:
    for path in sorted((folder / "variables").glob("variables.*")):
        with damage_reported(path), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _compare(folder, f"variables/{path.name}", digest, digests.get(f"variables/{path.name}"))


def _compare(folder: Path, name: str, found: str, recorded: Any) -> None:
    if found != recorded:
        raise _changed(folder, name)


def _changed(folder: Path, name: str) -> WeightsError:
    return WeightsError(
        f"{folder}: {name} is missing or not the file that was saved",
        expected=f"the file that {MANIFEST} describes",
        fix="Copy the saved model again, or export it again.",
    )


def _arrays(folder: Path, variables: list[tuple[str, Shape]]) -> LazyArrays:
    path = folder / "variables" / "variables"
    keys: dict[str, str] = {}
    with damage_reported(path):
        reader = tf.train.load_checkpoint(str(path))
        stored = reader.get_variable_to_shape_map()
        for number, (name, shape) in enumerate(variables):
            if families.is_of_encoder(name):
                keys[_once(name, keys)] = KEY.format(number)
                if tuple(stored[keys[name]]) != shape:
                    raise ValueError(f"{name} does not have the shape {list(shape)}")

    def read(name: str) -> np.ndarray:
        with damage_reported(path):
            return np.asarray(reader.get_tensor(keys[name]), np.float32)

    return LazyArrays({name: shape for name, shape in variables if name in keys}, read)


def _once(name: str, names: Container[str]) -> str:
    if name in names:
        raise ValueError(f"two variables are called {name}")
    return name
