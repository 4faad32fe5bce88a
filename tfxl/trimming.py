"""Trim: cuts a model's vocabulary, and the rows of its embedding table, down to what some languages need.

Before fine-tuning it works on pretrained weights and writes a folder in Hugging Face's layout; after fine-tuning it
works on a saved model and writes its next version. Before anything is written, the real networks are run on texts whose
pieces are all kept: their answers must be equal to the last bit.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from tfxl import recipes, registry, settings
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.encoders.bert import network
from tfxl.errors import ModelError, RecipeError, WeightsError
from tfxl.heads import Head
from tfxl.heads.masked_language import VOCABULARY
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, shapes_of, write_checkpoint
from tfxl.pretrained.network import load as load_network
from tfxl.pretrained.saved_model import find_version
from tfxl.pretrained.source import open_checkpoint
from tfxl.progress import SILENT, Progress
from tfxl.readers import BadRow, expand
from tfxl.serving import export as exporting
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, export
from tfxl.serving.model import Model, Rebuilt
from tfxl.serving.model import load as load_model
from tfxl.text import vocabulary
from tfxl.text.tokenizer import Tokenizer, from_files, read_json

TABLE = "embeddings.word_embeddings.weight"
RECORD = "trim.json"
"""The record in a saved model's assets.extra."""
OUTDATED = ("report.json", "report.html", RECORD)
"""What was measured with the whole vocabulary."""
NOTE = (
    "# This recipe trained {origin}; its vocabulary was trimmed afterwards, so the recipe alone does not make this\n"
    f"# version. What was cut stands in {RECORD}.\n"
)
"""The head of a trimmed model's run.toml."""
PROOF_TEXTS = 48
BATCH = 16
SHOWN = 3
"""Skipped rows that are named; all of them are counted."""
Texts = Mapping[str, Sequence[str]]


class Settings(settings.Settings):
    """What is counted, what is kept, and where the result goes."""

    output: str = ""
    """The folder to write: a new one for pretrained weights; for a saved model a model's folder, its own if empty."""
    texts: str = Field(min_length=1)
    """The files that are counted, such as `reviews/{language}.csv`. Never the texts that a model is scored on."""
    held_out: str = ""
    """Files on which the loss is measured; the counted ones if empty, which says little."""
    languages: tuple[str, ...] = Field(min_length=1)
    reader: str | dict[str, Any] = "jsonl"
    keep: vocabulary.Rules = Field(default_factory=vocabulary.Rules)


@dataclass(frozen=True)
class Size:
    """How large a model is; megabytes are of float32 weights, 10^6 bytes each."""

    pieces: int
    parameters: int

    @property
    def megabytes(self) -> float:
        """Megabytes of the weights."""
        return self.parameters * 4 / 1e6


@dataclass(frozen=True)
class Trimmed:
    """What trimming did.

    Attributes:
        folder: The trimmed checkpoint, usable as `weights`, or the new version of the saved model.
        before: Size of the whole model.
        after: Size of the trimmed model.
        losses: What it costs, by language.
        held_out: Whether `losses` was measured on texts that were not counted.
        proved: The number of texts on which both networks answered the same to the last bit.
        rules: What was kept.
    """

    folder: Path
    before: Size
    after: Size
    losses: Mapping[str, vocabulary.Loss]
    held_out: bool
    proved: int
    rules: vocabulary.Rules

    def as_json(self) -> dict[str, Any]:
        """Returns the record as plain values, without the folder."""
        sizes = {name: {**vars(size), "megabytes": size.megabytes} for name, size in self._sizes()}
        losses = {code: {**loss._asdict(), "share": loss.share} for code, loss in self.losses.items()}
        record = {"losses": losses, "held_out": self.held_out, "identical_texts": self.proved}
        return {**sizes, **record, "keep": self.rules.as_toml()}

    def show(self, progress: Progress) -> None:
        """Shows the record as two tables and a line."""
        rows = [
            (name, f"{size.pieces:,}", f"{size.parameters:,}", f"{size.megabytes:.1f}") for name, size in self._sizes()
        ]
        progress.table("Trimmed vocabulary", ("", "pieces", "parameters", "megabytes"), rows)
        costs = [(code, loss.pieces, f"{loss.share:.2%}", f"{loss.growth:.3f}") for code, loss in self.losses.items()]
        title = f"Pieces lost, {'held-out' if self.held_out else 'counted'} texts"
        progress.table(title, ("language", "pieces", "lost", "times as long"), costs)
        progress.say(f"{self.proved} texts whose pieces are all kept: answers equal to the last bit")

    def _sizes(self) -> list[tuple[str, Size]]:
        return [("before", self.before), ("after", self.after)]


def trim(
    weights: str | Path,
    output: str | Path = "",
    *,
    texts: Texts,
    held_out: Texts | None = None,
    rules: vocabulary.Rules | None = None,
    progress: Progress = SILENT,
) -> Trimmed:
    """Trims a model to the pieces that texts use, and that rules add.

    Args:
        weights: Pretrained weights as an encoder names them, or the folder of a saved model.
        output: The folder to write: a new one for pretrained weights, a model's folder for a saved model (its own if
            empty).
        texts: Texts that are counted, by language. Never those on which a model is scored.
        held_out: Texts on which the loss is measured; the counted ones if None, which says little.
        rules: What is kept beside single characters; every counted piece by default.
        progress: Is told what happens and shown the tables.

    Raises:
        TfxlError: The weights or the output are wrong, or the proof failed. Nothing is written then.

    Example:
        >>> rules = Rules(scripts=("Latn", "Hans"), top=60_000)
        >>> tfxl.trim("offline:multilingual-e5-small", "e5-de-zh", texts={"de": [...], "zh": [...]}, rules=rules)
    """
    source = _open(weights, output)
    tokenizer, found = _cut(source, texts, held_out, rules or vocabulary.Rules(), progress)
    folder = source.write(tokenizer, found, progress)
    found = dataclasses.replace(found, folder=folder)
    found.show(progress)
    progress.say(f"written: {folder}")
    return found


def trim_built(
    built: Rebuilt,
    config: Mapping[str, Any],
    head: Head,
    *,
    texts: Texts,
    rules: vocabulary.Rules | None = None,
    progress: Progress = SILENT,
) -> tuple[Rebuilt, dict[str, Any], Trimmed]:
    """Trims a model in memory; see `trim`.

    Args:
        built: The model; it stays as it is.
        config: Its encoder's configuration.
        head: Its head.
        texts: See `trim`.
        rules: See `trim`.
        progress: See `trim`.

    Returns:
        The trimmed model, its encoder's configuration, and the record, which names no folder.

    Raises:
        TfxlError: The proof failed, or nothing can be proved.
    """
    source = _Built(built, config, head)
    tokenizer, found = _cut(source, texts, None, rules or vocabulary.Rules(), progress)
    found.show(progress)
    return Rebuilt(source.trimmed, built.task, tokenizer), source.config, found


def _cut(
    source: _Source, texts: Texts, held_out: Texts | None, rules: vocabulary.Rules, progress: Progress
) -> tuple[Tokenizer, Trimmed]:
    """Builds the trimmed network beside the whole one and proves it; nothing is written yet."""
    progress.say(f"counting the pieces of {sum(map(len, texts.values()))} texts in {len(texts)} languages")
    counts = vocabulary.count(source.tokenizer, chain.from_iterable(texts.values()))
    kept = vocabulary.kept_ids(source.tokenizer, counts, **rules.model_dump())
    tokenizer = vocabulary.trim(source.tokenizer, kept)
    measured = vocabulary.losses(source.tokenizer, kept, held_out or texts, trimmed=tokenizer)
    probes = _probes(source.tokenizer, kept, [*(held_out or {}).values(), *texts.values()])
    progress.say(f"comparing both networks on {len(probes)} texts")
    source.cut(tokenizer, kept)
    _prove(source, tokenizer, kept, probes)
    removed = (source.rows - len(kept)) * source.numbers_a_piece
    before, after = Size(source.tokenizer.size, source.parameters), Size(len(kept), source.parameters - removed)
    return tokenizer, Trimmed(Path(), before, after, measured, held_out is not None, len(probes), rules)


def trim_with_files(weights: str, *overrides: str, progress: Progress = SILENT) -> Trimmed:
    """Trims a model to the texts of files.

    Args:
        weights: See `trim`.
        overrides: `Settings` as `key=value`, the value in TOML, such as `keep.top=60000`.
        progress: See `trim`.

    Raises:
        TfxlError: A setting, a file or the weights are wrong, or the proof failed. Nothing is written then.
    """
    chosen = settings.validate(Settings, recipes.override({}, overrides), where="")
    read = functools.partial(read_texts, language_codes=chosen.languages, reader=chosen.reader, progress=progress)
    texts, held_out = read([chosen.texts]), read([chosen.held_out], what="held_out") if chosen.held_out else None
    return trim(weights, chosen.output, texts=texts, held_out=held_out, rules=chosen.keep, progress=progress)


def read_texts(
    patterns: Sequence[str],
    language_codes: Sequence[str],
    *,
    reader: str | Mapping[str, Any],
    what: str = "texts",
    progress: Progress = SILENT,
) -> dict[str, list[str]]:
    """Returns the texts of files, by language.

    Args:
        patterns: Files, such as `reviews/{language}.csv`.
        language_codes: The languages of the files.
        reader: The reader's spec.
        what: What the texts are called when rows are skipped.
        progress: Is told of skipped rows.

    Raises:
        TfxlError: A file is not there, or cannot be read.
    """
    built = registry.build("readers", reader)
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        for path, language in expand(pattern, language_codes, files=built.reads_files):
            for example in built.read(path, language=language):
                both = (example.text, example.second_text)
                found.setdefault(example.language, []).extend(text for text in both if text)
    _tell_skipped(built.skipped, what, progress)
    return found


def _tell_skipped(skipped: Sequence[BadRow], what: str, progress: Progress) -> None:
    for bad in skipped[:SHOWN]:
        progress.say(f"{what}: skipped {bad.path}, line {bad.line}: {bad.reason}")
    if skipped:
        progress.say(f"{what}: {len(skipped)} rows skipped")


class _Source(ABC):
    """What is trimmed: pretrained weights, a saved model or one in memory.

    After `cut`, `whole` and `trimmed` are the two networks, both over what the task's `inputs` names.
    """

    tokenizer: Tokenizer
    rows: int
    numbers_a_piece: int
    parameters: int
    whole: keras.Model
    trimmed: keras.Model
    error: ClassVar[type[WeightsError | ModelError]]

    @abstractmethod
    def cut(self, tokenizer: Tokenizer, kept: np.ndarray) -> None:
        """Builds both networks."""

    def compared(self, model: keras.Model) -> keras.Model:
        """Returns what of a network is run to prove that both are alike."""
        return model


class _Kept(_Source):
    """What lies in a folder, and goes to one."""

    @abstractmethod
    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        """Writes the trimmed model: whole or not at all."""


class _Pretrained(_Kept):
    error = WeightsError

    def __init__(self, weights: str, output: str | Path) -> None:
        self.output = Path(output)
        if not str(output) or self.output.exists():
            raise RecipeError(
                f"output = {str(output)!r}" + (" exists already" if str(output) else ""),
                expected="the folder that the trimmed weights shall make",
                fix="Name a folder that does not exist yet.",
            )
        self.checkpoint = open_checkpoint(weights)
        self.tokenizer = from_files(self.checkpoint.tokenizer_files)
        shapes = shapes_of(self.checkpoint.arrays)
        self.rows, self.numbers_a_piece = shapes[TABLE]
        self.parameters = sum(int(np.prod(shape)) for shape in shapes.values())

    def cut(self, tokenizer: Tokenizer, kept: np.ndarray) -> None:
        whole = self.checkpoint
        config = {**whole.config, "vocab_size": len(kept), "pad_token_id": tokenizer.special.pad}
        shapes = {**shapes_of(whole.arrays), TABLE: (len(kept), self.numbers_a_piece)}
        table = whole.arrays[TABLE][kept]
        arrays = LazyArrays(shapes, lambda name: table.copy() if name == TABLE else whole.arrays[name])
        self.result = Checkpoint(whole.name, config, arrays, tokenizer.files())
        self.whole, self.trimmed = load_network(whole.config, whole.arrays), load_network(config, arrays)

    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        content = json.dumps(record.as_json(), ensure_ascii=False, indent=1).encode()
        files = {**self.result.tokenizer_files, RECORD: content}
        return write_checkpoint(self.output, dataclasses.replace(self.result, tokenizer_files=files))


class _Built(_Source):
    """A Keras model in memory."""

    error = ModelError

    def __init__(self, built: Rebuilt, config: Mapping[str, Any], head: Head) -> None:
        self.whole, self.task, self.tokenizer = built
        self.config, self.head = dict(config), head
        self.parameters = sum(int(np.prod(variable.shape)) for variable in self.whole.variables)
        tables = [variable for variable in self.whole.variables if _is_by_piece(variable)]
        self.rows = int(tables[0].shape[0])
        self.numbers_a_piece = sum(int(np.prod(table.shape[1:])) for table in tables)
        self.has_logits_by_piece = len(tables) > 1

    def cut(self, tokenizer: Tokenizer, kept: np.ndarray) -> None:
        self.config |= {"vocab_size": len(kept), "pad_token_id": tokenizer.special.pad}
        self.trimmed = self.task.model(network(self.config), self.head)
        for old, new in zip(self.whole.variables, self.trimmed.variables, strict=True):
            new.assign(tf.gather(old, kept) if _is_by_piece(old) else old)

    def compared(self, model: keras.Model) -> keras.Model:
        if not self.has_logits_by_piece:
            return model
        # Logits of pieces are products with rows that were copied. A product of fewer rows may be computed in another
        # order, so that its last bit says nothing: what the head reads is compared. The head's weights are copies.
        return keras.Model({name: model.input[name] for name in INPUTS}, model.get_layer("head").input)


class _Saved(_Built, _Kept):
    def __init__(self, folder: Path, output: str | Path) -> None:
        self.model: Model = load_model(folder)
        self.output = Path(output) if str(output) else folder.parent
        self.contents: Contents = self.model.contents()
        config = read_json(self.contents.encoder_files, "config.json")
        super().__init__(self.model.rebuild(), config, registry.build("heads", self.contents.head))

    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        origin = "/".join(str(part) for part in (self.model.name, self.model.version) if part is not None)
        content = json.dumps({"trimmed_from": origin, **record.as_json()}, ensure_ascii=False, indent=1).encode()
        others = {name: data for name, data in self.contents.files.items() if name not in OUTDATED}
        contents = dataclasses.replace(
            self.contents,
            encoder_files={"config.json": json.dumps(self.config, indent=2).encode(), **tokenizer.files()},
            files={**others, RECORD: content},
            run_toml=NOTE.format(origin=origin) + self.contents.run_toml,
        )
        answerer = Answerer(self.trimmed, self.task, tokenizer)
        return export(answerer, self.output, contents=contents, settings=self._export_settings(), progress=progress)

    def _export_settings(self) -> exporting.Settings:
        """Returns what the saved model was exported with: it goes to the same server."""
        section = self.model.recipe.get("export", {})
        chosen = settings.validate(exporting.Settings, section, where="export")
        # The signatures say it even if there is no recipe.
        tokens_only = "input_ids" in self.model.manifest.signatures["serving_default"]["inputs"]
        return chosen.model_copy(update={"tokens_only": tokens_only})


def _is_by_piece(variable: tf.Variable) -> bool:
    """Whether a variable has a row for each piece: the word embeddings, and a head's bias or weights of pieces."""
    return any(f"/{scope}/" in f"/{variable.name}" for scope in ("word_embeddings", VOCABULARY))


def _open(weights: str | Path, output: str | Path) -> _Kept:
    folder = Path(weights).expanduser()
    version = find_version(folder) if folder.is_dir() else None
    return _Pretrained(str(weights), output) if version is None else _Saved(version, output)


def _probes(tokenizer: Tokenizer, kept: np.ndarray, groups: Iterable[Sequence[str]]) -> list[str]:
    """Returns texts whose pieces are all kept, a few of each group (a language's counted or held-out texts)."""
    fit = [vocabulary.all_kept(tokenizer, kept, group) for group in groups]
    mixed = (text for row in zip_longest(*fit) for text in row if text is not None)
    found = list(islice(dict.fromkeys(mixed), PROOF_TEXTS))
    if not found:
        raise RecipeError(
            "of no text are all pieces kept, so nothing can be proved",
            expected="rules that keep the pieces of at least one text",
            fix="Lower min_count, or name more scripts.",
        )
    return found


def _prove(source: _Source, tokenizer: Tokenizer, kept: np.ndarray, texts: Sequence[str]) -> None:
    """Checks that both networks answer texts whose pieces are all kept alike, to the last bit."""
    length = min(128, _positions(source.whole))
    for start in range(0, len(texts), BATCH):
        batch = tf.constant([text.encode() for text in texts[start : start + BATCH]], tf.string)
        old, new = (one.encode(batch, max_length=length) for one in (source.tokenizer, tokenizer))
        same_ids = np.array_equal(kept[new["input_ids"]], old["input_ids"])
        whole, trimmed = (source.compared(model) for model in (source.whole, source.trimmed))
        if not same_ids or not np.array_equal(_run(whole, old), _run(trimmed, new)):
            raise source.error(
                f"the trimmed {'network' if same_ids else 'tokenizer'} differs on a text whose pieces are all kept",
                expected="equal answers, to the last bit",
                fix="Report this with the weights' name: nothing was written.",
            )


def _run(model: keras.Model, encoded: Mapping[str, tf.Tensor]) -> np.ndarray:
    return model({name: encoded[name] for name in INPUTS}, training=False).numpy()


def _positions(model: keras.Model) -> int:
    return next(int(one.shape[0]) for one in model.variables if "position_embeddings" in one.name)
