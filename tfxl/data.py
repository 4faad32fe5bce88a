"""Data: the examples of a run, read, cleaned, checked and counted, so that nothing is lost without a word.

Training rows are streamed to disk. Rows that are scored are held in memory.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfxl import languages
from tfxl.cleaners import CleaningReport, clean_all
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.progress import Progress
from tfxl.readers import BadRow, expand
from tfxl.recipe import Parts, Run, make_cleaners
from tfxl.samplers import expected_epochs
from tfxl.tasks import Task
from tfxl.text.dataset import Batches, Rows, StaticShapes

SHOWN = 3
"""Skipped rows of a split that are named; all of them are counted."""


@dataclass
class SplitReport:
    """What happened to the rows of one split.

    Attributes:
        rows: Rows that are used, by language.
        skipped: Rows that could not be used, with the reason.
        other_languages: Rows left out because the recipe does not name their language, by language.
        cleaning: What each cleaner did, by (kind of cleaner, language).
    """

    rows: Counter[str] = field(default_factory=Counter)
    skipped: list[BadRow] = field(default_factory=list)
    other_languages: Counter[str] = field(default_factory=Counter)
    cleaning: CleaningReport = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {
            "rows": dict(self.rows),
            "skipped": [row._asdict() for row in self.skipped],
            "other_languages": dict(self.other_languages),
            "cleaning": [
                {"cleaner": kind, "language": language, **asdict(count)}
                for (kind, language), count in self.cleaning.items()
            ],
        }

    def show(self, split: str, progress: Progress) -> None:
        """Tells what was skipped, left out, changed and dropped."""
        for bad in self.skipped[:SHOWN]:
            progress.say(f"{split}: skipped {bad.path}, line {bad.line}: {bad.reason}")
        if self.skipped:
            progress.say(f"{split}: {len(self.skipped)} rows skipped, {self.rows.total()} used")
        if self.other_languages:
            counts = ", ".join(f"{language} {rows}" for language, rows in self.other_languages.items())
            progress.say(f"{split}: rows left out because the recipe does not name their language: {counts}")
        touched = [(*key, *asdict(count).values()) for key, count in self.cleaning.items()]
        idle = sorted({kind for kind, _ in self.cleaning} - {row[0] for row in touched if row[3] or row[4]})
        touched = [row for row in touched if row[3] or row[4]]
        if touched:
            progress.table(f"Cleaning, {split}", ("cleaner", "language", "seen", "changed", "dropped"), touched)
        if idle:
            progress.say(f"{split}: {', '.join(idle)} changed and dropped nothing")


class DataReport(dict[str, SplitReport]):
    """What happened to the rows of a run, by split: `train`, `validation`, `test`."""

    def files(self) -> dict[str, bytes]:
        """Returns data.json, which stands beside a model."""
        splits = {split: report.as_json() for split, report in self.items()}
        return {"data.json": json.dumps(splits, ensure_ascii=False, indent=1).encode() + b"\n"}


def read(
    run: Run, parts: Parts, split: str, *, report: DataReport, progress: Progress, labelled: bool = True
) -> Iterator[Example]:
    """Yields the examples of a split that can be used, in order; none if the recipe names no file for it.

    Cleaners may drop training rows; rows that are scored are all kept, so that scores can be compared. Rows without a
    right answer are refused before the cleaners see them. Rows of languages that the recipe does not name are left out
    and counted, whatever their answer.

    Args:
        run: Names the files, the languages and the cleaners.
        parts: Holds the reader and the task.
        split: `train`, `validation` or `test`.
        report: Gets what happened, once the last example was read.
        progress: Is told what happened.
        labelled: Whether rows must have a right answer.

    Raises:
        DataError: A file is missing, a row is wrong, or its right answer is none that the task knows (with
            `on_error = "skip"` such rows are counted instead), or no row is left.
    """
    pattern, codes = run.data.split(split)
    if not pattern:
        return
    found = report[split] = SplitReport()
    skipped_before = len(parts.reader.skipped)
    raw = (
        example
        for path, language in expand(pattern, codes, files=parts.reader.reads_files)
        for example in parts.reader.read(path, language=language)
        if _passes(example, _language, parts)
    )
    wanted = {languages.find(code).base for code in codes}
    if labelled:  # before cleaners, which may drop a good row as the duplicate of one that is refused
        raw = (each for each in raw if not _is_of(each, wanted) or _passes(each, parts.task.gold, parts))
    cleaned = clean_all(make_cleaners(run), raw, found.cleaning, may_drop=split == "train")
    used = _of_languages(cleaned, wanted, found.other_languages)
    if labelled:  # and after them, for they change texts that answers stand in, and name languages
        used = (example for example in used if _passes(example, parts.task.gold, parts))
    if split == "train" and run.data.few_shot:
        used = _few_of(used, run.data.few_shot_languages, run.data.few_shot, seed=run.seed)
    for example in used:
        found.rows[example.language] += 1
        yield example
    found.skipped = parts.reader.skipped[skipped_before:]
    found.show(split, progress)
    if not found.rows:
        raise _nothing_usable(pattern, codes)


def _of_languages(examples: Iterable[Example], wanted: Container[str], others: Counter[str]) -> Iterator[Example]:
    """Yields the examples of the wanted languages and counts the rest."""
    for example in examples:
        if _is_of(example, wanted):
            yield example
        else:
            others[example.language] += 1


def _is_of(example: Example, wanted: Container[str]) -> bool:
    """Whether an example is of a wanted language."""
    return languages.find(example.language).base in wanted


def _few_of(examples: Iterable[Example], codes: Sequence[str], count: int, *, seed: int) -> Iterator[Example]:
    """Yields the examples of other languages, then `count` of each of these, drawn by the seed (Vitter 1985)."""
    kept: dict[str, list[Example]] = {languages.find(code).base: [] for code in codes}
    seen, draws = Counter[str](), {base: np.random.default_rng((seed, zlib.crc32(base.encode()))) for base in kept}
    for example in examples:
        base = languages.find(example.language).base
        if base not in kept:
            yield example
            continue
        place = seen[base] if seen[base] < count else int(draws[base].integers(seen[base] + 1))
        seen[base] += 1
        if place < count:
            kept[base][place : place + 1] = [example]
    for few in kept.values():
        yield from few


def _nothing_usable(pattern: str, codes: Sequence[str]) -> DataError:
    return DataError(
        f"{pattern}: no row of it can be used",
        expected=f"rows in {', '.join(codes)}",
        fix="Correct the file, data.languages, or the reader's settings.",
    )


def _language(example: Example) -> None:
    """Refuses a row whose language is no tag of one."""
    try:
        languages.find(example.language)
    except RecipeError as error:
        raise DataError(f"{example.place}: {error.got}", expected=error.expected, fix=error.fix) from None


def _passes(example: Example, check: Callable[[Example], Any], parts: Parts) -> bool:
    """Whether a check finds nothing wrong with a row; if not, the row is refused as the reader's settings say."""
    try:
        check(example)
    except DataError as error:
        if parts.reader.settings.on_error == "raise":
            raise
        path, _, line = example.source.rpartition(":")
        parts.reader.skipped.append(BadRow(path, int(line) if line.isdigit() else 0, error.got))
        return False
    return True


def training_batches(
    run: Run, parts: Parts, scratch: Path, *, report: DataReport, progress: Progress, replicas: int = 1
) -> Batches:
    """Reads, cleans and counts the training data, tells the sampling plan, and returns its batches.

    Args:
        run: Names the data.
        parts: Holds the reader, sampler, task and encoder.
        scratch: A folder for the rows.
        report: Gets what happened to the rows.
        progress: Is told the plan.
        replicas: Devices that share a batch.
    """
    rows = Rows.write(
        _observed(read(run, parts, "train", report=report, progress=progress), parts),
        scratch / "rows.jsonl",
        group=parts.sampler.group,
    )
    longest = parts.task.longest
    batches = Batches(
        rows,
        parts.task,
        parts.encoder.tokenizer(),
        batch_size=run.training.batch_size,
        seed=run.seed,
        shares=parts.sampler.weights,
        sorted_batches=run.training.sorted_batches,
        static=StaticShapes.up_to(longest) if run.training.needs_static_shapes() else None,
        replicas=replicas,
    )
    _show_plan(batches, parts, epochs=run.training.epochs, progress=progress)
    if cut := int(batches.measured.truncated.sum()):
        limit = f"{longest} tokens" if len(parts.task.readings) == 1 else "their task reads"
        progress.say(f"{cut} of {len(rows)} training texts are longer than {limit}: cut")
    return batches


def _show_plan(batches: Batches, parts: Parts, *, epochs: int, progress: Progress) -> None:
    """Tells how often each group will be seen. Windows of long texts are drawn one by one, so they are what counts."""
    rows, items = batches.rows.counts(), batches.counts()
    shares = dict(zip(items, batches.shares, strict=True))
    times = expected_epochs(items, shares)
    plan: dict[str, list[Any]] = {
        " / ".join(parts.sampler.settings.by): ["/".join(group) for group in items],
        "rows": [rows[group] for group in items],
        "windows": list(items.values()),
        "share of steps": [f"{shares[group]:.1%}" for group in items],
        "times seen per epoch": [f"{times[group]:.2f}" for group in items],
        "in all": [f"{times[group] * epochs:.1f}" for group in items],
    }
    if rows == items:
        del plan["windows"]
    progress.table("Sampling plan", tuple(plan), list(zip(*plan.values(), strict=True)))


def _observed(examples: Iterator[Example], parts: Parts) -> Iterator[Example]:
    for example in examples:
        parts.task.observe(example)
        yield example


def texts_of(examples: Sequence[Example], task: Task) -> dict[str, list[Any]]:
    """Returns the texts of examples by the names that a task reads."""
    whole = [task.completed(example) for example in examples]
    return {name: [getattr(each, name) or "" for each in whole] for name in task.text_inputs}
