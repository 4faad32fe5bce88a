"""Run: the straight path from files to a measured, saved model, and what can be done with a model that is saved."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from tfxl import packages, recipes
from tfxl.backend import keras, tf
from tfxl.data import DataReport, read, texts_of, training_batches
from tfxl.errors import ModelError, RecipeError, did_you_mean
from tfxl.evaluation import compare as comparing
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example
from tfxl.progress import SILENT, Progress
from tfxl.recipe import Parts, Run, assemble, check_files, resolve, started
from tfxl.scoring import REPORTS, TRAINING, score, show, training_folder, write_report
from tfxl.serving import export as exporting
from tfxl.serving import manifest
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.model import Model, load
from tfxl.serving.model import find as find_model
from tfxl.serving.publish import check_writable
from tfxl.settings import validate
from tfxl.text.dataset import Batches
from tfxl.training import fit as fitting
from tfxl.training import precision, strategy, tracking
from tfxl.training.callbacks import log_evaluation

UNTRAINED = "untrained"
"""The folder for the logs of a run of no epochs."""


def train(recipe: str | Path, *overrides: str, progress: Progress = SILENT) -> Model:
    """Trains, measures and saves a model: the whole path from files to a SavedModel that answers raw text.

    Everything that can be checked before work starts is checked first. The model is published as the next version under
    `output/name/`; logs and reports are written to `output/name/training/`.

    Args:
        recipe: The name of a recipe that comes with tfxl, or the path of a TOML file.
        overrides: `section.setting=value`, the value in TOML, such as `"training.epochs=3"`.
        progress: Is told what happens; silent by default.

    Returns:
        The saved model, read back.

    Raises:
        TfxlError: The recipe, the data, the weights or the place to write are wrong; see the kinds in `tfxl.errors`.

    Example:
        >>> model = tfxl.train("sentiment", "training.epochs=3")
        >>> model.predict(["Das Zimmer war sauber."])
    """
    done = learn(resolve(recipe, *overrides), progress=progress)
    files = done.data.files()
    try:
        if done.test:
            files |= measure(done, progress=progress)
    finally:  # hours of training are not lost to a report that fails
        version = publish(done.run, done.parts, done.fitted.answerer, files, progress=progress)
    return load(version)


class Learnt(NamedTuple):
    """A run after training.

    Attributes:
        run: The recipe; on hosts but the first, with an output of its own.
        parts: Its parts; the task with what it chose on the validation data.
        fitted: The trained model.
        data: What happened to the rows.
        test: The rows that the recipe tests on.
    """

    run: Run
    parts: Parts
    fitted: Fitted
    data: DataReport
    test: list[Example]


def learn(run: Run, *, progress: Progress = SILENT) -> Learnt:
    """Checks a run, reads its data and trains its model; nothing is published.

    Raises:
        TfxlError: As `train`.
    """
    parts = started(run, assemble(run))
    check(run, parts)
    # Before any TensorFlow op: a TPU starts with empty tables, and workers can only be joined at the start.
    devices = strategy.find(run.training.strategy)
    parts.encoder.tokenizer()  # reads and tests the encoder's files
    keras.utils.set_random_seed(run.seed)
    run = placed(run, devices)
    rows = DataReport()
    splits = Splits(*(list(read(run, parts, name, report=rows, progress=progress)) for name in Splits._fields))
    if run.training.epochs:
        with tempfile.TemporaryDirectory(prefix="tfxl-") as scratch:
            shared = {"report": rows, "progress": progress, "replicas": devices.num_replicas_in_sync}
            batches = training_batches(run, parts, Path(scratch), **shared)
            fitted = fit(run, parts, batches, splits, devices=devices, progress=progress)
    else:
        fitted = untrained(run, parts, splits, progress=progress)
    parts = dataclasses.replace(parts, task=fitted.answerer.parts.task)
    return Learnt(run, parts, fitted, rows, splits.test)


def check(run: Run, parts: Parts) -> list[str]:
    """Checks what can be checked before anything is read or trained, and returns the data files.

    Raises:
        TfxlError: Files are missing, a folder cannot be written, or settings do not fit each other.
    """
    files = check_files(run, parts)
    for folder in (training_folder(run), training_folder(run).parent):
        check_writable(folder)
    fitting.check_early_stopping(run.training, validates=bool(run.data.validation))
    tracking.check_installed(run.training.wandb_project)
    return files


def measure(done: Learnt, *, progress: Progress) -> dict[str, bytes]:
    """Scores a trained model on the test data, shows, logs and reports the scores, and returns the reports."""
    run, fitted = done.run, done.fitted
    after = score(run, done.parts, fitted.answerer, done.test, progress=progress)
    show(after, progress)
    log_evaluation(fitted.logs, {each.name: each.value for each in after.scores}, flat(run.as_toml()))
    return write_report(run, after, training_folder(run), before=fitted.before, history=fitted.history)


def placed(run: Run, devices: tf.distribute.Strategy) -> Run:
    """Returns the run with an output of its own for each host but the first, so that only one publishes the model."""
    resolver = devices.cluster_resolver
    worker = 0
    if resolver is not None and resolver.task_type == "worker":
        # Worker 0 publishes only where there is no chief.
        worker = resolver.task_id + ("chief" in resolver.cluster_spec().jobs)
    return run.model_copy(update={"output": str(training_folder(run) / f"worker-{worker}")}) if worker else run


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a recipe's settings by dotted name, with arrays as text, as TensorBoard's HParams take them."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return {name: str(value) if isinstance(value, list) else value for name, value in found.items()}


class Splits(NamedTuple):
    """The examples that a run scores, either of them empty where the recipe names no file."""

    test: list[Example]
    validation: list[Example]


class Fitted(NamedTuple):
    """A trained model that answers texts, what it scored before training, what happened, and where it was logged."""

    answerer: Answerer
    before: Evaluation | None
    history: fitting.History
    logs: Path


def untrained(run: Run, parts: Parts, splits: Splits, *, progress: Progress) -> Fitted:
    """Builds the model with the weights that it starts from, for a run of no epochs."""
    model = parts.tuner.merge(build_model(parts))
    answerer = Answerer(model, parts.task, parts.encoder.tokenizer())
    answerer = tuned(answerer, splits.validation, progress=progress)
    return Fitted(answerer, None, fitting.History(), training_folder(run) / "logs" / UNTRAINED)


def fit(
    run: Run,
    parts: Parts,
    batches: Batches,
    splits: Splits,
    *,
    devices: tf.distribute.Strategy,
    progress: Progress = SILENT,
) -> Fitted:
    """Builds the model and trains it, scoring the validation data per language after each epoch."""
    logs = training_folder(run) / "logs" / time.strftime("%Y-%m-%d_%H-%M-%S")  # runs of one name side by side
    quick = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"samples": 0})})
    with precision.using(run.training.precision, devices):
        with devices.scope():
            model = build_model(parts)
        served = on_one_device(model, parts)
        answerer = Answerer(served, parts.task, batches.tokenizer)
        before = None
        if splits.test and run.evaluation.before:
            before = score(run, parts, answerer, splits.test, progress=progress)

        def by_language() -> dict[str, float]:
            copy_weights(model, served)
            found = score(quick, parts, answerer, splits.validation).by("language")
            return {language: each.value for language, each in found.items()}

        history = fitting.fit(
            model,
            parts.task,
            batches,
            run.training,
            multipliers=parts.tuner.multipliers(model),
            callbacks=parts.tuner.callbacks(),
            seed=run.seed,
            directory=logs,
            config=flat({**run.as_toml(), "versions": packages.versions()}),
            score=by_language if splits.validation else None,
            progress=progress,
        )
    copy_weights(model, served)
    answerer = Answerer(parts.tuner.merge(served), parts.task, batches.tokenizer)
    return Fitted(tuned(answerer, splits.validation, progress=progress), before, history, logs)


def tuned(answerer: Answerer, validation: Sequence[Example], *, progress: Progress) -> Answerer:
    """Returns the answerer with what its task chooses on the validation data, such as thresholds."""
    model, task, tokenizer = answerer.parts.model, answerer.parts.task, answerer.parts.tokenizer
    if not (validation and task.learns_from_validation):
        return answerer
    predictions = predict(answerer.text, task, texts_of(validation, task), progress=progress)
    return Answerer(model, task.tuned(validation, predictions), tokenizer)


def on_one_device(model: keras.Model, parts: Parts) -> keras.Model:
    """Returns the model that answers texts: itself, or a copy where a strategy spread its variables over devices.

    Ops on strings and SavedModels want ordinary variables.
    """
    if model.distribute_strategy is tf.distribute.get_strategy():
        return model
    return build_model(parts)


def copy_weights(model: keras.Model, copy: keras.Model) -> None:
    """Gives a copy the weights of the model that is trained, each matched by its path of attributes.

    The order of `get_weights` would not do: it changes when layers are frozen or unfrozen, and a tuner may have
    unfrozen layers of the one that the other still has frozen.
    """
    if copy is model:
        return
    paths, weights = model.get_weight_paths(), {variable.ref() for variable in copy.variables}
    for path, variable in copy.get_weight_paths().items():
        if variable.ref() in weights:  # the rest are the states of random generators
            variable.assign(paths[path].numpy())


def build_model(parts: Parts) -> keras.Model:
    """Returns the Keras model that is trained: encoder, what the tuner adds, and head."""
    encoder = parts.tuner.adapt(parts.encoder.build())
    model = parts.task.model(encoder, parts.head)
    if parts.start is not None:
        load(parts.start).give_head(model)
    return parts.tuner.wrap(model)


def publish(run: Run, parts: Parts, answerer: Answerer, files: Mapping[str, bytes], *, progress: Progress) -> Path:
    """Exports a model as the next version, with recipe, encoder files and reports beside it."""
    contents = exporting.Contents(
        encoder=parts.encoder.spec(),
        head=parts.head.spec(),
        encoder_files=parts.encoder.files(),
        run_toml=tomli_w.dumps(run.as_toml()),
        files=files,
    )
    folder = Path(run.output) / run.name
    return exporting.export(answerer, folder, contents=contents, settings=run.export, progress=progress)


def evaluate(model: str | Path, *overrides: str, progress: Progress = SILENT) -> Evaluation:
    """Measures a saved model per language, on the test data of its recipe or on other data.

    The report is written to `training/evaluation-VERSION/` beside the model's versions.

    Args:
        model: A version's folder, or a model's folder for its latest version.
        overrides: Settings of its `data` and `evaluation` to change, such as `'data.test="reviews/{language}.csv"'`.
        progress: Is told what happens.

    Raises:
        TfxlError: The model, the overrides or the data are wrong.
    """
    saved = load(model)
    run = changed(saved, overrides, ("data", "evaluation"))
    parts = dataclasses.replace(assemble(run), task=saved.task)
    if not run.data.test:
        raise RecipeError(
            "data.test is not set", expected="a file to measure the model on", fix='Add data.test="PATH".'
        )
    check_files(run, parts, splits=("test",))
    test = list(read(run, parts, "test", report=DataReport(), progress=progress))
    # Other data may be of other languages; which ones were trained on stays as it was.
    trained = run.model_copy(update={"data": resolved(saved).data})
    evaluation = score(trained, parts, saved, test, progress=progress)
    show(evaluation, progress)
    folder = _evaluation_folder(saved.folder)
    write_report(run, evaluation, folder)
    progress.say(f"report: {folder / REPORTS[1]}")
    return evaluation


def compare(first: str | Path, second: str | Path) -> comparing.Comparison:
    """Compares two models on the same rows, per language, with a paired test.

    Args:
        first: A saved model, or the report.json of an evaluation. A model that was published without an evaluation, as
            an adopted one, is taken as `evaluate` last measured it.
        second: The same.

    Raises:
        TfxlError: There is no such evaluation, or the two are of different rows.
    """
    return comparing.compare(_evaluation_of(first), _evaluation_of(second))


def _evaluation_of(path: str | Path) -> Evaluation:
    """The evaluation that a version was published with; one that was never trained has the one made afterwards."""
    path = Path(path)
    if path.is_file():
        return Evaluation.read(path)
    version = find_model(path)
    published, later = version / manifest.EXTRA / REPORTS[0], _evaluation_folder(version) / REPORTS[0]
    if not published.is_file() and not later.is_file():
        raise ModelError(
            f"{version} was not measured yet",
            expected="an evaluation of both models on the same rows",
            fix=f"Measure it first: tfxl evaluate {version} 'data.test=\"FILE\"'.",
        )
    return Evaluation.read(published if published.is_file() else later)


def _evaluation_folder(version: Path) -> Path:
    return version.parent / TRAINING / f"evaluation-{version.name}"


def export(model: str | Path, *overrides: str, progress: Progress = SILENT) -> Path:
    """Exports a saved model again as its next version, with other export settings, such as `export.tokens_only=true`.

    Args:
        model: A version's folder, or a model's folder for its latest version.
        overrides: Settings of its `export` to change; `name` and `output` put the result elsewhere.
        progress: Is told what happens.

    Returns:
        The folder of the new version.
    """
    saved = load(model)
    run = changed(saved, overrides, ("export", "name", "output"))
    contents = dataclasses.replace(saved.contents(), run_toml=tomli_w.dumps(run.as_toml()))
    elsewhere = any(override.startswith(("name", "output")) for override in overrides)
    folder = Path(run.output) / run.name if elsewhere else saved.folder.absolute().parent
    return exporting.export(
        Answerer(*saved.rebuild()), folder, contents=contents, settings=run.export, progress=progress
    )


def resolved(saved: Model) -> Run:
    """Returns the recipe that a model was trained with as a run.

    Raises:
        ModelError: The model has no recipe.
    """
    if not saved.recipe:
        raise ModelError(
            f"{saved.folder}: run.toml is empty",
            expected="a model that was trained from a recipe",
            fix="Use Model.predict, or export with a recipe in `contents`.",
        )
    return validate(Run, saved.recipe, where="")


def changed(saved: Model, overrides: Sequence[str], sections: Sequence[str]) -> Run:
    """Returns a model's recipe with settings changed in some sections.

    Raises:
        RecipeError: An override is of another section: that would have to be trained again.
    """
    for override in overrides:
        section = override.partition("=")[0].split(".")[0].strip()
        if "=" in override and section not in sections:
            raise RecipeError(
                f"override {override!r} for a model that is trained",
                expected=f"settings of {', '.join(sections)}",
                fix=f"{did_you_mean(section, sections)}Train again with tfxl train to change anything else.",
            )
    return validate(Run, recipes.override(resolved(saved).as_toml(), overrides), where="")
