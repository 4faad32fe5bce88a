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
from tfxl.evaluation.uncertainty import holm

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
