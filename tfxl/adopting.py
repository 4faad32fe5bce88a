"""Adopt: a published checkpoint becomes a saved model, proved equal to the original, without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tomli_w
from pydantic import Field

from tfxl import memory, recipes, registry, settings, trimming
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.errors import ModelError, RecipeError
from tfxl.example import UNKNOWN_LANGUAGE
from tfxl.formats import Portable
from tfxl.formats.huggingface import CLASSES
from tfxl.pretrained import reference
from tfxl.pretrained.configuration import parse_json
from tfxl.pretrained.families import FAMILIES
from tfxl.pretrained.folder import TOKENIZER_FILES, weights_files
from tfxl.pretrained.selftest import PROBES
from tfxl.pretrained.source import find_folder
from tfxl.progress import SILENT, Progress
from tfxl.serving import export as exporting
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents
from tfxl.serving.model import Model, Rebuilt, load
from tfxl.tasks import POSITIONS
from tfxl.text.parity import Parity
from tfxl.text.vocabulary import Rules

CERTIFICATE = "certificate.json"
"""The file in a saved model's assets.extra."""
LARGEST = 1e-4
"""The difference of logits from which on a model is refused."""
TEXTS: Mapping[str, str] = {
    **{probe.script: probe.text for probe in PROBES},
    "Georgian": "ოთახი სუფთა იყო და საჭმელი კარგი",
    "Ethiopic": "ክፍሉ ንጹህ ነበር ምግቡም ጥሩ ነበር",
}
"""A text in each script on which a model is compared with its original, alone and as a pair with the next one."""


class Export(exporting.Settings):
    """What is exported. An adopted model reads longer texts than most that are trained: fewer at once are tried out."""

    warmup_batch_sizes: tuple[int, ...] = Field(default=(1, 4), min_length=1)


class Settings(settings.Settings):
    """What is adopted, and where it goes."""

    name: str = ""
    """The model's name; the last part of the source's if empty."""
    output: str = "saved_models"
    format: Literal["auto", "huggingface", "sentence_transformers"] = "auto"
    """What kind of folder it is; `auto` looks for modules.json."""
    read: dict[str, Any] = Field(default_factory=dict)
    """Settings of the format, such as `read.second_text=true` or `read.labels=["bad", "good"]`."""
    languages: tuple[str, ...] = (UNKNOWN_LANGUAGE,)
    """The languages of `texts`; the recipe of the saved model names them, for `tfxl evaluate`."""
    texts: tuple[str, ...] = ()
    """Files such as `reviews/{language}.csv`: the vocabulary is trimmed to the pieces that they use and `keep` adds.
    None leaves it whole. Never the texts that the model is scored on."""
    reader: str | dict[str, Any] = "jsonl"
    """The reader of `texts`."""
    keep: Rules = Field(default_factory=Rules)
    """What is kept beside the pieces of `texts`; see `tfxl show trim`."""
    export: Export = Field(default_factory=Export)


@dataclass(frozen=True)
class Certificate:
    """How a model was found to answer beside its original.

    Attributes:
        source: Where it is from.
        architecture: transformers' class that it was compared with.
        library: What computed that class.
        task: What it answers.
        labels: Its labels, if it has any.
        texts: The probe texts, by script.
        rows: Rows of tokens that were compared: texts alone, and pairs.
        logits: The largest difference of logits at real tokens; of hidden states for a bare encoder.
        hidden: The largest difference of hidden states, after the embeddings and each layer.
        other_ids: The scripts whose texts transformers' tokenizer cuts otherwise; None where it cannot be loaded.
        reads_text: Whether the SavedModel reads raw text; else it reads tokens only, and `remarks` say why.
        remarks: What a person should know, each a sentence.
        trimmed: What was cut of the vocabulary after the comparison, and on how many texts whole and trimmed model then
            answered alike to the last bit; None where it is whole.
    """

    source: str
    architecture: str
    library: str
    task: str
    labels: tuple[str, ...]
    texts: Mapping[str, str]
    rows: int
    logits: float
    hidden: tuple[float, ...]
    other_ids: tuple[str, ...] | None
    reads_text: bool
    remarks: tuple[str, ...]
    trimmed: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the certificate as plain values."""
        return {**asdict(self), "allowed": LARGEST}

    def show(self, progress: Progress) -> None:
        """Shows the certificate."""
        cut = "not loaded" if self.other_ids is None else ", ".join(self.other_ids) or "equal"
        rows = [
            ("class", self.architecture),
            ("compared with", self.library),
            ("task", self.task),
            ("labels", ", ".join(self.labels[:12]) or "none"),
            ("texts", f"{len(self.texts)} scripts, {self.rows} rows"),
            ("largest difference of logits", f"{self.logits:.1e}"),
            ("largest difference of hidden states", f"{max(self.hidden):.1e}"),
            ("transformers' tokenizer", cut),
            ("the server reads", "text" if self.reads_text else "tokens only"),
        ]
        progress.table(f"Certificate of {self.source}", ("", ""), rows)
        for remark in self.remarks:
            progress.say(remark)


def adopt(source: str, *overrides: str, progress: Progress = SILENT) -> Model:
    """Makes a published checkpoint a saved model that TensorFlow Serving reads as it is.

    Nothing is trained. The model is compared with transformers' own class on texts in 14 scripts, then its vocabulary
    is trimmed if `texts` are named; what was found stands in `assets.extra/certificate.json`.

    The weights are in memory once at a time: the original, the Keras model and what was saved follow each other.

    Args:
        source: A folder or a Hub name, of transformers or sentence-transformers.
        overrides: `Settings` as `key=value`, the value in TOML, such as `name="sentiment"`.
        progress: Is told what happens.

    Raises:
        TfxlError: The checkpoint cannot be mapped, or answers otherwise than the original. Nothing is written then.

    Example:
        >>> tfxl.adopt("cardiffnlp/twitter-xlm-roberta-base-sentiment").predict(["这家酒店很吵"])
    """
    told = _settings(overrides)
    texts = _texts(told, progress)
    portable = _read(source, told, progress)
    # Before the weights are read: it needs memory, and may refuse.
    tokenizer = None if texts else exporting.check_tokenizer(portable.tokenizer, progress)
    certificate = _compare(source, portable, progress)
    certificate.show(progress)
    if texts:
        portable, certificate = _trimmed(portable, certificate, texts, told, progress)
    folder = _published(portable, certificate, tokenizer, told, progress)
    memory.give_back()
    return load(folder)


def _texts(told: Settings, progress: Progress) -> dict[str, list[str]]:
    return trimming.read_texts(told.texts, told.languages, reader=told.reader, progress=progress) if told.texts else {}


def _trimmed(
    portable: Portable, certificate: Certificate, texts: trimming.Texts, told: Settings, progress: Progress
) -> tuple[Portable, Certificate]:
    """Cuts the vocabulary down to what some texts need; the whole model is then gone from memory."""
    whole = Rebuilt(portable.model, portable.task, portable.tokenizer)
    trimmed, config, found = trimming.trim_built(
        whole, portable.config, portable.head, texts=texts, rules=told.keep, progress=progress
    )
    memory.release(whole.model.variables)
    small = replace(portable, build=lambda: trimmed.model, tokenizer=trimmed.tokenizer, config=config)
    return small, replace(certificate, trimmed=found.as_json())


def _published(
    portable: Portable, certificate: Certificate, tokenizer: Parity | None, told: Settings, progress: Progress
) -> Path:
    """Exports a model with its certificate; its weights are gone from memory then."""
    name = safe_name(told.name or portable.name)
    export = told.export.model_copy(update={"tokens_only": told.export.tokens_only or not certificate.reads_text})
    config = json.dumps(dict(portable.config), indent=2).encode()
    contents = Contents(
        encoder=portable.encoder,
        head=portable.head.spec(),
        encoder_files={"config.json": config, **portable.tokenizer.files()},
        run_toml=_recipe(portable, name, told, export),
        files={CERTIFICATE: _as_file(certificate.as_json())}
        | ({trimming.RECORD: _as_file(certificate.trimmed)} if certificate.trimmed else {}),
    )
    answerer = Answerer(portable.model, portable.task, portable.tokenizer, reads_text=not export.tokens_only)
    return exporting.export(
        answerer,
        Path(told.output) / name,
        contents=contents,
        settings=export,
        tokenizer=tokenizer,
        release=True,
        progress=progress,
    )


def _as_file(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def check(source: str, *overrides: str, progress: Progress = SILENT) -> Certificate:
    """Compares a published checkpoint with what `adopt` would make of it, and writes nothing.

    Args:
        source: See `adopt`.
        overrides: See `adopt`.
        progress: See `adopt`.

    Raises:
        TfxlError: See `adopt`.
    """
    certificate = _compare(source, _read(source, _settings(overrides), progress), progress)
    certificate.show(progress)
    return certificate


def safe_name(name: str) -> str:
    """Returns a name that may be a model's: other characters than letters, digits, `_`, `.` and `-` become `-`."""
    safe = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_.-") else "-" for sign in name)
    return safe.lstrip("_.-") or "adopted"


def _settings(overrides: Sequence[str]) -> Settings:
    told = settings.validate(Settings, recipes.override({}, overrides), where="")
    if told.texts and told.languages == (UNKNOWN_LANGUAGE,):
        raise RecipeError(
            "texts without languages",
            expected="the languages of the texts that the vocabulary is trimmed to",
            fix='Name them, such as --languages de,hi,zh or languages=["de", "hi", "zh"].',
        )
    unused = sorted(told.model_fields_set & {"reader", "keep"})
    if unused and not told.texts:
        raise RecipeError(
            f"{' and '.join(unused)} without texts",
            expected="texts that the vocabulary is trimmed to",
            fix="Name them, such as --texts 'reviews/{language}.csv', or leave these settings out.",
        )
    return told


def _read(source: str, told: Settings, progress: Progress) -> Portable:
    kind = told.format
    if kind == "auto":
        folder = find_folder(source, ["modules.json", "config.json"])
        kind = "sentence_transformers" if (folder / "modules.json").is_file() else "huggingface"
    progress.say(f"reading {source} as {kind}")
    portable: Portable = registry.build("formats", {"kind": kind, **told.read}).read(source)
    return portable


def _compare(source: str, portable: Portable, progress: Progress) -> Certificate:
    """Compares a model with its original, layer by layer.

    Raises:
        ModelError: The logits differ by more than `LARGEST`.
    """
    folder = _original(source)
    values = parse_json((folder / "config.json").read_bytes(), where=str(folder / "config.json"))
    architecture = _architecture(values, portable)
    rows = _rows(portable)
    progress.say(f"comparing with {architecture} on {len(rows['input_ids'])} rows")
    other_ids = _other_ids(folder, portable)
    memory.give_back()
    theirs = reference.outputs(
        folder,
        architecture,
        {name: rows[name] for name in INPUTS},
        token_types=_has_types(values),
        positions=rows.get(POSITIONS),
    )
    memory.give_back()
    ours = _outputs(portable, rows)
    hidden = tuple(_difference(mine, other, rows) for mine, other in zip(ours.hidden, theirs.hidden, strict=True))
    logits = hidden[-1] if theirs.logits is None else _of_logits(ours.logits, theirs.logits, rows)
    if max(logits, hidden[-1]) > LARGEST:
        raise _parted(source, architecture, hidden, logits)
    return Certificate(
        source=source,
        architecture=architecture,
        library=theirs.library,
        task=portable.task.kind,
        labels=tuple(getattr(portable.task, "tags", getattr(portable.task, "names", ()))),
        texts=TEXTS,
        rows=len(rows["input_ids"]),
        logits=logits,
        hidden=hidden,
        other_ids=other_ids,
        reads_text=portable.tokenizer.in_graph,
        remarks=(*portable.remarks, *_about_tokens(portable)),
    )


def _original(source: str) -> Path:
    """The folder that transformers loads: that of the encoder, where it stands in one of its own."""
    files = ["config.json", *TOKENIZER_FILES, *weights_files(), *(f"{name}.index.json" for name in weights_files())]
    folder = find_folder(source, files)
    inner = folder / "0_Transformer"
    return inner if (inner / "config.json").is_file() else folder


def _architecture(values: Mapping[str, Any], portable: Portable) -> str:
    """The class that answers as the model does; of a bare encoder the one without a head."""
    return f"{FAMILIES[values['model_type']].architectures}{CLASSES[portable.task.kind]}"


def _has_types(values: Mapping[str, Any]) -> bool:
    """Whether the original reads token types and has more than one."""
    return values["model_type"] != "distilbert" and values.get("type_vocab_size", 2) > 1


def _rows(portable: Portable) -> dict[str, np.ndarray]:
    """Rows of the texts alone and as pairs, padded on the right to the longest, as the model reads them."""
    texts = list(TEXTS.values())
    length = min(64, int(portable.config["max_position_embeddings"]))
    alone = portable.tokenizer.encode(tf.constant(texts), max_length=length)
    pairs = portable.tokenizer.encode(tf.constant(texts), tf.constant([*texts[1:], texts[0]]), max_length=length)
    longest = max(int(each["input_ids"].shape[1]) for each in (alone, pairs))
    padding = {"input_ids": portable.tokenizer.special.pad, "token_type_ids": 0, "attention_mask": 0}
    rows = {
        name: np.concatenate([_padded(each[name].numpy(), longest, padding[name]) for each in (alone, pairs)])
        for name in INPUTS
    }
    task = portable.task.with_tokenizer(portable.tokenizer)
    return {name: np.asarray(values) for name, values in task.inputs(task.probe(rows)).items()}


def _padded(ids: np.ndarray, longest: int, value: int) -> np.ndarray:
    return np.pad(ids, [(0, 0), (0, longest - ids.shape[1])], constant_values=value)


def _outputs(portable: Portable, rows: Mapping[str, np.ndarray]) -> reference.Outputs:
    encoder = portable.model.get_layer("encoder")
    tokens = {name: rows[name] for name in INPUTS}
    hidden = encoder(tokens, output_hidden_states=True, training=False).hidden_states
    return reference.Outputs([each.numpy() for each in hidden], portable.model(dict(rows)).numpy(), "tfxl")


def _difference(ours: np.ndarray, theirs: np.ndarray, rows: Mapping[str, np.ndarray]) -> float:
    """The largest difference of `[rows, tokens, …]` at real tokens."""
    return float(np.abs(ours - theirs)[rows["attention_mask"] == 1].max())


def _of_logits(ours: Any, theirs: np.ndarray, rows: Mapping[str, np.ndarray]) -> float:
    if POSITIONS in rows:
        return float(np.abs(ours - theirs)[rows[POSITIONS] >= 0].max())
    if theirs.ndim == 3:  # of tokens; tags that the original does not have are left out
        return _difference(ours[:, :, : theirs.shape[-1]], theirs, rows)
    return float(np.abs(ours - theirs.reshape(ours.shape)).max())


def _parted(source: str, architecture: str, hidden: Sequence[float], logits: float) -> ModelError:
    wrong = [place for place, difference in enumerate(hidden) if difference > LARGEST]
    where = "the head" if not wrong else "the embeddings" if wrong[0] == 0 else f"layer {wrong[0]} of {len(hidden) - 1}"
    return ModelError(
        f"{source}: logits differ from {architecture}'s by up to {logits:.1e}; the two part ways in {where} "
        f"(hidden states differ by {', '.join(f'{each:.0e}' for each in hidden)})",
        expected=f"at most {LARGEST:.0e}",
        fix="Nothing was written. Report this with the checkpoint's name: such a checkpoint is not BERT in structure.",
    )


def _other_ids(folder: Path, portable: Portable) -> tuple[str, ...] | None:
    theirs = reference.tokenize(folder, list(TEXTS.values()))
    if theirs is None:
        return None
    encoded = portable.tokenizer.encode(tf.constant(list(TEXTS.values())), max_length=100_000)
    ids, mask = encoded["input_ids"].numpy(), encoded["attention_mask"].numpy()
    ours = [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)]
    return tuple(script for script, mine, other in zip(TEXTS, ours, theirs, strict=True) if mine != other)


def _about_tokens(portable: Portable) -> list[str]:
    if portable.tokenizer.in_graph:
        return []
    return [
        f"The server reads tokens, not text: a SavedModel cannot hold this tokenizer ({portable.tokenizer.reason}). "
        "Callers make the ids with the tokenizer.json in assets.extra/encoder."
    ]


def _recipe(portable: Portable, name: str, told: Settings, export: exporting.Settings) -> str:
    """A recipe with which the model can be measured on data of one's own, and made again."""
    run = {
        "name": name,
        "output": told.output,
        "data": {"languages": list(told.languages)},
        "encoder": dict(portable.encoder),
        "task": portable.task.spec(),
        "head": portable.head.spec(),
        "training": {"epochs": 0},
        "export": export.as_toml(),
    }
    return tomli_w.dumps(run)
