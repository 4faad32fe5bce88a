"""Answers that are sets of labels: scores of each label in each group, in the record, its file and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.toy_answers import LABELS, QUICK, TEXTS, evaluated, evaluated_sets
from tfxl.evaluation import plots, report
from tfxl.evaluation.confusion import SHARES
from tfxl.evaluation.evaluate import evaluate
from tfxl.evaluation.groups import ALL
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example, Prediction
from tfxl.metrics.macro_f1 import MacroF1


def test_labels_are_scored_over_all_rows_and_in_every_language() -> None:
    evaluation = evaluated_sets()
    assert evaluation.labels == LABELS
    assert evaluation.has_label_sets and not evaluated().has_label_sets
    assert evaluation.confusions == {}
    total = [scores.support for scores in evaluation.classification_report()]
    languages = [evaluation.classification_report(("language", code)) for code in TEXTS]
    assert total == [sum(scores.support for scores in column) for column in zip(*languages, strict=True)]
    mean = sum(scores.f1 for scores in evaluation.classification_report(ALL)) / len(LABELS)
    assert evaluation.overall("macro_f1").value == pytest.approx(mean)


def test_the_file_has_the_labels_scores_and_gives_the_record_back(tmp_path: Path) -> None:
    evaluation = evaluated_sets()
    path = evaluation.write(tmp_path / "report.json")
    assert Evaluation.read(path) == evaluation
    told = json.loads(path.read_text(encoding="utf-8"))["classification"]
    assert [labels["group"] for labels in told][:2] == [{}, {"language": "en"}]
    assert {"group", *SHARES, *(f"{name}_interval" for name in SHARES), "support"} == told[0].keys()


def test_the_page_has_a_table_of_labels_for_each_language() -> None:
    evaluation = evaluated_sets()
    page = report.render(evaluation)
    assert "A row may have several labels, or none" in page
    assert page.count("Should be</th>") >= 1 + len(TEXTS)
    assert "Most often taken for" not in page and "was <bdi>" not in page
    assert plots.confusions(evaluation) == ""
    assert "share that is right" in plots.reliability(evaluation)


def test_sequences_of_words_labels_are_no_sets() -> None:
    examples = [Example("a b", label=("O", "B-PER"), language="en")]
    for prediction in (Prediction(labels=("O", "O")), Prediction(labels=("O",), scores={"PER": 0.9})):
        found = evaluate(examples, [prediction], [MacroF1()], answers=[prediction.labels], settings=QUICK)
        assert found.labels == ()
