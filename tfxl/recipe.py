"""Recipe: a run whose every setting has been checked, and the parts that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from tfxl import languages, recipes, registry
from tfxl.cleaners import Cleaner
from tfxl.encoders import Encoder
from tfxl.errors import RecipeError
from tfxl.evaluation import evaluate as evaluating
from tfxl.example import UNKNOWN_LANGUAGE
from tfxl.heads import Head
from tfxl.readers import Reader, expand
from tfxl.samplers import Sampler
from tfxl.serving import export as exporting
from tfxl.serving import manifest, model
from tfxl.settings import Settings, validate
from tfxl.tasks import Task
from tfxl.training import fit as fitting
from tfxl.tuners import Tuner

SPLITS = ("train", "validation", "test")


class DataSettings(Settings):
    """Which files are read, in which languages, and how they are cleaned and drawn.

    Paths may hold `{language}`, `{iso639_3}` and `{language_name}`; the prefix `sample:` means data that comes with
    tfxl.
    """

    reader: str | dict[str, Any] = "jsonl"
    train: str = ""
    """Not needed where nothing is trained: `training.epochs = 0`."""
    validation: str = ""
    test: str = ""
    languages: tuple[str, ...] = Field(min_length=1)
    """The languages that are trained on."""
    validation_languages: tuple[str, ...] = ()
    """The languages that are scored after each epoch, for early stopping; the trained ones if empty."""
    test_languages: tuple[str, ...] = ()
    """The languages that are tested on; the trained ones if empty."""
    few_shot: int = Field(default=0, ge=0)
    """Training rows of each of `few_shot_languages`, drawn by the seed."""
    few_shot_languages: tuple[str, ...] = ()
    """Languages of which a few rows are trained on as well."""
    cleaners: tuple[str | dict[str, Any], ...] = ()
    sampler: str | dict[str, Any] = "temperature"

    def split(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Returns the path and the languages of `train`, `validation` or `test`; an empty path if there is none."""
        trained = self.languages + (self.few_shot_languages if self.few_shot else ())
        codes = {"train": trained, "validation": self.validation_languages, "test": self.test_languages}[name]
        return getattr(self, name), codes or self.languages


class Run(Settings):
    """A whole run. Its parts are named by kind and settings only, so it can be written down, compared and repeated."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=42, ge=0, lt=2**32)
    output: str = "saved_models"
    data: DataSettings
    start: str = ""
    """A saved model that training goes on from: its encoder, vocabulary and head, instead of `encoder` and `head`. The
    task must have its labels. To start from its encoder alone, name it in `encoder.weights`."""
    encoder: dict[str, Any] = Field(default_factory=dict)
    """Needed unless `start` is set."""
    task: dict[str, Any]
    head: dict[str, Any] | None = None
    """The head; without `kind` it is the task's usual one."""
    tuner: dict[str, Any] = Field(default_factory=lambda: {"kind": "full"})
    training: fitting.Settings = Field(default_factory=fitting.Settings)
    evaluation: evaluating.Settings = Field(default_factory=evaluating.Settings)
    export: exporting.Settings = Field(default_factory=exporting.Settings)


@dataclass(frozen=True)
class Parts:
    """The parts that a run names, each with its settings checked."""

    reader: Reader
    cleaners: tuple[Cleaner, ...]
    sampler: Sampler
    encoder: Encoder
    head: Head
    task: Task
    tuner: Tuner
    start: Path | None = None
    """The version of a saved model that gives the head its weights."""


def resolve(recipe: str | Path, *overrides: str) -> Run:
    """Returns a recipe with its overrides as a run.

    Args:
        recipe: The name of a recipe that comes with tfxl, or the path of a TOML file.
        overrides: `section.setting=value`, the value in TOML.

    Raises:
        RecipeError: A setting is unknown, missing or of the wrong type.
    """
    return validate(Run, recipes.read(recipe, overrides), where="")


def assemble(run: Run) -> Parts:
    """Returns the parts that a run names.

    Raises:
        RecipeError: There is no such part, or one of its settings is wrong.
    """
    if run.training.epochs and not run.data.train:
        raise RecipeError(
            "data.train is not set",
            expected="the file to train on",
            fix="Add data.train = … to the recipe, or set training.epochs = 0 to publish the weights as they are.",
        )
    for code in (*run.data.languages, *run.data.validation_languages, *run.data.test_languages):
        languages.find(code)
    task = registry.build("tasks", run.task)
    encoder = {"kind": "bert", "weights": run.start} if run.start else run.encoder
    if not encoder:
        raise RecipeError(
            "no section encoder", expected="an encoder, or start", fix='Add [encoder] with kind = "bert".'
        )
    return Parts(
        reader=registry.build("readers", run.data.reader),
        cleaners=make_cleaners(run),
        sampler=registry.build("samplers", run.data.sampler),
        encoder=registry.build("encoders", encoder),
        head=registry.build("heads", {"kind": task.default_head, **(run.head or {})}),
        task=task,
        tuner=registry.build("tuners", run.tuner),
    )


def started(run: Run, parts: Parts) -> Parts:
    """Returns the parts of a run with the head of the saved model that it starts from; themselves without one.

    Raises:
        ModelError: There is no such model.
        RecipeError: Its head gives other logits than those that the task asks for.
    """
    if not run.start:
        return parts
    start, task = model.find(run.start), parts.task
    saved = manifest.read(start)
    asked, there = (each.get("labels", ()) for each in (run.task, saved.task))
    if (task.kind, list(asked)) != (saved.task["kind"], list(there)):
        raise RecipeError(
            f"start = {run.start!r}, a model of {saved.task['kind']}, labels {list(there)}; the recipe's task is "
            f"{task.kind}, labels {list(asked)}",
            expected="the same task with the same labels in the same order",
            fix=f'Change task.labels, or start from its encoder alone: encoder.weights = "{run.start}".',
        )
    if run.head not in (None, {}, saved.head):
        raise RecipeError(
            f"start = {run.start!r}, whose head is {saved.head}, and head = {run.head}",
            expected="one head",
            fix="Leave head out, or start from its encoder alone with encoder.weights.",
        )
    return replace(parts, head=registry.build("heads", saved.head), start=start)


def make_cleaners(run: Run) -> tuple[Cleaner, ...]:
    """Returns new cleaners: they remember what they saw, so each pass over data has its own."""
    return tuple(registry.build("cleaners", spec) for spec in run.data.cleaners)


def check_files(run: Run, parts: Parts, *, splits: Sequence[str] = SPLITS) -> list[str]:
    """Returns every data file of a run.

    Args:
        run: Names the files.
        parts: Holds the reader.
        splits: The splits to look at.

    Raises:
        DataError: One of them is missing.
        RecipeError: One of them holds several languages, but its rows name none.
    """
    found = [
        pair
        for pattern, codes in map(run.data.split, splits)
        if pattern
        for pair in expand(pattern, codes, files=parts.reader.reads_files)
    ]
    for path, language in found:
        parts.reader.check(path)
        if language == UNKNOWN_LANGUAGE and not parts.reader.names_languages:
            raise RecipeError(
                f"{path} for several languages, but no column that names them",
                expected="a column with each row's language, or a file for each language",
                fix="Set language to the column's name in data.reader, or put {language} into the path.",
            )
    return [path for path, _ in found]
