"""Two models on the same rows."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.toy_answers import evaluated
from tfxl.errors import DataError
from tfxl.evaluation.compare import Settings, compare
from tfxl.evaluation.evaluate import Settings as EvaluationSettings
from tfxl.evaluation.evaluate import evaluate
from tfxl.evaluation.record import Evaluation
from tfxl.evaluation.uncertainty import holm
from tfxl.example import Example, Prediction
from tfxl.metrics.spans import Spans

QUICK = Settings(samples=500)


def test_differences_are_those_of_the_scores() -> None:
    before, after = evaluated(right=0.4), evaluated(right=0.9, seed=1)
    comparison = compare(before, after, settings=QUICK)
    for difference in comparison.languages:
        code = difference.group["language"]
        assert math.isclose(difference.first, before.by("language")[code].value)
        assert math.isclose(difference.second, after.by("language")[code].value)
        assert difference.low <= difference.value <= difference.high
    assert math.isclose(comparison.mean.value, after.mean.value - before.mean.value)
    assert math.isclose(comparison.overall.value, after.overall().value - before.overall().value)
    assert comparison.mean.p_value < 0.01 and comparison.mean.low > 0


def test_p_values_are_corrected_over_the_languages() -> None:
    comparison = compare(evaluated(right=0.5), evaluated(right=0.7, seed=1), settings=QUICK)
    raw = [difference.p_value for difference in comparison.languages]
    assert np.allclose([difference.corrected for difference in comparison.languages], holm(raw))


def test_languages_without_a_score_are_left_out_of_mean_and_correction_and_named() -> None:
    generator = np.random.default_rng(0)
    tags = {"de": "B-PER", "hi": "B-LOC", "th": "O"}  # no span in Thai
    examples = [Example("a", label=(tags[code],), language=code, id=str(row)) for row in range(30) for code in tags]

    def answered(right: float, *, without: str = "") -> Evaluation:
        kept = [generator.random() < right for _ in examples]
        answers = [row.label if is_kept else ("O",) for row, is_kept in zip(examples, kept, strict=True)]
        chosen = [pair for pair in zip(examples, answers, strict=True) if pair[0].language != without]
        rows, found = zip(*chosen, strict=True)
        return evaluate(rows, [Prediction()] * len(rows), [Spans()], answers=found, settings=EvaluationSettings())

    state = generator.bit_generator.state
    whole = compare(answered(0.4), answered(0.9), settings=QUICK)
    generator.bit_generator.state = state
    without = compare(answered(0.4, without="th"), answered(0.9, without="th"), settings=QUICK)
    assert whole.left_out == ("th",) and without.left_out == ()
    assert whole.mean == without.mean and not math.isnan(whole.mean.p_value)
    assert whole.languages[:2] == without.languages
    thai = whole.languages[2]
    assert all(math.isnan(value) for value in (thai.value, thai.p_value, thai.corrected)) and thai.rows == 30
    assert json.loads(json.dumps(whole.as_json(), allow_nan=False))["left_out"] == ["th"]


def test_no_language_with_a_score_has_no_mean() -> None:
    examples = [Example("a", label=("O",), language=code) for code in ("de", "th")]
    nothing = evaluate(examples, [Prediction()] * 2, [Spans()], answers=[("O",)] * 2)
    comparison = compare(nothing, nothing, settings=QUICK)
    assert comparison.left_out == ("de", "th")
    assert math.isnan(comparison.mean.value) and math.isnan(comparison.mean.p_value)


def test_a_model_does_not_differ_from_itself() -> None:
    comparison = compare(evaluated(), evaluated(), settings=QUICK)
    for difference in (*comparison.languages, comparison.mean, comparison.overall):
        assert (difference.value, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_files_in_another_order_pair_all_the_same(tmp_path: Path) -> None:
    before, after = evaluated(right=0.4), evaluated(right=0.9, seed=1)
    rows = [*after.rows]
    random.Random(0).shuffle(rows)
    paths = [
        evaluation.write(tmp_path / name)
        for evaluation, name in ((before, "a.json"), (dataclasses.replace(after, rows=tuple(rows)), "b.json"))
    ]
    assert compare(*paths, settings=QUICK) == compare(before, after, settings=QUICK)


def test_another_metric() -> None:
    before, after = evaluated(right=0.4), evaluated(right=0.9, seed=1)
    comparison = compare(before, after, metric="macro_f1", settings=QUICK)
    assert math.isclose(comparison.languages[0].first, before.by("language", "macro_f1")["en"].value)
    with pytest.raises(DataError, match="did you mean 'macro_f1'"):
        compare(before, after, metric="macrof1")


def test_json_is_standard() -> None:
    comparison = compare(evaluated(), evaluated(right=0.5), settings=QUICK)
    values = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert values["languages"][0]["group"] == {"language": "en"}
    assert values["mean"]["group"] == {"summary": "mean"}


def test_different_rows_are_refused() -> None:
    whole = evaluated()
    with pytest.raises(DataError, match="24 of 144 rows are not in the second"):
        compare(whole, evaluated(languages=("en", "de", "zh", "ar", "hi")))
    with pytest.raises(DataError, match="24 of 144 rows are not in the first"):
        compare(evaluated(languages=("en", "de", "zh", "ar", "hi")), whole)
    first, *others = whole.rows
    for change, message in ({"digest": "0"}, "another text"), ({"gold": "x"}, "another right answer"):
        changed = dataclasses.replace(whole, rows=(dataclasses.replace(first, **change), *others))
        with pytest.raises(DataError, match=message):
            compare(whole, changed)


def test_rows_without_ids_pair_by_their_place() -> None:
    def nameless(evaluation):
        return dataclasses.replace(evaluation, rows=tuple(dataclasses.replace(row, id="") for row in evaluation.rows))

    before, after = evaluated(right=0.4), evaluated(right=0.9, seed=1)
    nameless_comparison = compare(nameless(before), nameless(after), settings=QUICK)
    assert nameless_comparison == compare(before, after, settings=QUICK)
