"""Neighbours: many texts on disk with a graph of their vectors, searched approximately (HNSW, by faiss).

For more texts than a SavedModel should hold: some 100,000 and up. A folder holds `vectors.faiss`, `texts.jsonl` (a line
a text), `places.npy` (where each line begins) and `manifest.json` with a digest of each file. Nothing in it is a
program.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from tfxl import settings
from tfxl.errors import InstallationError, ModelError
from tfxl.example import Match
from tfxl.serving import manifest, publish

MANIFEST, VECTORS, TEXTS, PLACES = "manifest.json", "vectors.faiss", "texts.jsonl", "places.npy"
FORMAT = 1


class Settings(settings.Settings):
    """How exact the search is, and what that costs."""

    links: int = Field(default=32, ge=2)
    """Links of each text in the graph; each takes 8 bytes."""
    build_width: int = Field(default=128, ge=1)
    """How many neighbours are looked at when a text is added; more makes a better graph, more slowly."""
    search_width: int = Field(default=128, ge=1)
    """How many neighbours are looked at when one searches; more finds more of the nearest, more slowly."""


class Entry(NamedTuple):
    """A text with its vector and what it is called."""

    text: str
    id: str
    vector: np.ndarray


class Neighbours:
    """A folder that can be searched; get one from `load`.

    Attributes:
        folder: Where it lies.
        model: The model that made the vectors: its folder's name, version and the digest of its manifest.
        texts: How many texts there are.
        dimensions: The size of the vectors.
    """

    def __init__(self, folder: Path, contents: Mapping[str, Any]) -> None:
        self.folder, self.model = folder, contents["model"]
        self.texts, self.dimensions = int(contents["texts"]), int(contents["dimensions"])
        self._index = _faiss().read_index(str(folder / VECTORS))
        self._index.hnsw.efSearch = int(contents["settings"]["search_width"])
        self._places = np.load(folder / PLACES, mmap_mode="r", allow_pickle=False)
        with (folder / TEXTS).open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def search(self, vectors: np.ndarray, *, most: int = 10) -> list[list[Match]]:
        """Returns the nearest texts of each vector, the best first.

        Args:
            vectors: `[queries, dimensions]` of length 1.
            most: How many are wanted.

        Raises:
            ModelError: The vectors have another size than those of the texts.
        """
        queries = np.ascontiguousarray(vectors, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise ModelError(
                f"vectors of the shape {queries.shape}",
                expected=f"[queries, {self.dimensions}]",
                fix="Search with the model that the texts were read with.",
            )
        scores, found = self._index.search(queries, min(most, self.texts))
        return [
            [self._match(int(row), float(score)) for row, score in zip(rows, values, strict=True) if row >= 0]
            for rows, values in zip(found, scores, strict=True)
        ]

    def _match(self, row: int, score: float) -> Match:
        line = self._lines[self._places[row] : self._places[row + 1]]
        entry = json.loads(line)
        return Match(entry["text"], score, entry.get("id", ""))


def build(
    entries: Iterable[Entry], directory: str | Path, *, model: Mapping[str, Any], settings: Settings | None = None
) -> Path:
    """Writes the next version of an index: whole or not at all.

    Args:
        entries: Texts with vectors of length 1, read once.
        directory: The folder for its versions.
        model: What made the vectors.
        settings: How exact the search is.

    Raises:
        ModelError: There are no texts, or the folder cannot be written.
        InstallationError: faiss is absent.
    """
    _faiss()
    told = settings or Settings()
    with publish.new_version(directory) as draft:
        index = _write(entries, draft.folder, told)
        contents = {
            "format": FORMAT,
            "model": dict(model),
            "texts": index.ntotal,
            "dimensions": index.d,
            "settings": told.as_toml(),
            "packages": {"faiss": _faiss().__version__},
            "files": {name: file.model_dump() for name, file in manifest.digests(draft.folder).items()},
        }
        (draft.folder / MANIFEST).write_text(json.dumps(contents, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return Path(str(draft.version))


def _write(entries: Iterable[Entry], folder: Path, told: Settings) -> Any:
    faiss, index, places = _faiss(), None, [0]
    with (folder / TEXTS).open("wb") as file:
        for part in _batches(entries):
            vectors = np.ascontiguousarray([entry.vector for entry in part], np.float32)
            if index is None:
                index = faiss.IndexHNSWFlat(vectors.shape[1], told.links, faiss.METRIC_INNER_PRODUCT)
                index.hnsw.efConstruction = told.build_width
            index.add(vectors)
            for entry in part:
                line = {"text": entry.text, "id": entry.id} if entry.id else {"text": entry.text}
                written = file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                places.append(places[-1] + written)
    if index is None:
        raise ModelError("no texts to search in", expected="at least one text", fix="Name a file that holds texts.")
    np.save(folder / PLACES, np.array(places, np.int64), allow_pickle=False)
    faiss.write_index(index, str(folder / VECTORS))
    return index


def _batches(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    part: list[Entry] = []
    for entry in entries:
        part.append(entry)
        if len(part) == 1024:
            yield part
            part = []
    if part:
        yield part


def load(path: str | Path) -> Neighbours:
    """Returns an index. Every file is compared with the manifest first.

    Args:
        path: A version, or a folder of versions, for the latest one.

    Raises:
        ModelError: There is no index, or a file is missing or changed.
        InstallationError: faiss is absent.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file() and (found := publish.versions(folder)):
        folder /= str(found[-1])
    with _reading(folder):
        contents = json.loads((folder / MANIFEST).read_text("utf-8"))
        expected = dict(contents["files"])
    found_files = {name: file.model_dump() for name, file in manifest.digests(folder).items() if name != MANIFEST}
    if wrong := [name for name in expected if found_files.get(name) != expected[name]]:
        raise ModelError(
            f"{folder}: {', '.join(sorted(wrong))} missing or changed",
            expected="the files that the manifest names, as they were written",
            fix="Copy the folder again, or make the index again with tfxl index.",
        )
    with _reading(folder):
        return Neighbours(folder, contents)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{folder} holds no index: {type(error).__name__}: {error}"[:300],
            expected=f"a folder that tfxl index wrote, with {MANIFEST}",
            fix="Make one with tfxl index MODEL FILE kind=approximate.",
        ) from None


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise InstallationError(
            "faiss is absent",
            expected="faiss-cpu, which searches many vectors quickly",
            fix='pip install "tfxl[index]", or leave out kind=approximate: an exact index needs nothing.',
        ) from None
    return faiss
