"""Studies between languages: the transfer matrix of a recipe, and how consistent a model is over languages."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from tfxl import languages
from tfxl.backend import keras
from tfxl.data import DataReport, read, texts_of
from tfxl.errors import ModelError, RecipeError
from tfxl.evaluation import report
from tfxl.evaluation.consistency import Consistency
from tfxl.evaluation.consistency import consistency as measure_consistency
from tfxl.evaluation.score import metric_name, number
from tfxl.evaluation.transfer import Setting, Transfer, settings_of
from tfxl.progress import SILENT, Progress
from tfxl.recipe import Run, assemble, check_files, resolve
from tfxl.run import changed, learn
from tfxl.scoring import TRAINING, score, training_folder
from tfxl.serving.answer import predict
from tfxl.serving.model import load
from tfxl.serving.publish import check_writable
from tfxl.tasks import Task

MATRIX = "matrix"
CONSISTENCY = "consistency"


def matrix(
    recipe: str | Path,
    *overrides: str,
    shots: Sequence[int] = (),
    joint: bool = True,
    progress: Progress = SILENT,
) -> Transfer:
    """Trains a recipe on each of its languages alone and tests each model on all: the cross-lingual transfer matrix.

    Rows are compared in one run: zero-shot (one language), few-shot (the first language and a few examples of each
    other tested one), and joint training on all languages, with nothing translated. Nothing is published; `matrix.json`
    and `matrix.html` are written to `output/name/training/`.

    Args:
        recipe: The name of a recipe that comes with tfxl, or the path of a TOML file; `data.languages` are the
            languages with training data.
        overrides: `section.setting=value`, the value in TOML.
        shots: How many examples of each other language the few-shot rows have, such as `[16, 64]`.
        joint: Whether all languages are also trained together.
        progress: Is told what happens.

    Raises:
        TfxlError: As `train`; a few-shot row wants a training file of every tested language.

    Example:
        >>> tfxl.matrix("nusax", "training.epochs=2", shots=[16]).table()
    """
    run = resolve(recipe, *overrides)
    if not run.data.test:
        raise RecipeError("data.test is not set", expected="data to measure the models on", fix="Set data.test.")
    runs = {setting: _run_of(run, setting) for setting in settings_of(run.data.languages, shots=shots, joint=joint)}
    for each in runs.values():  # what is wrong with the last row is told before the first is trained
        check_files(each, assemble(each))
    check_writable(training_folder(run))
    evaluations = {}
    for number_of, (setting, each) in enumerate(runs.items(), start=1):
        progress.say(f"{number_of} of {len(runs)}: {setting.kind}, trained on {setting.name}")
        done = learn(each, progress=progress)
        evaluations[setting] = score(each, done.parts, done.fitted.answerer, done.test, progress=progress)
        del done
        keras.backend.clear_session()
        gc.collect()
    found = Transfer.of(evaluations)
    _write_matrix(run, found, progress)
    return found


def _run_of(run: Run, setting: Setting) -> Run:
    """Returns the run that trains one row of the matrix; all rows are tested on the same data."""
    tested = run.data.test_languages or run.data.languages
    bases = {languages.find(code).base for code in setting.languages}
    others = tuple(code for code in tested if languages.find(code).base not in bases)
    data = run.data.model_copy(
        update={
            "languages": setting.languages,
            "test_languages": tested,
            "few_shot": setting.shots,
            "few_shot_languages": others if setting.shots else (),
        }
    )
    quick = run.evaluation.model_copy(update={"before": False})
    return run.model_copy(update={"data": data, "evaluation": quick, "name": f"{run.name}"})


def _write_matrix(run: Run, found: Transfer, progress: Progress) -> None:
    columns, rows = found.table()
    progress.table(f"Transfer: {metric_name(found.metric)} on each language", columns, rows)
    folder = training_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    found.write(folder / f"{MATRIX}.json")
    page = report.write_transfer(folder / f"{MATRIX}.html", found, title=f"{run.name}: transfer", run=run.as_toml())
    progress.say(f"matrix: {page}")


def consistency(model: str | Path, *overrides: str, progress: Progress = SILENT) -> Consistency:
    """Measures how often a model's answer changes with the language of the same item of a parallel set.

    No labels are needed: set `data.reader.label = ""` where there are none. Items are named by the reader's `id`
    column, or by their line. `consistency.json` and `consistency.html` are written to `training/evaluation-VERSION/`
    beside the model's versions.

    Args:
        model: A version's folder, or a model's folder for its latest version.
        overrides: Settings of its `data` and `evaluation` to change.
        progress: Is told what happens.

    Raises:
        TfxlError: The model, the overrides or the data are wrong, or the answers are no labels.
    """
    saved = load(model)
    _check_gives_labels(saved.task)
    run = changed(saved, overrides, ("data", "evaluation"))
    parts = assemble(run)
    check_files(run, parts, splits=("test",))
    rows = list(read(run, parts, "test", report=DataReport(), progress=progress, labelled=False))
    predictions = predict(saved.text, saved.task, texts_of(rows, saved.task), progress=progress)
    found = measure_consistency(rows, saved.task.answers(rows, predictions), settings=run.evaluation)
    _show_consistency(found, progress)
    folder = saved.folder.parent / TRAINING / f"evaluation-{saved.folder.name}"
    folder.mkdir(parents=True, exist_ok=True)
    found.write(folder / f"{CONSISTENCY}.json")
    title = f"{saved.name}: consistency between languages"
    page = report.write_consistency(folder / f"{CONSISTENCY}.html", found, title=title, run=run.as_toml())
    progress.say(f"consistency: {page}")
    return found


def _check_gives_labels(task: Task) -> None:
    if task.answer_kind != "labels":
        raise ModelError(
            f"a model of {task.kind}, whose answers depend on the language",
            expected="answers that are labels, which mean the same in every language",
            fix="Measure a model of classification, inference, multilabel or multiple_choice.",
        )


def _show_consistency(found: Consistency, progress: Progress) -> None:
    rows = [
        (
            first,
            *("" if (pair := found.of(first, second)) is None else number(pair.value) for second in found.languages),
        )
        for first in found.languages
    ]
    progress.table("Same answer in both languages", ("language", *found.languages), rows)
    progress.say(f"the same answer in all languages: {found.everywhere}")
