"""Scoring: answers examples, measures the answers, and writes the reports beside a model's versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from tfxl import languages, registry
from tfxl.data import texts_of
from tfxl.evaluation import evaluate as evaluating
from tfxl.evaluation import report
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example, Prediction
from tfxl.progress import SILENT, Progress
from tfxl.recipe import Parts, Run
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.model import Model
from tfxl.tasks import Task
from tfxl.training import fit as fitting

Answering: TypeAlias = Answerer | Model
TRAINING = "training"
"""The folder beside a model's versions that holds logs and reports; TF Serving looks at numbered folders only."""
REPORTS = ("report.json", "report.html")


def training_folder(run: Run) -> Path:
    """Returns the folder for logs and reports, beside the model's versions."""
    return Path(run.output) / run.name / TRAINING


def score(
    run: Run, parts: Parts, answering: Answering, examples: Sequence[Example], *, progress: Progress = SILENT
) -> Evaluation:
    """Answers examples and returns what the answers score.

    Args:
        run: How it is measured, and which languages were trained.
        parts: Holds the task.
        answering: An answerer, or a saved model.
        examples: Rows with their right answers.
        progress: Is told of every batch.
    """
    task = parts.task
    predictions = answered(answering, task, examples, progress=progress)
    return evaluating.evaluate(
        examples,
        predictions[: len(examples)],
        [registry.build("metrics", kind) for kind in task.metrics],
        gold=task.gold,
        answers=task.answers(examples, predictions),
        trained_languages=run.data.languages if run.training.epochs else (),
        settings=run.evaluation,
    )


def answered(
    answering: Answering, task: Task, examples: Sequence[Example], *, progress: Progress = SILENT
) -> list[Prediction]:
    """Returns the answers that a task is measured by: of each function in `measured_on`, one after another."""
    asked = {name: task.tasks.get(name, task) for name in task.measured_on}
    return [
        prediction
        for name, part in asked.items()
        for prediction in predict(answering.function(name), part, texts_of(examples, part), progress=progress)
    ]


def show(evaluation: Evaluation, progress: Progress) -> None:
    """Shows the scores by language."""
    rows = [
        [
            languages.find(code).label,
            "yes" if evaluation.is_trained(code) else "no",
            *evaluation.of("language", code),
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
) -> dict[str, bytes]:
    """Writes report.json (for `compare`) and report.html (for people) into a folder, and returns what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    epochs = history.epochs if history else []
    curves = {name: [epoch.get(name, float("nan")) for epoch in epochs] for name in (epochs[-1] if epochs else {})}
    evaluation.write(folder / REPORTS[0])
    report.write(folder / REPORTS[1], evaluation, title=run.name, baseline=before, history=curves, run=run.as_toml())
    return {name: (folder / name).read_bytes() for name in REPORTS}
