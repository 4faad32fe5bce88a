"""Folders of transformers: any BERT-like encoder, bare or with one of its heads, comes in and goes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl.backend import keras
from tfxl.errors import ModelError, RecipeError, WeightsError
from tfxl.formats import Format, Portable, _heads, _masked, _questions
from tfxl.formats._card import model_card
from tfxl.formats._heads import CHOICE, ENCODER, HEADS, SEQUENCE, SPAN, TOKEN, Layers
from tfxl.formats._masked import MASKED
from tfxl.heads import Head
from tfxl.pretrained import families, layout, selftest
from tfxl.pretrained.checkpoint import Checkpoint, LazyArrays, write_checkpoint
from tfxl.pretrained.configuration import as_family
from tfxl.pretrained.families import FAMILIES, Family, some
from tfxl.pretrained.network import load
from tfxl.pretrained.source import open_checkpoint
from tfxl.tasks import Task
from tfxl.text import units
from tfxl.text.tokenizer import from_files

LONGEST = 512
"""Tokens that an adopted model reads at once where more would fit: longer texts cost much and are rarely meant."""
CLASSES = {
    "classification": SEQUENCE,
    "inference": SEQUENCE,
    "multilabel": SEQUENCE,
    "regression": SEQUENCE,
    "token_classification": TOKEN,
    "question_answering": SPAN,
    "multiple_choice": CHOICE,
    "fill_mask": MASKED,
    "retrieval": ENCODER,
    "similarity": ENCODER,
}
"""The second half of the name of the class that answers as a task does."""
POOLED = (SEQUENCE, CHOICE)


class _Read(NamedTuple):
    """What is known before anything is built."""

    checkpoint: Checkpoint
    family: str
    kind: str
    layers: Layers | None
    arrays: Mapping[str, np.ndarray]
    """The head's; BERT's pooler is among them."""
    masked: _masked.Found | None = None
    """The head of a masked language model."""


class Huggingface(Format):
    """What `save_pretrained` writes: an encoder of any family in `FAMILIES`, bare or with a head for one task.

    Heads are …ForSequenceClassification, …ForTokenClassification, …ForQuestionAnswering, …ForMultipleChoice and
    …ForMaskedLM. Logits are those of the original, in both directions: what is written, PyTorch's classes load. A bare
    encoder becomes a `retrieval` model that gives the mean of its vectors.

    Example:
        >>> model = Huggingface().read("cardiffnlp/twitter-xlm-roberta-base-sentiment")
        >>> Huggingface().write(Portable.of(tfxl.load("saved_models/sentiment")), "sentiment-for-pytorch")
    """

    class Settings(Format.Settings):
        """What the files do not say."""

        architecture: str = ""
        """Read: the class, such as `ForTokenClassification`, where config.json names none or another one is meant;
        `Model` leaves the head out."""
        labels: tuple[str, ...] = ()
        """Read: the names of the logits, instead of those in config.json."""
        second_text: bool = False
        """Read: whether …ForSequenceClassification is about pairs of texts. Inference always is."""
        max_length: int = Field(default=0, ge=0)
        """Read: tokens that are read at once; 0 for as many as the encoder has positions, at most 512."""
        num_choices: int = Field(default=2, ge=2)
        """Read: how many choices a text has, for …ForMultipleChoice."""
        words: units.Rule = "unicode"
        """Read: what has a tag of its own, for …ForTokenClassification. With `spaces` it is a stretch without spaces,
        in Chinese too, as to transformers' pipelines with SentencePiece."""
        family: Literal["auto", "bert", "xlm-roberta", "roberta", "camembert", "electra", "distilbert"] = "auto"
        """Write: the family whose classes are to load the folder; by default the one whose head is the model's."""

    settings: Settings

    def read(self, path: str) -> Portable:
        """Returns the model in a folder, or of a Hub name, with its task; see the contract."""
        checkpoint = open_checkpoint(path)
        tokenizer = from_files(checkpoint.tokenizer_files)
        report = selftest.check(checkpoint.config, checkpoint.arrays, tokenizer, where=checkpoint.name)
        found = self._sort(checkpoint)
        task, head, remarks = self._question(found)

        def build() -> keras.Model:
            model = task.model(load(checkpoint.config, checkpoint.arrays), head)
            if found.masked is not None:
                _masked.fill(model, found.masked, checkpoint.arrays[layout.WORDS], where=checkpoint.name)
            elif found.layers is not None:
                _heads.fill(model, found.layers, found.arrays, where=checkpoint.name)
            return model

        return Portable(
            name=Path(path.partition("@")[0]).name,
            build=build,
            task=task,
            head=head,
            tokenizer=tokenizer,
            config=checkpoint.config,
            encoder={"kind": "bert", "weights": path},
            remarks=(*report.remarks, *remarks),
        )

    def _sort(self, checkpoint: Checkpoint) -> _Read:
        """Finds the class, and lists what its head lacks or has too much."""
        values, where = checkpoint.source_config, checkpoint.name
        family = str(values.get("model_type", "bert"))
        kind = _kind(self.settings.architecture or next(iter(values.get("architectures") or ()), ""))
        if kind == ENCODER or not (kind or checkpoint.heads):
            return _Read(checkpoint, family, ENCODER, None, {})
        if kind == MASKED:
            return _Read(checkpoint, family, kind, None, {}, _masked.find(checkpoint))
        if kind not in HEADS:
            raise _unknown(where, kind, checkpoint)
        layers = HEADS[kind][family]
        _check_summary(values, layers, where)
        names = _heads.tensors(layers)
        places = {name: each for each in (checkpoint.heads, checkpoint.arrays) for name in names if name in each}
        missing, left_over = (sorted(each) for each in (set(names) - set(places), set(checkpoint.heads) - set(names)))
        if missing or left_over:
            raise WeightsError(
                f"{where}: {len(missing)} missing: {some(missing)}; {len(left_over)} left over: {some(left_over)}",
                expected=f"the tensors of {FAMILIES[family].architectures}{kind}: {some(names)}",
                fix='If the class is another one, name it, such as architecture = "ForTokenClassification".',
            )
        return _Read(checkpoint, family, kind, layers, {name: each[name] for name, each in places.items()})

    def _question(self, found: _Read) -> tuple[Task, Head, tuple[str, ...]]:
        """Returns the task, its head, and remarks."""
        values, told = found.checkpoint.source_config, self.settings
        if found.masked is not None:
            return self._task({"kind": "fill_mask"}, found), registry.build("heads", found.masked.spec), ()
        if found.layers is None:
            spec: dict[str, Any] = {"kind": "retrieval"}
            return self._task(spec, found), registry.build("heads", "embedding"), ()
        dropout = {"dropout": _dropout(values)}
        remark, head = "", {"kind": "pooled", "pooling": "first", "transform": found.layers.activation, **dropout}
        if found.kind in (SEQUENCE, TOKEN):
            count = len(found.arrays[f"{found.layers.logits}.bias"])
            names, remark = _questions.labels(values, count, given=told.labels, where=found.checkpoint.name)
            if found.kind == SEQUENCE:
                spec = _questions.sequence_task(values, names, second_text=told.second_text)
            else:
                spec = {"kind": "token_classification", "labels": list(names), "words": told.words}
                head = {"kind": "token", **dropout}
        elif found.kind == SPAN:
            spec, head = {"kind": "question_answering"}, {"kind": "span"}
        else:
            spec = {"kind": "multiple_choice", "num_choices": told.num_choices}
        return self._task(spec, found), registry.build("heads", head), (remark,) if remark else ()

    def _task(self, spec: dict[str, Any], found: _Read) -> Task:
        positions = found.checkpoint.config["max_position_embeddings"]
        usual = min(positions, 384 if found.kind == SPAN else LONGEST)
        length = min(self.settings.max_length or usual, positions)
        if found.kind == SPAN:
            spec["stride"] = max(1, min(128, length // 4))
        try:
            return registry.build("tasks", {**spec, "max_length": length})
        except RecipeError as error:
            raise WeightsError(
                f"{found.checkpoint.name}: {error.got}",
                expected=error.expected,
                fix="Name the logits in their order with the setting labels.",
            ) from None

    def write(self, model: Portable, path: str | Path) -> Path:
        """Writes `config.json`, `model.safetensors`, the tokenizer's files and a model card; see the contract."""
        kind, layers, written = self._class_for(model)
        family = FAMILIES[written]
        _check_values(model, written)
        config = {**model.config, "pad_token_id": model.tokenizer.special.pad}
        values = as_family(config, written)
        first = layout.first_position(values, family)
        prefix = "" if kind == ENCODER else f"{family.base}."
        encoder = layout.restore(families.lazy(model.model), family, first=first, prefix=prefix)
        head = _head_arrays(model, layers, prefix) if layers else {}
        if kind == MASKED:
            head = _masked.take(model.model, _masked.NAMES[written])
            values["tie_word_embeddings"] = model.head.settings.tied
        shapes = {**encoder.shapes, **{name: array.shape for name, array in head.items()}}
        arrays = LazyArrays(shapes, lambda name: head[name] if name in head else encoder[name])
        architecture = f"{family.architectures}{kind}"
        values |= {"architectures": [architecture], "torch_dtype": "float32", **_asked(model, kind, layers, head)}
        files = _tokenizer_files(model, family)
        card = model_card(model, architecture, library="transformers")
        return write_checkpoint(path, Checkpoint(model.name, values, arrays, {**files, "README.md": card}))

    def _class_for(self, model: Portable) -> tuple[str, Layers | None, str]:
        """Returns the second half of the class's name, its head's layers, and the family."""
        kind = CLASSES.get(model.task.kind, "")
        usual = {"tanh": "bert", "relu": "distilbert", "gelu": "electra"}
        if not kind:
            raise _unlike(model, f"a model of the task {model.task.kind}", f"one of the tasks {', '.join(CLASSES)}")
        if kind == ENCODER:
            return kind, None, "bert" if self.settings.family == "auto" else self.settings.family
        if kind == MASKED:
            return kind, None, _masked.family_for(model, self.settings.family)
        told, activation = model.head.settings, "none"
        if kind in POOLED:
            activation = told.transform if model.head.kind == "pooled" and told.pooling == "first" else ""
        elif model.head.kind != {TOKEN: "token", SPAN: "span"}[kind]:
            activation = ""
        written: str = self.settings.family
        if written == "auto":
            written = usual.get(activation, "bert" if kind not in POOLED else "")
        layers = HEADS[kind].get(written)
        if layers is None or layers.activation != activation:
            fits = {name: f'pooling = "first", transform = "{HEADS[kind][name].activation}"' for name in HEADS[kind]}
            expected = fits.get(written, "; ".join(f"{name}: {text}" for name, text in fits.items()))
            expected = expected if kind in POOLED else f"the head {'token' if kind == TOKEN else 'span'}"
            raise _unlike(model, f"a model with the head {model.head.spec()}", expected)
        return kind, layers, written


def _check_values(model: Portable, family: str) -> None:
    """Refuses a family whose classes compute with values of their own, such as DistilBERT's epsilon of LayerNorm."""
    if fixed := families.computed_otherwise(model.config, family):
        got = ", ".join(f"{name} = {model.config[name]}" for name in fixed)
        raise ModelError(
            f"{model.name}: an encoder with {got}, to be written as {family}",
            expected=", ".join(f"{name} = {value}" for name, value in fixed.items())
            + f": {FAMILIES[family].architectures}'s classes take no other, whatever config.json says",
            fix="Write it as another family with the setting family, such as bert, with a head that its classes have.",
        )


def _check_summary(values: Mapping[str, Any], layers: Layers, where: str) -> None:
    """ELECTRA's configuration can give its head for choices another form than it has by default."""
    usual = {"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu"}
    other = {name: values[name] for name, value in usual.items() if values.get(name, value) != value}
    if layers.dense.startswith("sequence_summary") and other:
        raise WeightsError(f"{where}: {other}", expected=str(usual), fix="Such a head has no counterpart here.")


def _kind(architecture: str) -> str:
    """The second half of a class's name."""
    for start in sorted(
        (f"{prefix}{each.architectures}" for each in FAMILIES.values() for prefix in ("TF", "")), key=len
    ):
        if architecture.startswith(start):
            architecture = architecture.removeprefix(start)
            break
    return architecture


def _unknown(where: str, kind: str, checkpoint: Checkpoint) -> WeightsError:
    named = ", ".join(checkpoint.source_config.get("architectures") or ()) or "no architectures"
    return WeightsError(
        f"{where}: config.json names {named}" + (f", read as {kind}" if kind and kind not in named else ""),
        expected=f"a class that ends in {', '.join((*HEADS, MASKED))} or {ENCODER}",
        fix=f'Set architecture to the right one of these; architecture = "{ENCODER}" takes the encoder and leaves the '
        "head out.",
    )


def _unlike(model: Portable, got: str, expected: str) -> ModelError:
    return ModelError(
        f"{model.name}: {got}, to be written for transformers",
        expected=expected,
        fix="Write it as a family whose head is the same, or train with such a head; its encoder alone can be written "
        "by formats.sentence_transformers.",
    )


def _dropout(values: Mapping[str, Any]) -> float:
    """The head's dropout, as each family says it."""
    names = ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob", "dropout")
    found = next((values[name] for name in names if isinstance(values.get(name), int | float)), 0.1)
    return float(found) if 0 <= found < 1 else 0.1


def _head_arrays(model: Portable, layers: Layers, prefix: str) -> dict[str, np.ndarray]:
    found = _heads.take(model.model, layers)
    if getattr(model.task.settings, "activation", "") == "sigmoid" and model.task.kind == "classification":
        # Of two logits, 0 and x, the softmax is the sigmoid of x.
        weight, bias = (found[f"{layers.logits}.{part}"] for part in ("weight", "bias"))
        found |= {
            f"{layers.logits}.weight": np.concatenate([np.zeros_like(weight), weight]),
            f"{layers.logits}.bias": np.concatenate([np.zeros_like(bias), bias]),
        }
    # What BERT's classes call the pooler is a layer of the encoder.
    return {f"{prefix}{name}" if name.startswith("pooler.") else name: array for name, array in found.items()}


def _asked(model: Portable, kind: str, layers: Layers | None, head: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What config.json says of the labels and the head."""
    if kind not in (SEQUENCE, TOKEN) or layers is None:
        return {}
    count = len(head[f"{layers.logits}.bias"])
    names = [*getattr(model.task, "tags", getattr(model.task, "names", ()))]
    names = names if len(names) == count else [f"LABEL_{number}" for number in range(count)]
    dropout = float(model.head.settings.dropout)
    asked: dict[str, Any] = {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "classifier_dropout": dropout,
        "seq_classif_dropout": dropout,
    }
    return {**asked, "problem_type": _questions.problem_of(model.task.kind, count)} if kind == SEQUENCE else asked


def _tokenizer_files(model: Portable, family: Family) -> dict[str, bytes]:
    """The tokenizer's files; the longest row is said, because transformers' pipelines cut there."""
    files = dict(model.tokenizer.files())
    config = json.loads(files["tokenizer_config.json"])
    config["model_max_length"] = int(model.config["max_position_embeddings"])
    if not family.token_types:  # its classes refuse them
        config["model_input_names"] = ["input_ids", "attention_mask"]
    return {**files, "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=2).encode()}
