"""Recipe: a run whose every setting has been checked, and the parts that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tfxl import languages, recipes, registry
from tfxl.cleaners import Cleaner
from tfxl.encoders import Encoder
from tfxl.evaluation import evaluate as evaluating
from tfxl.heads import Head
from tfxl.readers import Reader, expand
from tfxl.samplers import Sampler
from tfxl.serving import export as exporting
from tfxl.settings import Settings, validate
from tfxl.tasks import Task
from tfxl.training import fit as fitting
from tfxl.tuners import Tuner


class DataSettings(Settings):
    """Which files are read, in which languages, and how they are cleaned and drawn.

    Paths may hold `{language}`, `{iso639_3}` and `{language_name}`; the prefix `sample:` means data that comes with
    tfxl.
    """

    reader: str | dict[str, Any] = "jsonl"
    train: str = Field(min_length=1)
    validation: str = ""
    test: str = ""
    languages: tuple[str, ...] = Field(min_length=1)
    """The languages that are trained and validated on."""
    test_languages: tuple[str, ...] = ()
    """The languages that are tested on; the trained ones if empty."""
    cleaners: tuple[str | dict[str, Any], ...] = ()
    sampler: str | dict[str, Any] = "temperature"


class Run(Settings):
    """A whole run. Its parts are named by kind and settings only, so it can be written down, compared and repeated."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(default=42, ge=0)
    output: str = "saved_models"
    data: DataSettings
    encoder: dict[str, Any]
    task: dict[str, Any]
    head: dict[str, Any] | None = None
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
    for code in (*run.data.languages, *run.data.test_languages):
        languages.find(code)
    task = registry.build("tasks", run.task)
    return Parts(
        reader=registry.build("readers", run.data.reader),
        cleaners=make_cleaners(run),
        sampler=registry.build("samplers", run.data.sampler),
        encoder=registry.build("encoders", run.encoder),
        head=registry.build("heads", run.head or task.default_head),
        task=task,
        tuner=registry.build("tuners", run.tuner),
    )


def make_cleaners(run: Run) -> tuple[Cleaner, ...]:
    """Returns new cleaners: they remember what they saw, so each pass over data has its own."""
    return tuple(registry.build("cleaners", spec) for spec in run.data.cleaners)


def check_files(run: Run, parts: Parts) -> list[str]:
    """Returns every data file of a run.

    Raises:
        DataError: One of them is missing.
    """
    patterns = [(run.data.train, run.data.languages), (run.data.validation, run.data.languages)]
    patterns.append((run.data.test, run.data.test_languages or run.data.languages))
    found = [expand(pattern, codes, files=parts.reader.reads_files) for pattern, codes in patterns if pattern]
    return [path for pairs in found for path, _ in pairs]
