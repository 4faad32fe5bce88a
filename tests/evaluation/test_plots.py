"""Plots are SVG that can stand in a page."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tests.evaluation.toy_answers import evaluated, evaluated_spans
from tfxl.evaluation import plots
from tfxl.evaluation.compare import Settings, compare

NASTY = ("<script>alert(1)</script>", '$x^2$ & "q" \'', "正面/سلبي")


def drawn() -> dict[str, str]:
    evaluation = evaluated(labels=NASTY)
    return {
        "languages": plots.language_scores(evaluation),
        "length": plots.group_scores(evaluation, "length"),
        "script": plots.group_scores(evaluation, "script"),
        "confusions": plots.confusions(evaluation),
        "reliability": plots.reliability(evaluation),
        "training": plots.training_curve({"loss": [1.0, 0.5], "accuracy/<b>": [0.3, 0.6]}),
        "change": plots.before_after(compare(evaluated(right=0.3), evaluated(), settings=Settings(samples=100))),
    }


def test_every_plot_is_well_formed_and_loads_nothing() -> None:
    ids: list[str] = []
    for name, svg in drawn().items():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg") and "viewBox" in root.attrib, name
        assert "width" not in root.attrib and "height" not in root.attrib
        assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}
        assert "<metadata" not in svg and "DejaVu" not in svg
        assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', svg))
        ids += {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    assert len(ids) == len(set(ids))


def test_colours_are_the_pages() -> None:
    for svg in drawn().values():
        assert "var(--ink)" in svg
        assert not any(colour in svg for colour in plots.VARIABLES)


def test_text_stays_text_in_any_script() -> None:
    svg = drawn()["confusions"]
    texts = {element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")}
    assert set(NASTY) <= texts
    assert {"English", "Chinese", "Arabic"} <= texts


def test_the_same_evaluation_gives_the_same_plot_each_time_up_to_names() -> None:
    evaluation = evaluated()
    first, second = (re.sub(r"-[mp][0-9a-f]{10}", "", plots.language_scores(evaluation)) for _ in range(2))
    assert first == second


def test_of_many_languages_the_worst_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MOST_MATRICES", 2)
    evaluation = evaluated(right=0.5)
    right = evaluation.by("language")
    drawn_languages = plots._confused(evaluation)
    assert len(drawn_languages) == 2
    others = [score.value for code, score in right.items() if code not in drawn_languages]
    assert max(right[code].value for code in drawn_languages) <= min(others)


def test_nothing_to_show_is_no_plot() -> None:
    many = evaluated(labels=tuple(f"intent {number}" for number in range(20)))
    assert plots.confusions(many) == ""
    assert plots.training_curve({}) == ""


def test_speed_and_learning_rate_do_not_press_scores_flat() -> None:
    scores = {"loss": [1.0, 0.5], "validation/de": [0.4, 0.6]}
    assert plots.training_curve({"learning_rate": [1e-4, 0.0], "tokens_per_second": [1200.0, 1300.0]}) == ""
    with_speed = plots.training_curve({**scores, "learning_rate": [1e-4, 0.0], "tokens_per_second": [1200.0, 1300.0]})
    assert "validation/de" in with_speed and "loss" in with_speed
    assert "1200" not in with_speed and "tokens" not in with_speed and "learning" not in with_speed


@pytest.mark.filterwarnings("error")
def test_scores_that_are_not_defined_leave_gaps() -> None:
    some, none = evaluated_spans({"en": "B-PER", "de": "O"}), evaluated_spans({"en": "O", "de": "O"})
    for evaluation in (some, none):
        assert "<svg" in plots.language_scores(evaluation) and "<svg" in plots.group_scores(evaluation, "domain")
        assert "<svg" in plots.before_after(compare(evaluation, evaluation, settings=Settings(samples=100)))
    for values in ([[0.5, np.nan]], [[np.nan, np.nan]]):
        assert "<svg" in plots.heat_map("matrix", ["en"], ["en", "de"], np.array(values))
    assert "<svg" in plots.training_curve({"loss": [1.0, 0.5], "validation/de": [np.nan, np.nan]})


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_extreme_scores_are_drawn(right: float) -> None:
    assert "<svg" in plots.language_scores(evaluated(right=right, trained=()))
    assert "<svg" in plots.reliability(evaluated(right=right, trained=()))


def test_calibration() -> None:
    confidence = np.array([0.9] * 10 + [0.6] * 10)
    right = np.array([1] * 9 + [0] + [1] * 3 + [0] * 7)
    curve, error = plots.calibration(confidence, right)
    assert np.allclose(curve, [[0.6, 0.3], [0.9, 0.9]])
    assert np.isclose(error, 0.15)
    assert plots.calibration(np.array([1.0]), np.array([1.0]))[1] == 0


def test_matplotlib_is_imported_on_use_only() -> None:
    code = (
        "import sys; import tfxl.evaluation.report, tfxl.evaluation.evaluate, tfxl.evaluation.compare\n"
        "sys.exit('matplotlib' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
