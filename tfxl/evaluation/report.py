"""The report: one self-contained HTML page that says how good a model is, where, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import tomli_w
from markupsafe import Markup

from tfxl.evaluation import plots
from tfxl.evaluation.compare import Comparison, Difference, compare
from tfxl.evaluation.confusion import LabelScores
from tfxl.evaluation.consistency import Consistency
from tfxl.evaluation.groups import ALL, Group, language_of
from tfxl.evaluation.record import Evaluation, HardExample, write_whole
from tfxl.evaluation.score import Score, metric_name, number, p_number
from tfxl.evaluation.transfer import Transfer
from tfxl.languages import Language, script_name
from tfxl.settings import plain

GROUPS = {"script": "By script", "length": "By length", "domain": "By domain"}
"""The groups that have a section of their own, and its heading."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of scores: what it is about, its rows, whether they count or not, and each metric's score."""

    name: str
    rows: int
    scores: tuple[Score, ...]
    language: Language | None = None
    trained: bool = False


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One label in a table of labels.

    Attributes:
        scores: Its precision, recall, F1 and rows.
        answers: How often its rows got each label, and the share of its rows, in the labels' order; empty where rows
            have several labels.
        mistaken: The label that its rows wrongly got most often, and how often; empty if they never did.
    """

    scores: LabelScores
    answers: tuple[tuple[int, float], ...] = ()
    mistaken: str = ""


def write(
    path: str | Path,
    evaluation: Evaluation,
    *,
    title: str = "Evaluation",
    baseline: Evaluation | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the page, whole or not at all, and returns its path.

    Args:
        path: The HTML file.
        evaluation: What was measured.
        title: The page's heading.
        baseline: The same rows answered before fine-tuning, for a section that compares.
        history: Values by name, one an epoch, for the training curve.
        run: The recipe or settings of the run, shown as TOML.

    Raises:
        DataError: The baseline is of other rows.
    """
    comparison = compare(baseline, evaluation) if baseline else None
    page = render(evaluation, title=title, comparison=comparison, history=history, run=run)
    return write_whole(path, page)


def render(
    evaluation: Evaluation,
    *,
    title: str = "Evaluation",
    comparison: Comparison | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    run: Mapping[str, Any] | None = None,
) -> str:
    """Returns the page as text; the arguments are those of `write`, with the comparison made."""
    return _template("report.html").render(
        title=title,
        evaluation=evaluation,
        language_of=language_of,
        summary=_sentences(evaluation),
        languages=_language_lines(evaluation),
        groups={heading: _group_lines(evaluation, group) for group, heading in GROUPS.items()},
        labels=_label_tables(evaluation),
        hardest=_hardest(evaluation),
        plots=_plots(evaluation, comparison, history),
        most_matrices=plots.MOST_MATRICES,
        most_labels=plots.MOST_LABELS,
        comparison=comparison,
        p_shown=p_number,
        changed=_changed,
        run=tomli_w.dumps(plain(run)) if run else "",
        settings=tomli_w.dumps(plain(evaluation.settings)),
    )


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "metric": metric_name}
    return environment.get_template(name)


def write_transfer(path: str | Path, found: Transfer, *, title: str, run: Mapping[str, Any]) -> Path:
    """Writes the page of a transfer matrix, whole or not at all, and returns its path.

    Args:
        path: The HTML file.
        found: The matrix.
        title: The page's heading.
        run: The recipe, shown as TOML.
    """
    names = [f"{setting.kind}: {setting.name}" for setting in found.scores]
    values = [[nan if score is None else score.value for score in scores] for scores in found.scores.values()]
    trained = [[found.is_trained(setting, code) for code in found.tested] for setting in found.scores]
    plot = plots.heat_map(
        "transfer",
        names,
        [language_of(code).label for code in found.tested],
        np.array(values),
        marked=np.array(trained),
    )
    page = _template("transfer.html").render(
        title=title, found=found, language_of=language_of, plot=Markup(plot), run=tomli_w.dumps(plain(run))
    )
    return write_whole(path, page)


def write_consistency(path: str | Path, found: Consistency, *, title: str, run: Mapping[str, Any]) -> Path:
    """Writes the page of a model's consistency over languages, whole or not at all, and returns its path.

    Args:
        path: The HTML file.
        found: What was measured.
        title: The page's heading.
        run: The recipe, shown as TOML.
    """
    names = [language_of(code).label for code in found.languages]
    pairs = [[found.of(first, second) for second in found.languages] for first in found.languages]
    values = [[nan if score is None else score.value for score in row] for row in pairs]
    page = _template("consistency.html").render(
        title=title,
        found=found,
        language_of=language_of,
        plot=Markup(plots.heat_map("consistency", names, names, np.array(values))),
        run=tomli_w.dumps(plain(run)),
    )
    return write_whole(path, page)


def _plots(
    evaluation: Evaluation, comparison: Comparison | None, history: Mapping[str, Sequence[float]] | None
) -> dict[str, Markup]:
    """Returns the plots by name; those that have nothing to show are empty."""
    drawn = {
        "languages": plots.language_scores(evaluation),
        "confusions": plots.confusions(evaluation),
        "reliability": plots.reliability(evaluation),
        "training": plots.training_curve(history or {}),
        "before_after": plots.before_after(comparison) if comparison else "",
        **{heading: _group_plot(evaluation, group) for group, heading in GROUPS.items()},
    }
    # Matplotlib escapes the text inside its SVG.
    return {name: Markup(svg) for name, svg in drawn.items()}


def _group_plot(evaluation: Evaluation, group: str) -> str:
    return plots.group_scores(evaluation, group) if len(evaluation.by(group)) > 1 else ""


def _language_lines(evaluation: Evaluation) -> list[Line]:
    return [
        Line(
            language_of(code).label,
            len(evaluation.groups["language", code]),
            evaluation.of("language", code),
            language=language_of(code),
            trained=evaluation.is_trained(code),
        )
        for code in evaluation.languages
    ]


def _group_lines(evaluation: Evaluation, group: str) -> list[Line]:
    """Returns a line for each value of the group; none if all rows have the same."""
    found = {each: rows for each, rows in evaluation.groups.items() if each[0] == group}
    if len(found) < 2:
        return []
    return [Line(_name(each), len(rows), evaluation.of(*each)) for each, rows in found.items()]


def _name(group: Group) -> str:
    """Returns what people call a group's value: `Arabic` for `("language", "ar")`."""
    kind, value = group
    if kind == "language":
        return language_of(value).label
    return script_name(value) if kind == "script" else value


def _label_tables(evaluation: Evaluation) -> dict[str, list[tuple[str, list[LabelLine]]]]:
    """Returns the tables of labels by heading, each with its name; kinds of which all rows have one value have none."""
    if not evaluation.labels:
        return {}
    tables = {"All rows": [("All rows", _label_lines(evaluation, ALL))]}
    for kind, heading in {"language": "By language", **GROUPS}.items():
        found = [group for group in evaluation.groups if group[0] == kind]
        if len(found) > 1:
            tables[heading] = [(_name(group), _label_lines(evaluation, group)) for group in found]
    return tables


def _label_lines(evaluation: Evaluation, group: Group) -> list[LabelLine]:
    report = evaluation.classification_report(group)
    if evaluation.has_label_sets:
        return [LabelLine(scores) for scores in report]
    lines, matrix = [], evaluation.confusions[group]
    for scores, counts in zip(report, matrix.tolist(), strict=True):
        answers = tuple((count, count / max(1, scores.support)) for count in counts)
        wrong = {label: count for label, count in zip(evaluation.labels, counts, strict=True) if count}
        wrong.pop(scores.label, None)
        most = max(wrong, key=lambda label: wrong[label], default="")
        lines.append(LabelLine(scores, answers, f"{most} ({wrong[most]})" if wrong else ""))
    return lines


def _hardest(evaluation: Evaluation) -> tuple[list[HardExample], list[HardExample]]:
    """Returns the first hard example of each language, and the others, language by language."""
    first: dict[str, HardExample] = {}
    for example in evaluation.hardest:
        first.setdefault(example.language, example)
    others = [example for example in evaluation.hardest if example is not first[example.language]]
    order = list(first)
    return [*first.values()], sorted(others, key=lambda example: order.index(example.language))


def _sentences(evaluation: Evaluation) -> list[str]:
    """Returns what a reader in a hurry should know, in whole sentences."""
    mean, worst, gap = evaluation.mean, evaluation.worst, evaluation.transfer_gap
    metric, many = metric_name(evaluation.main), len(evaluation.languages)
    scored = [code for code, score in evaluation.by("language").items() if not isnan(score.value)]
    sentences = [f"The mean {metric} over {_languages(len(scored))} is {number(mean.value)}." if many > 1 else ""]
    if many > max(1, len(scored)):
        without = many - len(scored)
        sentences.append(f"{_languages(without)} {'has' if without == 1 else 'have'} no score.")
    if many > 1 and "language" in worst.group:
        sentences.append(f"{language_of(worst.group['language']).label} is the worst, with {number(worst.value)}.")
    if many == 1:
        sentences.append(f"The {metric} is {number(mean.value)}.")
    if gap and not isnan(gap.value):
        unseen = sum(not evaluation.is_trained(language) for language in scored)
        way = "below" if gap.value >= 0 else "above"
        who = "The language" if unseen == 1 else f"The {unseen} languages"
        scores = "scores" if unseen == 1 else "score"
        sentences.append(
            f"{who} without training rows {scores} {number(abs(gap.value))} {way} the trained ones on average."
        )
    return [sentence for sentence in sentences if sentence]


def _languages(count: int) -> str:
    return f"{count} language{'' if count == 1 else 's'}"


def _changed(difference: Difference) -> str:
    """Returns whether a difference is more than chance: `better`, `worse` or nothing."""
    if not difference.corrected < 0.05:  # nan is no change either
        return ""
    return "better" if difference.value > 0 else "worse"
