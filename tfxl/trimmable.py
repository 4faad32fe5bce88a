"""What can be trimmed: pretrained weights, a saved model or one in memory; and the record of what was cut."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfxl import registry, settings
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.encoders.bert import network
from tfxl.errors import ModelError, RecipeError, WeightsError
from tfxl.heads import Head
from tfxl.heads.masked_language import VOCABULARY, MaskedLanguageLayer
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, shapes_of, write_checkpoint
from tfxl.pretrained.network import load as load_network
from tfxl.pretrained.saved_model import find_version
from tfxl.pretrained.source import open_checkpoint
from tfxl.progress import Progress
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


class Source(ABC):
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


class Kept(Source):
    """What lies in a folder, and goes to one."""

    @abstractmethod
    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        """Writes the trimmed model: whole or not at all."""


class Pretrained(Kept):
    """Weights that are read for training, which go to a new folder."""

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
        """See the contract."""
        whole = self.checkpoint
        config = {**whole.config, "vocab_size": len(kept), "pad_token_id": tokenizer.special.pad}
        shapes = {**shapes_of(whole.arrays), TABLE: (len(kept), self.numbers_a_piece)}
        table = whole.arrays[TABLE][kept]
        arrays = LazyArrays(shapes, lambda name: table.copy() if name == TABLE else whole.arrays[name])
        self.result = Checkpoint(whole.name, config, arrays, tokenizer.files())
        self.whole, self.trimmed = load_network(whole.config, whole.arrays), load_network(config, arrays)

    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        """Writes the folder, the record beside the weights."""
        content = json.dumps(record.as_json(), ensure_ascii=False, indent=1).encode()
        files = {**self.result.tokenizer_files, RECORD: content}
        return write_checkpoint(self.output, dataclasses.replace(self.result, tokenizer_files=files))


class Built(Source):
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
        """See the contract."""
        self.config |= {"vocab_size": len(kept), "pad_token_id": tokenizer.special.pad}
        self.trimmed = self.task.model(network(self.config), self.head)
        for old, new in zip(self.whole.variables, self.trimmed.variables, strict=True):
            new.assign(tf.gather(old, kept) if _is_by_piece(old) else old)

    def compared(self, model: keras.Model) -> keras.Model:
        """Returns the model, or what its heads read where logits of one are those of pieces."""
        if not self.has_logits_by_piece:
            return model
        # Logits of pieces are products with rows that were copied. A product of fewer rows may be computed in another
        # order, so that its last bit says nothing: what the head reads is compared. The head's weights are copies.
        head = next(layer for layer in model.layers if isinstance(layer, MaskedLanguageLayer))
        return keras.Model({name: model.input[name] for name in INPUTS}, head.input)


class Saved(Built, Kept):
    """A saved model, of which a new version is published."""

    def __init__(self, folder: Path, output: str | Path) -> None:
        self.model: Model = load_model(folder)
        self.output = Path(output) if str(output) else folder.parent
        self.contents: Contents = self.model.contents()
        config = read_json(self.contents.encoder_files, "config.json")
        super().__init__(self.model.rebuild(), config, registry.build("heads", self.contents.head))

    def write(self, tokenizer: Tokenizer, record: Trimmed, progress: Progress) -> Path:
        """Exports the next version as the last one was exported; its recipe says where it is from."""
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


def open_source(weights: str | Path, output: str | Path) -> Kept:
    """Returns what stands in a folder, or behind a name: a saved model where there is one, else pretrained weights."""
    folder = Path(weights).expanduser()
    version = find_version(folder) if folder.is_dir() else None
    return Pretrained(str(weights), output) if version is None else Saved(version, output)
