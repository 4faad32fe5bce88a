"""Adopt: a published checkpoint becomes a saved model, proved equal to the original, without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field

from tfxl import certificate as certificates
from tfxl import memory, recipes, registry, settings, trimmable, trimming
from tfxl.certificate import Certificate
from tfxl.errors import RecipeError
from tfxl.example import UNKNOWN_LANGUAGE
from tfxl.formats import Portable
from tfxl.pretrained.source import find_folder
from tfxl.progress import SILENT, Progress
from tfxl.serving import export as exporting
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents
from tfxl.serving.model import Model, Rebuilt, load
from tfxl.text.parity import Parity
from tfxl.text.vocabulary import Rules


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
    certificate = certificates.compare(source, portable, progress)
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
        files={certificates.FILE: _as_file(certificate.as_json())}
        | ({trimmable.RECORD: _as_file(certificate.trimmed)} if certificate.trimmed else {}),
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
    certificate = certificates.compare(source, _read(source, _settings(overrides), progress), progress)
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
