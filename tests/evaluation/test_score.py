"""The record of a number."""

from __future__ import annotations

import json
import math

import pytest

from tfxl.evaluation.score import Score, metric_name, number


def test_reads_as_people_write_it() -> None:
    score = Score("accuracy", 0.8123, 0.79, 0.834, 400, {"language": "de"})
    assert str(score) == "0.812 [0.790, 0.834] (n = 400)"
    assert score.name == "accuracy/language/de"


@pytest.mark.parametrize("value", [0.5, math.nan, 1.0])
def test_json_round_trip(value: float) -> None:
    score = Score("macro_f1", value, math.nan, 0.75, 3, {"script": "Latn"})
    text = json.dumps(score.as_json(), allow_nan=False)
    again = Score.from_json(json.loads(text))
    assert repr(again) == repr(score)


@pytest.mark.parametrize(
    ("value", "signed", "shown"),
    [
        (0.1234, False, "0.123"),
        (math.nan, False, "–"),
        (0.05, True, "+0.050"),
        (-0.05, True, "−0.050"),
        (-0.0004, True, "0.000"),
        (0.0004, True, "0.000"),
        (0.0, True, "0.000"),
        (-0.25, False, "−0.250"),
        (27.3, False, "27.300"),
    ],
)
def test_number(value: float, signed: bool, shown: str) -> None:
    assert number(value, signed=signed) == shown


def test_metric_name() -> None:
    assert metric_name("macro_f1") == "macro F1"
    assert metric_name("accuracy") == "accuracy"
