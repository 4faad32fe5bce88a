"""Run: the straight path from files to a measured, saved model, and what can be done with a model that is saved."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import tomli_w

from tfxl import languages, recipes, registry
from tfxl.backend import keras, tf
from tfxl.cleaners import CleaningReport, clean_all
from tfxl.errors import ModelError, RecipeError
from tfxl.evaluation import compare as comparing
from tfxl.evaluation import evaluate as evaluating
from tfxl.evaluation import report
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example
from tfxl.progress import SILENT, Progress
from tfxl.readers import expand
from tfxl.recipe import Parts, Run, assemble, check_files, make_cleaners, resolve
from tfxl.samplers import expected_epochs
from tfxl.serving import export as exporting
from tfxl.serving import manifest
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.model import Model, load
from tfxl.serving.model import find as find_model
from tfxl.settings import validate
from tfxl.text.dataset import Batches, Rows, StaticShapes
from tfxl.training import fit as fitting
from tfxl.training import precision, strategy

Function: TypeAlias = Callable[..., Mapping[str, tf.Tensor]]
TRAINING = "training"
"""The folder beside a model's versions that holds logs and reports; TF Serving looks at numbered folders only."""
REPORTS = ("report.json", "report.html")


def read(
    run: Run, parts: Parts, pattern: str, codes: Sequence[str], *, progress: Progress, may_drop: bool = False
) -> Iterator[Example]:
    """Yields the cleaned examples of every file of a split, and tells what was skipped, changed and dropped.

    Args:
        run: Names the cleaners.
        parts: Holds the reader.
        pattern: A path of the data settings.
        codes: The languages to read.
        progress: Is told once the last example was read.
        may_drop: Whether cleaners may drop rows; rows to be scored are all kept.
    """
    report: CleaningReport = {}
    skipped_before = len(parts.reader.skipped)
    for path, language in expand(pattern, codes, files=parts.reader.reads_files):
        examples = parts.reader.read(path, language=language)
        yield from clean_all(make_cleaners(run), examples, report, may_drop=may_drop)
    for bad in parts.reader.skipped[skipped_before:]:
        progress.say(f"skipped {bad.path}, line {bad.line}: {bad.reason}")
    touched = [(*key, count.seen, count.changed, count.dropped) for key, count in report.items()]
    touched = [row for row in touched if row[3] or row[4]]
    if touched:
        progress.table("Cleaning", ("cleaner", "language", "seen", "changed", "dropped"), touched)


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
    run = resolve(recipe, *overrides)
    parts = assemble(run)
    check_files(run, parts)
    check_writable(training_folder(run))
    # Before any TensorFlow op: a TPU starts with empty tables, and workers can only be joined at the start.
    devices = strategy.find(run.training.strategy)
    keras.utils.set_random_seed(run.seed)
    test = load_split(run, parts, run.data.test, run.data.test_languages or run.data.languages, progress=progress)
    validation = load_split(run, parts, run.data.validation, run.data.languages, progress=progress)
    with tempfile.TemporaryDirectory(prefix="tfxl-") as scratch:
        batches = training_batches(run, parts, Path(scratch), progress=progress)
        fitted = fit(run, parts, batches, Splits(test, validation), devices=devices, progress=progress)
    if test:
        after = score(run, parts, fitted.answerer.text, test, progress=progress)
        show(after, progress)
        write_report(run, after, training_folder(run), before=fitted.before, history=fitted.history)
    return load(publish(run, parts, fitted.answerer, training_folder(run) if test else None, progress=progress))


class Splits(NamedTuple):
    """The examples that a run scores, either of them empty where the recipe names no file."""

    test: list[Example]
    validation: list[Example]


class Fitted(NamedTuple):
    """A trained model that answers texts, what it scored on the test data before training, and what happened."""

    answerer: Answerer
    before: Evaluation | None
    history: fitting.History


def training_folder(run: Run) -> Path:
    """Returns the folder for logs and reports, beside the model's versions."""
    return Path(run.output) / run.name / TRAINING


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
    quick = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"samples": 0})})
    with precision.using(run.training.precision):
        with devices.scope():
            model = build_model(parts)
        served = on_one_device(model, parts)
        answerer = Answerer(served, parts.task, batches.tokenizer)
        before = None
        if splits.test and run.evaluation.before:
            before = score(run, parts, answerer.text, splits.test, progress=progress)

        def by_language() -> dict[str, float]:
            copy_weights(model, served)
            found = score(quick, parts, answerer.text, splits.validation).by("language")
            return {language: each.value for language, each in found.items()}

        history = fitting.fit(
            model,
            parts.task,
            batches,
            run.training,
            multipliers=parts.tuner.multipliers(model),
            callbacks=parts.tuner.callbacks(),
            seed=run.seed,
            directory=training_folder(run),
            score=by_language if splits.validation else None,
            progress=progress,
        )
    copy_weights(model, served)
    return Fitted(Answerer(parts.tuner.merge(served), parts.task, batches.tokenizer), before, history)


def check_writable(folder: Path) -> None:
    """Checks that a folder can be made and written, and leaves nothing behind.

    Raises:
        ModelError: It cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror}",
            expected="a folder in which this account may make files",
            fix="Set output to another folder, or give this account the right to write there.",
        ) from None


def on_one_device(model: keras.Model, parts: Parts) -> keras.Model:
    """Returns the model that answers texts: itself, or a copy where a strategy spread its variables over devices.

    Ops on strings and SavedModels want ordinary variables.
    """
    if model.distribute_strategy is tf.distribute.get_strategy():
        return model
    return build_model(parts)


def copy_weights(model: keras.Model, copy: keras.Model) -> None:
    """Gives a copy the weights of the model that is trained."""
    if copy is not model:
        copy.set_weights(model.get_weights())


def training_batches(run: Run, parts: Parts, scratch: Path, *, progress: Progress) -> Batches:
    """Reads, cleans and counts the training data, tells the sampling plan, and returns its batches."""
    examples = observed(run, parts, progress)
    rows = Rows.write(examples, scratch / "rows.jsonl", group=parts.sampler.group)
    counts = rows.counts()
    shares = parts.sampler.weights(counts)
    epochs = expected_epochs(counts, shares)
    plan = [("/".join(group), counts[group], f"{shares[group]:.1%}", f"{epochs[group]:.2f}") for group in counts]
    columns = (" / ".join(parts.sampler.settings.by), "rows", "share of steps", "times seen per epoch")
    progress.table("Sampling plan", columns, plan)
    batches = Batches(
        rows,
        parts.task,
        parts.encoder.tokenizer(),
        batch_size=run.training.batch_size,
        seed=run.seed,
        shares=shares,
        static=StaticShapes.up_to(parts.task.settings.max_length) if needs_static_shapes(run) else None,
    )
    cut = int(batches.measured.truncated.sum())
    if cut:
        progress.say(
            f"{cut} of {len(rows)} training texts are longer than {parts.task.settings.max_length} tokens: cut"
        )
    return batches


def needs_static_shapes(run: Run) -> bool:
    """Whether programs are compiled for the shapes that they meet: by XLA, and always on TPU."""
    return run.training.jit_compile or strategy.chosen(run.training.strategy) == "tpu"


def observed(run: Run, parts: Parts, progress: Progress) -> Iterator[Example]:
    """Yields the training examples and shows each of them to the task."""
    for example in read(run, parts, run.data.train, run.data.languages, progress=progress, may_drop=True):
        parts.task.observe(example)
        yield example


def load_split(run: Run, parts: Parts, pattern: str, codes: Sequence[str], *, progress: Progress) -> list[Example]:
    """Returns all examples of a split that is scored; none if the pattern is empty.

    Raises:
        DataError: A file is missing, or a row is wrong or has no right answer that the task knows.
    """
    examples = list(read(run, parts, pattern, codes, progress=progress)) if pattern else []
    for example in examples:
        parts.task.gold(example)
    return examples


def build_model(parts: Parts) -> keras.Model:
    """Returns the Keras model that is trained: encoder, what the tuner adds, and head."""
    encoder = parts.tuner.adapt(parts.encoder.build())
    return parts.tuner.wrap(parts.task.model(encoder, parts.head))


def score(
    run: Run, parts: Parts, function: Function, examples: Sequence[Example], *, progress: Progress = SILENT
) -> Evaluation:
    """Answers examples and returns what the answers score.

    Args:
        run: How it is measured, and which languages were trained.
        parts: Holds the task.
        function: A text function, such as `Answerer.text`.
        examples: Rows with their right answers.
        progress: Is told of every batch.
    """
    task = parts.task
    texts = {name: [getattr(example, name) or "" for example in examples] for name in task.text_inputs}
    return evaluating.evaluate(
        examples,
        predict(function, task, texts, progress=progress),
        [registry.build("metrics", kind) for kind in task.metrics],
        gold=task.gold,
        answer=task.answer,
        trained_languages=run.data.languages,
        settings=run.evaluation,
    )


def show(evaluation: Evaluation, progress: Progress) -> None:
    """Shows the scores by language."""
    rows = [
        [
            languages.find(code).label,
            "yes" if evaluation.is_trained(code) else "no",
            *(evaluation.by("language", kind)[code] for kind in evaluation.kinds),
        ]
        for code in evaluation.languages
    ]
    progress.table("Scores by language", ("language", "trained on", *evaluation.kinds), rows)


def write_report(
    run: Run,
    evaluation: Evaluation,
    folder: Path,
    *,
    before: Evaluation | None = None,
    history: fitting.History | None = None,
) -> None:
    """Writes report.json (for `compare`) and report.html (for people) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    epochs = history.epochs if history else []
    curves = {name: [epoch.get(name, float("nan")) for epoch in epochs] for name in (epochs[-1] if epochs else {})}
    evaluation.write(folder / REPORTS[0])
    report.write(folder / REPORTS[1], evaluation, title=run.name, baseline=before, history=curves, run=run.as_toml())


def publish(run: Run, parts: Parts, answerer: Answerer, reports: Path | None, *, progress: Progress) -> Path:
    """Exports a model as the next version, with recipe, encoder files, reports and the tokenizer's parity beside it."""
    contents = exporting.Contents(
        encoder=parts.encoder.spec(),
        head=parts.head.spec(),
        encoder_files=parts.encoder.files(),
        run_toml=tomli_w.dumps(run.as_toml()),
        files={name: (reports / name).read_bytes() for name in REPORTS} if reports else {},
    )
    folder = Path(run.output) / run.name
    return exporting.export(answerer, folder, contents=contents, settings=run.export, progress=progress)


def evaluate(model: str | Path, *overrides: str, progress: Progress = SILENT) -> Evaluation:
    """Measures a saved model per language, on the test data of its recipe or on other data.

    The report is written to `training/evaluation-VERSION/` beside the model's versions.

    Args:
        model: A version's folder, or a model's folder for its latest version.
        overrides: Settings of its recipe to change, such as `'data.test="reviews/{language}.csv"'`.
        progress: Is told what happens.

    Raises:
        TfxlError: The model, the overrides or the data are wrong.
    """
    saved = load(model)
    run = validate(Run, recipes.override(saved.recipe, overrides), where="")
    parts = dataclasses.replace(assemble(run), task=saved.task)
    if not run.data.test:
        raise RecipeError(
            "data.test is not set", expected="a file to measure the model on", fix='Add data.test="PATH".'
        )
    test = load_split(run, parts, run.data.test, run.data.test_languages or run.data.languages, progress=progress)
    evaluation = score(run, parts, saved.text, test, progress=progress)
    show(evaluation, progress)
    folder = saved.folder.parent / TRAINING / f"evaluation-{saved.folder.name}"
    write_report(run, evaluation, folder)
    progress.say(f"report: {folder / REPORTS[1]}")
    return evaluation


def compare(first: str | Path, second: str | Path) -> comparing.Comparison:
    """Compares two models on the same rows, per language, with a paired test.

    Args:
        first: A saved model, or the report.json of an evaluation.
        second: The same.

    Raises:
        TfxlError: There is no such evaluation, or the two are of different rows.
    """
    return comparing.compare(_evaluation_of(first), _evaluation_of(second))


def _evaluation_of(path: str | Path) -> Evaluation:
    path = Path(path)
    return Evaluation.read(path if path.is_file() else find_model(path) / manifest.EXTRA / REPORTS[0])


def export(model: str | Path, *overrides: str, progress: Progress = SILENT) -> Path:
    """Exports a saved model again as its next version, with other export settings, such as `export.tokens_only=true`.

    Args:
        model: A version's folder, or a model's folder for its latest version.
        overrides: Settings of its recipe to change.
        progress: Is told what happens.

    Returns:
        The folder of the new version.
    """
    saved = load(model)
    run = validate(Run, recipes.override(saved.recipe, overrides), where="")
    contents = dataclasses.replace(saved.contents(), run_toml=tomli_w.dumps(run.as_toml()))
    folder = Path(run.output) / run.name
    return exporting.export(
        Answerer(*saved.rebuild()), folder, contents=contents, settings=run.export, progress=progress
    )
