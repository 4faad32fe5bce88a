"""Where pretrained weights come from: one text names them, whatever they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tfxl.errors import WeightsError
from tfxl.pretrained.checkpoint import Checkpoint, write_checkpoint
from tfxl.pretrained.folder import open_folder
from tfxl.pretrained.offline import PREFIX, SOURCES, find_offline, open_offline
from tfxl.pretrained.saved_model import find_version, open_saved_model

__all__ = ["Checkpoint", "find_folder", "open_checkpoint", "write_checkpoint"]


def open_checkpoint(weights: str) -> Checkpoint:
    """Returns pretrained weights. Arrays are read when they are asked for.

    Args:
        weights: An offline source (`offline:multilingual-e5-small`), a folder in Hugging Face's layout, a model that
            tfxl saved (`saved_models/sentiment/1`), or a name on the Hugging Face Hub
            (`intfloat/multilingual-e5-small`).

    Raises:
        WeightsError: The weights are missing or damaged, or are not BERT's.
        InstallationError: The package of an offline source is absent.
    """
    if weights.startswith(PREFIX):
        return open_offline(weights)
    folder = Path(weights).expanduser()
    try:
        is_folder = folder.is_dir()
    except (ValueError, OSError):  # a NUL in the name, or a name too long
        is_folder = False
    if not is_folder:
        return _from_hub(weights)
    version = find_version(folder)
    return open_folder(folder) if version is None else open_saved_model(version)


def find_folder(name: str, files: Sequence[str]) -> Path:
    """Returns a folder, or where the files of an offline source or a Hub name are after they were fetched.

    Args:
        name: A folder, an offline source or a Hub name.
        files: What is fetched from the Hub, with `*` for any part of a name; what is not there is passed over.

    Raises:
        WeightsError: There is no such folder, and no such name.
    """
    if name.startswith(PREFIX):
        return find_offline(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    return _hub(name).fetch(name, list(files))


def _from_hub(weights: str) -> Checkpoint:
    return _hub(weights).open_hub(weights)


def _hub(weights: str) -> ModuleType:
    """The module for Hub names, if this may be one."""
    from tfxl.pretrained import hub  # a second to import, and needed only here

    if weights.startswith((".", "/", "~")) or not hub.NAME.fullmatch(weights):
        raise WeightsError(
            f"weights = {weights[:200]!r}: there is no such folder",
            expected=f"a folder, a Hub name such as intfloat/multilingual-e5-small, or {PREFIX}{next(iter(SOURCES))}",
            fix="Correct the path.",
        )
    return hub
