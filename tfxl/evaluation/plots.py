"""Plots as inline SVG: they take their colours from the page's style, and their text stays text.

Matplotlib is imported on use, without a window system or global state. The colours drawn with are placeholders for
CSS variables, so that a plot follows the page from light to dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfxl.evaluation.compare import Comparison
from tfxl.evaluation.groups import language_of
from tfxl.evaluation.record import Evaluation
from tfxl.evaluation.score import Score, metric_name, number
from tfxl.languages import script_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#101112", "#606162", "#d0d1d2", "#fefdfc"
SEEN, UNSEEN = "#0a72b2", "#d55e0a"
SERIES = (SEEN, UNSEEN, "#0a9e73", "#cc79a7", "#b8860b", "#7a5fc7", "#56a0d3", "#8c564b")
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", SEEN: "--seen", UNSEEN: "--unseen"}
"""The CSS variable that takes the place of each colour."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: any script, selectable, no font embedded
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}

LONGEST_NAME = 32
"""Longer names of labels and groups are cut, so that they leave room for the plot."""

MOST_LABELS = 12
"""Confusion matrices with more labels are not drawn: their cells could not be read."""

MOST_MATRICES = 24
"""Of more languages, the confusion matrices of those with the fewest right answers are drawn."""


def language_scores(evaluation: Evaluation, metric: str | None = None) -> str:
    """Returns bars of the score of each language with intervals, the trained languages apart, the best first.

    Empty where no language has rows that count.
    """
    scores = sorted(
        evaluation.by("language", metric).items(),
        key=lambda item: (not evaluation.is_trained(item[0]), -np.nan_to_num(item[1].value, nan=-1e9)),
    )
    colours = [SEEN if evaluation.is_trained(code) else UNSEEN for code, _ in scores]
    if not evaluation.trained_languages:
        colours = [SEEN] * len(scores)
    labels = [language_of(code).label for code, _ in scores]
    legend = {"trained on": SEEN, "no training rows": UNSEEN} if len(set(colours)) > 1 else {}
    return _bars("languages", labels, [score for _, score in scores], colours=colours, legend=legend)


def group_scores(evaluation: Evaluation, group: str, metric: str | None = None) -> str:
    """Returns bars of the score of each script, length band or domain, with intervals."""
    scores = evaluation.by(group, metric)
    labels = [script_name(value) if group == "script" else value for value in scores]
    return _bars(group, labels, [*scores.values()], colours=[SEEN] * len(scores))


def _bars(
    name: str,
    labels: Sequence[str],
    scores: Sequence[Score],
    *,
    colours: Sequence[str],
    legend: Mapping[str, str] | None = None,
) -> str:
    if not scores:
        return ""
    values = np.array([score.value for score in scores])
    lows, highs = (np.nan_to_num([getattr(s, end) for s in scores], nan=0.0) for end in ("low", "high"))
    with _style():
        figure, axes = _figure(height=0.32 * len(scores) + (1.0 if legend else 0.6))
        places = np.arange(len(scores))[::-1]
        axes.barh(places, np.nan_to_num(values), height=0.66, color=colours, alpha=0.85)
        for place, low, high, score in zip(places, lows, highs, scores, strict=True):
            if not np.isnan(score.low):
                axes.plot([low, high], [place, place], color=INK, linewidth=1.3, solid_capstyle="butt")
            axes.text(
                1.01,
                place,
                f"{number(score.value)}, n = {score.rows}",
                transform=axes.get_yaxis_transform(),
                va="center",
            )
        axes.set_yticks(places, [_short(label) for label in labels])
        axes.set_ylim(-0.6, len(scores) - 0.4)
        axes.set_xlim(min(0.0, float(lows.min())), max(1.0, float(highs.max())))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(metric_name(scores[0].metric))
        if legend:
            _legend(axes, legend)
        return _svg(figure, name)


def confusions(evaluation: Evaluation) -> str:
    """Returns each language's confusion matrix as a small multiple, in shares of the gold label's rows.

    Empty where the answers are not single labels, or are more labels than can be read. At most `MOST_MATRICES`
    languages.
    """
    if evaluation.has_label_sets or not 2 <= len(evaluation.labels) <= MOST_LABELS:
        return ""
    codes, size = _confused(evaluation), len(evaluation.labels)
    columns = max(1, min(len(codes), 4 if size <= 4 else 2))
    rows = -(-len(codes) // columns)
    with _style({"axes.grid": False}):
        figure, grid = _figure(rows, columns, height=rows * (1.72 if columns > 2 else 3.6) + 0.8)
        for index, axes in enumerate(np.ravel(grid)):
            if index >= len(codes):
                axes.set_axis_off()
                continue
            _confusion(axes, evaluation.confusions["language", codes[index]], labels=evaluation.labels)
            axes.set_title(_short(language_of(codes[index]).label))
            axes.tick_params(labelleft=index % columns == 0, labelbottom=index + columns >= len(codes), length=0)
        return _svg(figure, "confusions")


def _confused(evaluation: Evaluation) -> list[str]:
    """Returns the languages whose matrices are drawn, in the evaluation's order."""
    matrices = {code: evaluation.confusions["language", code] for code in evaluation.languages}
    right = {code: np.trace(matrix) / np.sum(matrix) for code, matrix in matrices.items()}
    chosen = sorted(right, key=lambda code: right[code])[:MOST_MATRICES]
    return [code for code in evaluation.languages if code in chosen]


def _confusion(axes: Axes, matrix: np.ndarray, *, labels: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for (row, column), share in np.ndenumerate(shares):
        colour = SEEN if row == column else UNSEEN
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=0.06 + 0.74 * share))
        if matrix[row, column]:
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=9)
    places, names = np.arange(len(labels)), [_short(label) for label in labels]
    axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def reliability(evaluation: Evaluation, *, bins: int = 10) -> str:
    """Returns the share of right answers over the model's confidence; on the diagonal, confidence can be trusted.

    Where a row may have several labels, it is the share of rows that have a label over its score. Empty where the model
    gives no scores. The legend names the expected calibration error (Guo et al. 2017).
    """
    confidence, right, languages = _judged(evaluation)
    if not len(confidence):
        return ""
    trained = {language for language in evaluation.languages if evaluation.is_trained(language)}
    seen = np.array([language in trained for language in languages])
    parts = {"trained on": (seen, SEEN), "no training rows": (~seen, UNSEEN)}
    if seen.all() or not seen.any():
        parts = {"all rows": (np.ones(len(seen), dtype=bool), SEEN)}
    with _style():
        figure, (axes, counts) = _figure(2, 1, height=4.6, height_ratios=(4, 1), sharex=True)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        for name, (chosen, colour) in parts.items():
            curve, error = calibration(confidence[chosen], right[chosen], bins=bins)
            label = f"{name}, calibration error {number(error)}"
            axes.plot(*curve.T, color=colour, marker="o", markersize=5, clip_on=False, label=label)
        edges = np.linspace(0, 1, bins + 1).tolist()
        chosen_rows = [confidence[chosen] for chosen, _ in parts.values()]
        counts.hist(chosen_rows, bins=edges, color=[colour for _, colour in parts.values()])
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
        axes.legend(loc="upper left")
        counts.set(xlabel="confidence", ylabel="rows")
        return _svg(figure, "reliability")


def _judged(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns each judgement's confidence, whether it is right, and its language: a row, or a label of a row, each."""
    if evaluation.has_label_sets:
        judged = [(score, label in row.gold, row) for row in evaluation.rows for label, score in row.scores.items()]
    else:
        rows = [row for row in evaluation.rows if not np.isnan(row.confidence)]
        judged = [(row.confidence, row.predicted == row.gold, row) for row in rows]
    confidence, right = (np.array([each[place] for each in judged], dtype=float) for place in (0, 1))
    return confidence, right, [row.language for _, _, row in judged]


def calibration(confidence: np.ndarray, right: np.ndarray, *, bins: int = 10) -> tuple[np.ndarray, float]:
    """Returns the reliability curve and the expected calibration error.

    Args:
        confidence: `[rows]` between 0 and 1.
        right: `[rows]`, 1 where the answer is right.
        bins: How many intervals of confidence, of equal width.

    Returns:
        `[bins that hold rows, 2]`, mean confidence and share of right answers; and the mean distance of the two.
    """
    bin_of_row = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of_row, minlength=bins)
    sums = np.stack([np.bincount(bin_of_row, weights=values, minlength=bins) for values in (confidence, right)], axis=1)
    used = counts > 0
    curve = sums[used] / counts[used, None]
    return curve, float(np.sum(np.abs(curve[:, 0] - curve[:, 1]) * counts[used]) / len(confidence))


OWN_UNITS = ("learning_rate", "tokens_per_second")
"""What is logged beside losses and scores, and would press them flat on one axis with them."""


def training_curve(history: Mapping[str, Sequence[float]]) -> str:
    """Returns losses and scores of each epoch, losses on the left; what has units of its own is left to TensorBoard.

    Args:
        history: Values by name, one an epoch, as Keras' `History.history` holds them.
    """
    losses = {name: values for name, values in history.items() if "loss" in name}
    scores = {name: values for name, values in history.items() if name not in (*losses, *OWN_UNITS)}
    panels = [panel for panel in (losses, scores) if panel]
    if not panels:
        return ""
    with _style():
        figure, grid = _figure(1, len(panels), height=3.2)
        for axes, panel in zip(np.ravel(grid), panels, strict=True):
            for index, (name, values) in enumerate(panel.items()):
                colour, dashes = SERIES[index % len(SERIES)], ("-", "--", ":")[index // len(SERIES) % 3]
                epochs = np.arange(1, len(values) + 1)
                axes.plot(epochs, values, color=colour, linestyle=dashes, marker="o", markersize=4, label=_short(name))
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(loc="best", fontsize=8)
        return _svg(figure, "training")


def before_after(comparison: Comparison) -> str:
    """Returns each language's score before and after as two points and the way between them."""
    differences = sorted(comparison.languages, key=lambda difference: np.nan_to_num(difference.second, nan=-np.inf))
    values = [value for difference in differences for value in (difference.first, difference.second)]
    with _style():
        figure, axes = _figure(height=0.3 * len(differences) + 1.1)
        for place, difference in enumerate(differences):
            axes.plot([difference.first, difference.second], [place, place], color=MUTED, linewidth=1.5, zorder=1)
        places = np.arange(len(differences))
        axes.scatter([d.first for d in differences], places, facecolor=PAPER, edgecolor=MUTED, s=42, zorder=2)
        axes.scatter([d.second for d in differences], places, color=SEEN, s=42, zorder=3)
        for place, difference in enumerate(differences):
            shown = number(difference.value, signed=True)
            axes.text(1.01, place, shown, transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(places, [_short(language_of(d.group["language"]).label) for d in differences])
        axes.set_ylim(-0.6, len(differences) - 0.4)
        # A language without a score has no point: nan is neither less nor more than what stands first.
        axes.set_xlim(min(0.0, *values), max(1.0, *values))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(metric_name(comparison.overall.metric))
        _legend(axes, {"before": MUTED, "after": SEEN}, hollow=("before",))
        return _svg(figure, "before-after")


def heat_map(
    name: str, rows: Sequence[str], columns: Sequence[str], values: np.ndarray, *, marked: np.ndarray | None = None
) -> str:
    """Returns a table of scores as coloured cells, darker for higher.

    Args:
        name: What the plot is called in the page.
        rows: The names of the rows.
        columns: The names of the columns.
        values: `[rows, columns]`, nan where there is no score.
        marked: `[rows, columns]` bool, cells with a frame, such as languages that were trained on.
    """
    from matplotlib.patches import Rectangle

    known = values[~np.isnan(values)]
    low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
    with _style({"axes.grid": False}):
        figure, axes = _figure(height=0.34 * len(rows) + 1.3)
        for (row, column), value in np.ndenumerate(values):
            if np.isnan(value):
                continue
            share = (value - low) / (high - low) if high > low else 1.0
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=SEEN, alpha=0.06 + 0.6 * share))
            if marked is not None and marked[row, column]:
                frame = (column - 0.46, row - 0.46)
                axes.add_patch(Rectangle(frame, 0.92, 0.92, fill=False, edgecolor=INK, linewidth=1.1))
            axes.text(column, row, number(value), ha="center", va="center", fontsize=8)
        axes.set_xticks(np.arange(len(columns)), map(_short, columns), rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(len(rows)), [_short(row) for row in rows])
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _svg(figure, name)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _legend(axes: Axes, colours: Mapping[str, str], *, hollow: Sequence[str] = ()) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=7, color=colour, label=name)
        for name, colour in colours.items()
    ]
    for handle in handles:
        if handle.get_label() in hollow:
            handle.set_fillstyle("none")
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), borderaxespad=0.2)


def _style(changes: dict[Any, Any] | None = None) -> Any:
    from matplotlib import rc_context

    return rc_context({**STYLE, **(changes or {})})


def _figure(rows: int = 1, columns: int = 1, *, height: float, **layout: Any) -> tuple[Figure, Any]:
    """Returns a figure that belongs to no window, 7.6 inches wide, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **layout)


def _svg(figure: Figure, name: str) -> str:
    """Returns the figure as an SVG element that can stand in a page beside others."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The browser has the glyphs of the labels' scripts; only the width is estimated without them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _embeddable(buffer.getvalue(), name)


def _embeddable(svg: str, name: str) -> str:
    """Returns the SVG element alone: no fixed size, names that are its own, colours and fonts of the page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head).replace("<svg", f'<svg role="img" class="plot {name}"', 1)
    svg = f"{head}>{rest}".replace("'DejaVu Sans'", "system-ui, sans-serif")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
