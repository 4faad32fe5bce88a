"""Opens the encoder inside a model that tfxl saved, to train it further or to trim it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, damage_reported
from tfxl.pretrained.configuration import check_config, parse_json

EXTRA = Path("assets.extra")
MANIFEST = EXTRA / "manifest.json"
ENCODER = EXTRA / "encoder"


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is a version of a model that tfxl saved."""
    return (folder / MANIFEST).is_file()


def open_saved_model(folder: Path) -> Checkpoint:
    """Returns the encoder's weights and tokenizer of a saved model, such as `saved_models/ner/1`.

    Raises:
        WeightsError: A file is missing, damaged or not the one that was saved.
    """
    where = str(folder)
    manifest = parse_json((folder / MANIFEST).read_bytes(), where=f"{where}/{MANIFEST}")
    with damage_reported(folder / MANIFEST):
        digests = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        variables = {variable["name"]: tuple(variable["shape"]) for variable in manifest["variables"]}
        keys = {name: _KEY.format(number) for number, name in enumerate(variables)}
        if len(variables) != len(manifest["variables"]):
            raise ValueError("two variables have one name")
    files = _encoder_files(folder, digests)
    _check_variables(folder, digests)
    config = check_config(parse_json(files.pop("config.json"), where=f"{where}/{ENCODER}"), where=f"{where}/{ENCODER}")
    arrays = families.canonical(_arrays(folder, variables, keys), families.FAMILIES["bert"], where=where)
    families.check_shapes(config, arrays.shapes, where=where)
    return Checkpoint(where, config, arrays, files)


_KEY = "model_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"


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


def _arrays(folder: Path, variables: dict[str, tuple[int, ...]], keys: dict[str, str]) -> LazyArrays:
    path = folder / "variables" / "variables"
    with damage_reported(path):
        reader = tf.train.load_checkpoint(str(path))
        for name, shape in variables.items():
            if tuple(reader.get_variable_to_shape_map()[keys[name]]) != shape:
                raise ValueError(f"{name} does not have the shape {list(shape)}")

    def read(name: str) -> np.ndarray:
        with damage_reported(path):
            return np.asarray(reader.get_tensor(keys[name]), np.float32)

    return LazyArrays(variables, read)
