"""Index: gives a retrieval model the texts that it is to find, inside the SavedModel or, for many texts, beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tfxl import recipes, registry, settings
from tfxl.errors import DataError, ModelError
from tfxl.example import Match
from tfxl.progress import SILENT, Progress
from tfxl.serving import export as exporting
from tfxl.serving import manifest, neighbours
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.model import Model, load
from tfxl.settings import validate
from tfxl.tasks.retrieval import Retrieval

BATCH = 1024
"""Texts that are read and encoded at once."""
READERS = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".jsonl": "jsonl", ".txt": "parallel"}
FOLDER = "index"
"""The folder of an approximate index, beside a model's versions; a server looks at numbered folders only."""


class Settings(settings.Settings):
    """What is found, and how."""

    kind: Literal["exact", "approximate"] = "exact"
    """`exact` puts texts and vectors into the SavedModel, for up to some 100,000 texts; `approximate` beside it."""
    text: str = "text"
    """The column of the texts, in a file with columns."""
    id: str = ""
    """The column of what each text is called, such as its class; none if empty."""
    reader: str | dict[str, Any] = ""
    """How the file is read; by its ending if empty."""
    matches: int = Field(default=0, ge=0)
    """How many texts an exact index answers with; as the model's recipe says if 0."""
    output: str = ""
    """Where the result goes: the folder of a model's versions, or of an index's; the model's own if empty."""
    search: neighbours.Settings = Field(default_factory=neighbours.Settings)
    """How exact an approximate index is."""


def index(model: str | Path, file: str | Path, *overrides: str, progress: Progress = SILENT) -> Path:
    """Gives a model the texts of a file to find.

    An exact index becomes part of the model's next version: its answers then have `matches`, on a server too. An
    approximate one becomes a folder of its own, for `search`. Texts that occur twice under one id are taken once.

    Args:
        model: A saved model of the task `retrieval`.
        file: A .txt (a text a line), .csv, .tsv or .jsonl, also with .gz.
        overrides: `setting=value`, such as `"id=label"`; see `Settings`.
        progress: Is told of every batch.

    Returns:
        The folder of the new version, of the model or of the index.

    Raises:
        TfxlError: The model, the file or a setting is wrong.

    Example:
        >>> index("saved_models/retrieval", "answers.csv", "text=answer", "id=name")
    """
    told = validate(Settings, recipes.override({}, overrides), where="")
    saved = load(model)
    task = _retrieval(saved)
    found = _entries(saved, task, _texts(file, told), progress)
    if told.kind == "approximate":
        made_by = {"name": saved.name, "version": saved.version or 0, "manifest_sha256": _digest(saved)}
        folder = Path(told.output or saved.folder.absolute().parent / FOLDER)
        path = neighbours.build(found, folder, model=made_by, settings=told.search)
        progress.say(f"published {path}")
        return path
    return _inside(saved, list(found), told, progress)


def _inside(saved: Model, entries: Sequence[neighbours.Entry], told: Settings, progress: Progress) -> Path:
    task = _retrieval(saved)
    if told.matches:
        task = Retrieval(**{**task.settings.model_dump(exclude_none=True), "matches": told.matches})
    if not entries:
        raise ModelError("no texts to search in", expected="at least one text", fix="Name a file that holds texts.")
    rebuilt = saved.rebuild()
    task = task.with_index(
        np.stack([entry.vector for entry in entries]),
        [entry.text for entry in entries],
        [entry.id for entry in entries],
    )
    folder = Path(told.output) if told.output else saved.folder.absolute().parent
    answerer = Answerer(rebuilt.model, task, rebuilt.tokenizer)
    progress.say(f"{len(entries)} texts, {len(entries) * entries[0].vector.nbytes / 1e6:.1f} MB of vectors")
    export = validate(exporting.Settings, saved.recipe.get("export", {}), where="export")
    return exporting.export(answerer, folder, contents=saved.contents(), settings=export, progress=progress)


def search(
    model: str | Path,
    texts: Sequence[str],
    *,
    index: str | Path = "",
    most: int = 10,
    progress: Progress = SILENT,
) -> list[list[Match]]:
    """Returns the texts of an index that are nearest to each text, the best first.

    Args:
        model: A model's folder, for the version that the index was made with, or a version.
        texts: What is looked for.
        index: The folder of an approximate index; if empty the one beside the model, or what is inside the model.
        most: How many texts are wanted; an exact index gives at most the number that it was made for.
        progress: Is told of every batch.

    Raises:
        ModelError: There is no index, or it was made with another model.

    Example:
        >>> search("saved_models/retrieval", ["wo ist meine Karte?"])[0][0].text
    """
    path = Path(model)
    folder = Path(index) if index else (path.absolute().parent if is_version(path) else path) / FOLDER
    if not index and not folder.is_dir():
        return _inside_search(load(path), texts, most, progress)
    opened = neighbours.load(folder)
    version = path / str(opened.model["version"])
    saved = load(version if version.is_dir() else path)
    if _digest(saved) != opened.model["manifest_sha256"]:
        raise ModelError(
            f"{opened.folder} was made with {opened.model['name']}, version {opened.model['version']}, not with "
            f"{saved.folder}",
            expected="the model whose vectors the index holds",
            fix="Name that model, or make the index again with tfxl index.",
        )
    answers = predict(saved.text, _retrieval(saved), {"text": list(texts)}, progress=progress)
    vectors = [np.asarray(each.vector, np.float32) for each in answers]
    return opened.search(np.stack(vectors), most=most) if vectors else []


def is_version(path: Path) -> bool:
    """Whether a path is a version of a model, and not a folder of versions."""
    return (path / manifest.PLACE).is_file()


def _inside_search(saved: Model, texts: Sequence[str], most: int, progress: Progress) -> list[list[Match]]:
    _retrieval(saved)
    if "matches" not in saved.manifest.signatures["serving_default"]["outputs"]:
        raise ModelError(
            f"{saved.folder} has no index",
            expected="texts to search in",
            fix="Give it some: tfxl index MODEL FILE.",
        )
    answers = predict(saved.text, saved.task, {"text": list(texts)}, progress=progress)
    return [list(answer.matches[:most]) for answer in answers]


def _digest(saved: Model) -> str:
    return hashlib.sha256((saved.folder / manifest.PLACE).read_bytes()).hexdigest()


def _retrieval(saved: Model) -> Retrieval:
    if not isinstance(saved.task, Retrieval):
        raise ModelError(
            f"{saved.folder} answers {saved.task.kind}",
            expected="a model of the task retrieval",
            fix="Train one: tfxl show retrieval prints a recipe that needs no training.",
        )
    return saved.task


def _texts(file: str | Path, told: Settings) -> Iterator[tuple[str, str]]:
    """Yields different (text, id) of a file."""
    path, seen = Path(file), set[int]()
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if not told.reader and suffix not in READERS:
        raise DataError(
            f"{path}: files that end in {suffix!r}",
            expected=f"one of {', '.join(READERS)}, each also with .gz",
            fix="Rename the file, or say how it is read: reader=…",
        )
    columns = {} if suffix == ".txt" else {"text": told.text, "id": told.id, "label": ""}
    reader = registry.build("readers", told.reader or {"kind": READERS[suffix], **columns})
    for example in reader.read(str(path)):
        pair = example.text, example.id if told.id else ""
        if hash(pair) not in seen:
            seen.add(hash(pair))
            yield pair


def _entries(
    saved: Model, task: Retrieval, texts: Iterable[tuple[str, str]], progress: Progress
) -> Iterator[neighbours.Entry]:
    part_of, function = task.tasks["second_text"], saved.function("second_text")
    remaining = iter(texts)
    while part := list(islice(remaining, BATCH)):
        answers = predict(function, part_of, {"second_text": [text for text, _ in part]}, progress=progress)
        for (text, name), answer in zip(part, answers, strict=True):
            yield neighbours.Entry(text, name, np.asarray(answer.vector, np.float32))
