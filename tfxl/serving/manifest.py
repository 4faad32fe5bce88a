"""The manifest: what a saved model is made of, and a digest of every file, so that damage is found before loading.

It finds damage and mix-ups. It is no signature: whoever can change the files can write a fitting manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

import tfxl
from tfxl.errors import ModelError
from tfxl.settings import Settings

EXTRA = "assets.extra"
NAME = "manifest.json"
PLACE = f"{EXTRA}/{NAME}"
FORMAT = 1


class Variable(Settings):
    """One variable: its name in the Keras model, its shape and its type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class File(Settings):
    """One file of the saved model."""

    sha256: str
    bytes: int


class Manifest(Settings):
    """What `assets.extra/manifest.json` holds.

    Variable number i of `variables` has the key `model_variables/i/.ATTRIBUTES/VARIABLE_VALUE` in the checkpoint
    `variables/variables`.
    """

    format: int = FORMAT
    name: str
    created: str
    """When the model was exported, UTC, ISO 8601."""
    packages: dict[str, str]
    """Versions of tfxl, of what it computes with, and of Python's packages that shape a saved model."""
    encoder: dict[str, Any]
    task: dict[str, Any]
    head: dict[str, Any]
    signatures: dict[str, dict[str, Any]]
    """By name: `inputs` and `outputs`, each by name with `dtype` and `shape` (-1 where any size fits)."""
    variables: tuple[Variable, ...]
    files: dict[str, File]
    """Every file but the manifest, by its path in the folder."""


class FolderFiles(NamedTuple):
    """The files that a folder lacks, that were changed, and that the manifest does not know."""

    missing: list[str]
    changed: list[str]
    unknown: list[str]


def digests(folder: Path) -> dict[str, File]:
    """Returns every file under `folder` but the manifest, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: _digest(path) for name, path in names.items() if name != PLACE}


def _digest(path: Path) -> File:
    with path.open("rb") as file:
        return File(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=path.stat().st_size)


def write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest into a saved model's folder."""
    path = folder / PLACE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_text(json.loads(manifest.model_dump_json())))


def read(folder: Path) -> Manifest:
    """Returns the manifest of a saved model; its files are not looked at.

    Raises:
        ModelError: There is none, it is damaged, or it is of a format that this tfxl does not know.
    """
    path = folder / PLACE
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {PLACE}",
            expected="a folder that tfxl exported, such as saved_models/NAME or saved_models/NAME/1",
            fix="Name such a folder. A SavedModel of other origin can be used with tf.saved_model.load, not with tfxl.",
        )
    try:
        values = json.loads(path.read_bytes())
        written = {key: value for key, value in values.items() if key != "sha256"}
        intact = path.read_bytes() == _text(written)
    except (ValueError, AttributeError):
        intact = False
    if not intact:
        raise _damaged(folder, f"{PLACE} was changed after it was written")
    return _validated(folder, written)


def _validated(folder: Path, values: Mapping[str, Any]) -> Manifest:
    try:
        if values.get("format") == FORMAT:
            return Manifest.model_validate(values)
    except ValidationError:
        pass
    raise ModelError(
        f"{folder / PLACE} has format {values.get('format')!r} and was written by tfxl "
        f"{dict(values.get('packages') or {}).get('tfxl', 'of an unknown version')}",
        expected=f"format {FORMAT}, which tfxl {tfxl.__version__} reads",
        fix="Load the model with the tfxl that wrote it, or export it again with this one.",
    )


def _text(values: Mapping[str, Any]) -> bytes:
    """The file's bytes: the values and, last, the digest of the values, so that the manifest guards itself too."""
    body = json.dumps(values, ensure_ascii=False, sort_keys=True).encode()
    values = {**values, "sha256": hashlib.sha256(body).hexdigest()}
    return (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode()


def compare(folder: Path, manifest: Manifest) -> FolderFiles:
    """Returns where the files of a folder differ from what the manifest says."""
    found, known = digests(folder), manifest.files
    return FolderFiles(
        missing=sorted(known.keys() - found.keys()),
        changed=sorted(name for name in known.keys() & found.keys() if known[name] != found[name]),
        unknown=sorted(found.keys() - known.keys()),
    )


def verify(folder: Path) -> Manifest:
    """Returns the manifest of a saved model after it has read every file and found it as it was written.

    Raises:
        ModelError: The folder is no saved model of tfxl, or a file is missing, changed or unknown.
    """
    manifest = read(folder)
    for what, names in compare(folder, manifest)._asdict().items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise _damaged(folder, f"{what}: {', '.join(names[:5])}{more}")
    return manifest


def _damaged(folder: Path, what: str) -> ModelError:
    return ModelError(
        f"{folder} is damaged: {what}",
        expected=f"exactly the files that {PLACE} lists, with the SHA-256 that it lists",
        fix="Copy the folder again from where it was exported, or export the model again.",
    )
