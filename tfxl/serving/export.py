"""Export: writes a SavedModel that TensorFlow Serving reads as it is, beside it what explains and rebuilds it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from tfxl import memory, packages, settings
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError
from tfxl.progress import SILENT, Progress
from tfxl.serving import answer, manifest, parity, publish, warmup
from tfxl.serving.answer import Answerer
from tfxl.text import parity as text_parity
from tfxl.text.parity import Parity
from tfxl.text.tokenizer import Tokenizer
from tfxl.text.wordpiece import WordPiece

Signatures: TypeAlias = Mapping[str, Any]
ENCODER = "encoder"
"""The folder in assets.extra that holds the encoder's config.json and tokenizer files."""
RUN = "run.toml"
PARITY = "parity.json"
LARGEST_RATE = 0.01
"""The share of generated texts that a cased WordPiece may cut otherwise than its library, whose tables of Unicode are
older than some signs."""
SHOWN = 5
"""Kinds of difference that a message names; parity.json holds all."""


class Settings(settings.Settings):
    """What is exported."""

    tokens_only: bool = False
    """Leaves out the text functions, for runtimes without tensorflow_text's ops: they cannot load a model with them."""
    warmup: bool = True
    warmup_batch_sizes: tuple[int, ...] = Field(default=(1, 8, 32), min_length=1)
    """Name the server's allowed_batch_sizes here: each is then answered once while the server loads the model."""
    tolerance: float = Field(default=1e-5, gt=0)
    """The largest difference between a score of the Keras model and one of the SavedModel that lets it be published."""


@dataclass(frozen=True)
class Contents:
    """What stands beside the SavedModel, in assets.extra.

    Attributes:
        encoder: The encoder's spec.
        head: The head's spec.
        encoder_files: What the encoder's `files` gives.
        run_toml: The resolved recipe.
        files: Further files by name, such as `report.json`.
    """

    encoder: Mapping[str, Any]
    head: Mapping[str, Any]
    encoder_files: Mapping[str, bytes]
    run_toml: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


def export(
    answerer: Answerer,
    directory: str | Path,
    *,
    contents: Contents,
    settings: Settings | None = None,
    tokenizer: Parity | None = None,
    release: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Writes the next version of a model, tries it out, and publishes it: whole or not at all.

    Args:
        answerer: What is saved.
        directory: The model's folder; its name is the model's name.
        contents: What stands beside the SavedModel.
        settings: What is exported.
        tokenizer: What `check_tokenizer` found, where it was called before the weights were read.
        release: Frees the memory of the Keras model once it is written, before what was written is read back. The
            model cannot be used afterwards.
        progress: Is told what is being done.

    Returns:
        The folder of the new version.

    Raises:
        ModelError: The folder cannot be written (found before the work), a variable is not float32, the tokenizer cuts
            texts otherwise than its library or cannot be saved, or the saved model does not answer as the Keras model
            does.
    """
    settings = settings or Settings()
    directory = Path(directory)
    _check(answerer, contents, settings)
    if not settings.tokens_only:
        _check_in_graph(answerer.parts.tokenizer)
    with publish.new_version(directory) as draft:
        tokenizer = tokenizer or check_tokenizer(answerer.parts.tokenizer, progress)
        answerer = answerer.without_text() if settings.tokens_only else answerer
        keras = parity.keras_answers(answerer)
        progress.say(f"writing {directory}: signatures {', '.join(sorted(answerer.signatures()))}")
        signatures = _saved(answerer, draft.folder, release=release)
        _write_contents(draft.folder / manifest.EXTRA, contents)
        report = parity.check(answerer, signatures, keras=keras, tolerance=settings.tolerance)
        _write_parity(draft.folder / manifest.EXTRA, {**report, "tokenizer": tokenizer.as_json()})
        name = directory.resolve().name
        if settings.warmup:
            _write_warmup(draft.folder / manifest.EXTRA, answerer, signatures, name=name, settings=settings)
        manifest.write(draft.folder, _manifest(draft.folder, answerer, signatures, name=name, contents=contents))
    progress.say(f"published {draft.version}")
    return Path(str(draft.version))


def _saved(answerer: Answerer, folder: Path, *, release: bool) -> Signatures:
    """Writes the SavedModel, and returns its signatures as they were read back."""
    with _quiet():
        tf.saved_model.save(answerer, str(folder), signatures=answerer.signatures())
    if release:
        memory.release(answerer.model_variables)
    signatures: Signatures = tf.saved_model.load(str(folder)).signatures
    if release:
        memory.give_back()
    return signatures


def _check(answerer: Answerer, contents: Contents, settings: Settings) -> None:
    if settings.tokens_only and len(answerer.parts.task.readings) > 1:
        raise ModelError(
            "export.tokens_only = true for tasks that read texts in different ways",
            expected="tasks that share their rows of tokens",
            fix="Set export.tokens_only = false.",
        )
    wrong = [variable.name for variable in answerer.model_variables if variable.dtype not in (tf.float32, "float32")]
    if wrong:
        raise ModelError(
            f"{len(wrong)} variables that are not float32, such as {wrong[0]}",
            expected="float32 variables; mixed precision computes in 16 bits but keeps them in 32",
            fix="Build the model under a float32 or mixed_bfloat16 policy.",
        )
    outside = [name for name in _files(contents) if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise ModelError(
            f"the file {outside[0]!r}", expected=f"names inside {manifest.EXTRA}", fix="Rename the file in `contents`."
        )


def _check_in_graph(tokenizer: Tokenizer) -> None:
    if not tokenizer.in_graph:
        raise ModelError(
            f"a tokenizer that a SavedModel cannot hold: {tokenizer.reason}",
            expected="export.tokens_only = true: the server then answers ids, which its callers make with the "
            "tokenizer.json in assets.extra/encoder",
            fix="Set export.tokens_only = true, or train from weights with a WordPiece or SentencePiece vocabulary.",
        )


def _files(contents: Contents) -> dict[str, bytes]:
    encoder = {f"{ENCODER}/{name}": data for name, data in contents.encoder_files.items()}
    return {RUN: contents.run_toml.encode(), **encoder, **contents.files}


def _write_contents(folder: Path, contents: Contents) -> None:
    for name, data in _files(contents).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def check_tokenizer(tokenizer: Tokenizer, progress: Progress = SILENT) -> Parity:
    """Compares a tokenizer with the library that it was made after; refuses one whose texts the network does not know.

    A cased WordPiece may differ on the few signs that are younger than the library. One that lower-cases differs by
    more, since the two know other versions of Unicode's tables: how often is told.

    Raises:
        ModelError: It cuts too many texts otherwise.
    """
    found = text_parity.compare(tokenizer, text_parity.generated_texts())
    lowers = isinstance(tokenizer, WordPiece) and tokenizer.lower_case
    allowed = 1.0 if lowers else LARGEST_RATE if isinstance(tokenizer, WordPiece) else 0.0
    told = (
        f"the tokenizer cuts {found.differing} of {found.texts} generated texts ({found.rate:.2%}) otherwise than its "
    )
    told += f"library{_kinds(found)}"
    if found.rate > allowed:
        raise ModelError(
            told,
            expected=f"a difference on at most {allowed:.0%}" if allowed else "no difference: SentencePiece is exact",
            fix="Take the tokenizer files that the weights were published with, or other weights. "
            "If the files are right, report this with the weights' name: nothing was published.",
        )
    if lowers:
        told = f"a WordPiece that lower-cases is not exact: {told}"
        warnings.warn(told, UserWarning, stacklevel=3)
    if lowers or found.differing:
        progress.say(told)
    return found


def _kinds(found: Parity) -> str:
    """Names what differs, the most frequent first: `: U+09FD … (2)`."""
    named = [f"{name} ({kind.texts})" for name, kind in list(found.kinds.items())[:SHOWN]]
    if more := len(found.kinds) - len(named):
        named.append(f"{more} more kinds")
    return f": {'; '.join(named)}" if named else ""


def _write_parity(extra: Path, report: Mapping[str, Any]) -> None:
    (extra / PARITY).write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _write_warmup(extra: Path, answerer: Answerer, signatures: Signatures, *, name: str, settings: Settings) -> None:
    warmup.write(extra / warmup.FILE, list(_warmup_records(name, answerer, settings.warmup_batch_sizes)))
    warmup.replay(extra / warmup.FILE, signatures)


def _manifest(
    folder: Path, answerer: Answerer, signatures: Signatures, *, name: str, contents: Contents
) -> manifest.Manifest:
    return manifest.Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        packages=packages.versions(),
        encoder=dict(contents.encoder),
        task=answerer.parts.task.spec(),
        head=dict(contents.head),
        signatures={key: _described(signature) for key, signature in sorted(signatures.items())},
        variables=tuple(_variable(variable) for variable in answerer.model_variables),
        files=manifest.digests(folder),
    )


def _warmup_records(name: str, answerer: Answerer, sizes: tuple[int, ...]) -> Iterator[Any]:
    """One record a signature and size; the texts are probes of all lengths.

    The long ones are in the records of the smallest size only: large batches as long as the encoder reads would keep a
    server that starts from answering for half a minute and more.
    """
    whole, tokenizer = answerer.parts.task, answerer.parts.tokenizer
    for signature in answerer.signatures():
        task = whole.tasks.get(signature, whole)
        for size in sizes:
            long = size == min(sizes)
            texts = {key: _cycle(column, size, long=long) for key, column in parity.probe_texts(task).items()}
            if signature == "classify":
                yield warmup.classify_record(name, signature, texts)
            elif signature == "tokens" or "text" not in answerer.functions:
                encoded = answer.encode({key: tf.constant(column) for key, column in texts.items()}, task, tokenizer)
                yield warmup.predict_record(name, signature, {key: encoded[key].numpy() for key in INPUTS})
            else:
                yield warmup.predict_record(name, signature, {key: tf.constant(texts[key]).numpy() for key in texts})


def _cycle(texts: list[Any], size: int, *, long: bool) -> list[Any]:
    """`size` texts (or lists of choices), beginning with the longest, over and over; without the long ones if asked."""
    longest_first = sorted(texts, key=parity.longest, reverse=True)
    if not long:
        longest_first = [text for text in longest_first if parity.longest(text) < parity.LONG]
    return [longest_first[place % len(longest_first)] for place in range(size)]


def _described(signature: Any) -> dict[str, Any]:
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    return {"inputs": _specs(inputs), "outputs": _specs(outputs)}


def _specs(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "dtype": tensor.dtype.name,
            "shape": [-1 if size is None else size for size in tensor.shape.as_list()],
        }
        for name, tensor in sorted(tensors.items())
    }


def _variable(variable: Any) -> manifest.Variable:
    dtype = tf.as_dtype(variable.dtype).name
    return manifest.Variable(name=variable.name.removesuffix(":0"), shape=tuple(variable.shape), dtype=dtype)


@contextmanager
def _quiet() -> Iterator[None]:
    """TensorFlow tells where it writes assets; a library call says nothing."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
