"""The JSON file of an evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.toy_answers import QUICK, evaluated
from tfxl.errors import DataError
from tfxl.evaluation.confusion import SHARES
from tfxl.evaluation.evaluate import evaluate
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example, Prediction
from tfxl.metrics.accuracy import Accuracy


def test_round_trip(tmp_path: Path) -> None:
    evaluation = evaluated()
    path = evaluation.write(tmp_path / "new" / "report.json")
    assert Evaluation.read(path) == evaluation
    assert [*path.parent.iterdir()] == [path]


def test_round_trip_of_answers_that_are_no_labels(tmp_path: Path) -> None:
    examples = [Example("نص", label=[["B", 1], ["O", 2]], language="ar"), Example("字", label=3.5, language="zh")]
    evaluation = evaluate(examples, [Prediction("x"), Prediction("y")], [Accuracy()], settings=QUICK)
    again = Evaluation.read(evaluation.write(tmp_path / "report.json"))
    assert again.rows == evaluation.rows and again.scores == evaluation.scores
    assert again.rows[0].gold == (("B", 1), ("O", 2))


def test_json_is_standard_readable_and_keeps_texts_of_hard_examples_only(tmp_path: Path) -> None:
    evaluation = evaluated()
    text = evaluation.write(tmp_path / "report.json").read_text(encoding="utf-8")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    values = json.loads(text, parse_constant=refuse)
    assert values["scores"][0]["rows"] == len(evaluation.rows)
    assert {"group", "confusion", *SHARES, *(f"{name}_interval" for name in SHARES), "support"} == values[
        "classification"
    ][0].keys()
    assert text.count("这家酒店") == sum(example.text.count("这家酒店") for example in evaluation.hardest)


def test_json_tells_the_labels_of_all_rows_and_of_every_group(tmp_path: Path) -> None:
    evaluation = evaluated()
    told = json.loads(evaluation.write(tmp_path / "report.json").read_text(encoding="utf-8"))["classification"]
    assert told[0]["group"] == {}
    kinds = [kind for labels in told for kind in labels["group"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {"language": 6, "script": 5, "length": 5, "domain": 2}
    chosen = next(labels for labels in told if labels["group"] == {"script": "Arab"})
    report = evaluation.classification_report(("script", "Arab"))
    assert chosen["confusion"] == evaluation.confusions["script", "Arab"].tolist()
    assert chosen["support"] == [scores.support for scores in report]
    assert chosen["f1"] == [round(scores.f1, 6) for scores in report]


def test_a_share_that_is_not_defined_is_null() -> None:
    examples = [Example("a", label="x", language="en"), Example("b", label="x", language="en")]
    predictions = [Prediction("x", {"x": 0.9, "y": 0.1})] * 2
    told = evaluate(examples, predictions, [Accuracy()], settings=QUICK).as_json()["classification"][0]
    assert told["recall"] == [1.0, None] and told["confusion"] == [[2, 0], [0, 0]]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99}', '{"format": 1}', "\ufeffnot json", '{"format": 1, "labels": 3}']
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        Evaluation.read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="FileNotFound"):
        Evaluation.read(tmp_path / "none.json")
