"""Trim: cuts a model's vocabulary, and the rows of its embedding table, down to what some languages need.

Before fine-tuning it works on pretrained weights and writes a folder in Hugging Face's layout; after fine-tuning it
works on a saved model and writes its next version. Before anything is written, the real networks are run on texts whose
pieces are all kept: their answers must be equal to the last bit.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tfxl import recipes, registry, settings
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS
from tfxl.errors import RecipeError
from tfxl.heads import Head
from tfxl.progress import SILENT, Progress
from tfxl.readers import BadRow, expand
from tfxl.serving.model import Rebuilt
from tfxl.text import vocabulary
from tfxl.text.tokenizer import Tokenizer
from tfxl.trimmable import Built, Size, Source, Trimmed, open_source

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
    source = open_source(weights, output)
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
    source = Built(built, config, head)
    tokenizer, found = _cut(source, texts, None, rules or vocabulary.Rules(), progress)
    found.show(progress)
    return Rebuilt(source.trimmed, built.task, tokenizer), source.config, found


def _cut(
    source: Source, texts: Texts, held_out: Texts | None, rules: vocabulary.Rules, progress: Progress
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
                every = (example.text, example.second_text, *example.choices)
                found.setdefault(example.language, []).extend(text for text in every if text)
    _tell_skipped(built.skipped, what, progress)
    return found


def _tell_skipped(skipped: Sequence[BadRow], what: str, progress: Progress) -> None:
    for bad in skipped[:SHOWN]:
        progress.say(f"{what}: skipped {bad.path}, line {bad.line}: {bad.reason}")
    if skipped:
        progress.say(f"{what}: {len(skipped)} rows skipped")


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


def _prove(source: Source, tokenizer: Tokenizer, kept: np.ndarray, texts: Sequence[str]) -> None:
    """Checks that both networks answer texts whose pieces are all kept alike, to the last bit."""
    length = min(128, _positions(source.whole))
    whole, trimmed = (source.compared(model) for model in (source.whole, source.trimmed))
    for start in range(0, len(texts), BATCH):
        batch = tf.constant([text.encode() for text in texts[start : start + BATCH]], tf.string)
        old, new = (one.encode(batch, max_length=length) for one in (source.tokenizer, tokenizer))
        same_ids = np.array_equal(kept[new["input_ids"]], old["input_ids"])
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
