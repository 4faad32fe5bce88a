"""An evaluation's numbers against the metrics themselves."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from tests.evaluation.toy_answers import LABELS, QUICK, evaluated, make
from tfxl import registry
from tfxl.errors import DataError, RecipeError
from tfxl.evaluation.compare import compare
from tfxl.evaluation.evaluate import Settings, evaluate
from tfxl.evaluation.groups import ALL
from tfxl.example import Example, Prediction
from tfxl.metrics.accuracy import Accuracy
from tfxl.metrics.answer_f1 import AnswerF1
from tfxl.metrics.correlation import Correlation
from tfxl.metrics.joint import Joint
from tfxl.metrics.macro_f1 import MacroF1
from tfxl.metrics.mean_absolute_error import MeanAbsoluteError
from tfxl.metrics.piece_accuracy import PieceAccuracy
from tfxl.metrics.spans import Spans
from tfxl.settings import validate


def test_scores_are_those_of_the_rows() -> None:
    examples, predictions = make()
    evaluation = evaluate(examples, predictions, [Accuracy(), MacroF1()], settings=QUICK)
    gold, answers = [row.label for row in examples], [row.label for row in predictions]
    assert math.isclose(evaluation.overall().value, accuracy_score(gold, answers))
    assert math.isclose(evaluation.overall("macro_f1").value, f1_score(gold, answers, average="macro"))
    for language, score in evaluation.by("language", "macro_f1").items():
        chosen = [i for i, example in enumerate(examples) if example.language == language]
        expected = f1_score([gold[i] for i in chosen], [answers[i] for i in chosen], average="macro")
        assert math.isclose(score.value, expected)
        assert score.low <= score.value <= score.high
        assert score.rows == len(chosen)


def test_spearman_of_a_language_is_that_of_its_rows_alone() -> None:
    generator = np.random.default_rng(0)
    languages = ["de", "hi", "th"] * 20
    numbers, noise = generator.normal(size=60) * 10, generator.normal(size=60)
    pairs = zip(numbers, languages, strict=True)
    examples = [Example(str(row), label=gold, language=code) for row, (gold, code) in enumerate(pairs)]
    both = [
        [Prediction(gold * 2 + scale * each) for gold, each in zip(numbers, noise, strict=True)]
        for scale in (9.0, 30.0)
    ]
    evaluations = [evaluate(examples, side, [Correlation()], settings=QUICK) for side in both]
    compared = {each.group["language"]: each for each in compare(*evaluations).languages}
    for code in ("de", "hi", "th"):
        rows = [row for row, language in enumerate(languages) if language == code]
        official = [spearmanr(numbers[rows], [side[row].label for row in rows]).statistic for side in both]
        assert math.isclose(evaluations[0].of("language", code)[0].value, official[0])
        assert math.isclose(compared[code].value, official[1] - official[0])


def test_spearman_of_one_of_several_tasks_is_ranked_in_each_group_too() -> None:
    generator = np.random.default_rng(0)
    languages, numbers = ["de", "hi", "th"] * 20, generator.normal(size=60) * 10
    examples, sides = [], [[], []]
    for row, (number, code) in enumerate(zip(numbers.tolist(), languages, strict=True)):
        gold = {"likeness": number, "mood": LABELS[row % 2]} if row % 5 else {"mood": LABELS[row % 2]}
        examples.append(Example("text", label=gold, language=code, id=str(row)))
        for side, (scale, mood) in zip(sides, ((9.0, 1), (30.0, 2)), strict=True):
            side.append({"likeness": number * 2 + scale * float(generator.normal()), "mood": LABELS[mood]})
    metrics = [Joint(metrics={"likeness": {"kind": "correlation"}, "mood": {"kind": "macro_f1"}})]
    evaluations = [evaluate(examples, [Prediction()] * 60, metrics, answers=side, settings=QUICK) for side in sides]
    compared = {each.group["language"]: each for each in compare(*evaluations).languages}
    for code in ("de", "hi", "th"):
        rows = [row for row in range(60) if languages[row] == code]
        alike = [row for row in rows if row % 5]
        scores = []
        for side in sides:
            correlation = spearmanr(numbers[alike], [side[row]["likeness"] for row in alike]).statistic
            moods = [examples[row].label["mood"] for row in rows], [side[row]["mood"] for row in rows]
            scores.append((correlation + f1_score(*moods, average="macro")) / 2)
        assert math.isclose(evaluations[0].of("language", code)[0].value, scores[0])
        assert math.isclose(compared[code].value, scores[1] - scores[0])


def test_groups() -> None:
    evaluation = evaluated()
    assert [*evaluation.by("language")] == ["en", "de", "zh", "ar", "hi", "th"]
    assert {*evaluation.by("script")} == {"Latn", "Hans", "Arab", "Deva", "Thai"}
    assert [*evaluation.by("domain")] == ["hotel", "phone"]
    assert [*evaluation.by("length")] == ["0–20", "21–50", "51–100", "101–200", "over 200"]
    for group in ("language", "script", "domain", "length"):
        assert sum(score.rows for score in evaluation.by(group).values()) == len(evaluation.rows)


def test_summaries() -> None:
    evaluation = evaluated()
    by_language = {code: score.value for code, score in evaluation.by("language").items()}
    assert math.isclose(evaluation.mean.value, np.mean([*by_language.values()]))
    assert evaluation.worst.value == min(by_language.values())
    assert by_language[evaluation.worst.group["language"]] == evaluation.worst.value
    seen = np.mean([by_language["en"], by_language["de"]])
    unseen = np.mean([by_language[code] for code in ("zh", "ar", "hi", "th")])
    gap = evaluation.transfer_gap
    assert gap is not None and math.isclose(gap.value, seen - unseen) and gap.low <= gap.value <= gap.high


def test_a_mean_has_an_interval_though_each_draw_leaves_a_language_undefined() -> None:
    # One row in 20 has a span: a third of the draws of each of 40 languages have none, so that no draw has all.
    tags = [("B-PER",), *[("O",)] * 19] * 40
    examples = [Example("a", label=label, language=f"x{row // 20}") for row, label in enumerate(tags)]
    answers = [tag if row % 40 else ("O",) for row, tag in enumerate(tags)]
    evaluation = evaluate(examples, [Prediction()] * len(tags), [Spans()], answers=answers, settings=QUICK)
    assert evaluation.mean.value == 0.5
    assert evaluation.mean.low < 0.5 < evaluation.mean.high


def test_worst_language_of_an_error_rate_is_the_highest() -> None:
    class Errors(Accuracy):
        higher_is_better = False

        def value(self, sums: np.ndarray) -> np.ndarray:
            return 1 - super().value(sums)

    Errors.kind = "accuracy"  # the evaluation asks the registry what a kind is called
    evaluation = evaluate(*make(), [Errors()], settings=QUICK)
    assert evaluation.worst.value == max(score.value for score in evaluation.by("language").values())


@pytest.mark.parametrize("trained", [(), ("en", "de", "zh", "ar", "hi", "th"), ("fr",)])
def test_no_transfer_gap_without_both_kinds_of_languages(trained: tuple[str, ...]) -> None:
    assert evaluated(trained=trained).transfer_gap is None


def test_regions_and_three_letter_codes_of_a_trained_language_count_as_trained() -> None:
    evaluation = evaluated(trained=("deu", "zh-TW"))
    assert [code for code in evaluation.languages if evaluation.is_trained(code)] == ["de", "zh"]


def test_an_interval_does_not_depend_on_the_other_languages() -> None:
    alone, together = evaluated(languages=("en",)), evaluated(languages=("en", "de"))
    assert alone.by("language")["en"] == together.by("language")["en"]


def test_no_samples_give_no_intervals() -> None:
    score = evaluated(settings=Settings(samples=0)).mean
    assert not math.isnan(score.value) and math.isnan(score.low) and math.isnan(score.high)


def test_confusions_count_the_rows_of_every_group_in_the_models_order_of_labels() -> None:
    evaluation = evaluated()
    assert evaluation.labels == LABELS
    assert {kind for kind, _ in evaluation.confusions} == {"", "language", "script", "length", "domain"}
    for group, matrix in evaluation.confusions.items():
        score = evaluation.overall() if group == ALL else evaluation.by(group[0])[group[1]]
        assert np.sum(matrix) == score.rows
        assert math.isclose(np.trace(matrix) / np.sum(matrix), score.value)
        assert sum(scores.support for scores in evaluation.classification_report(group)) == np.sum(matrix)


def test_the_report_of_a_group_is_that_of_its_rows() -> None:
    evaluation = evaluated()
    for group in (ALL, ("script", "Arab"), ("length", "51–100"), ("domain", "hotel"), ("language", "th")):
        rows = [evaluation.rows[index] for index in evaluation.groups[group]]
        gold, answers = [row.gold for row in rows], [row.predicted for row in rows]
        expected = precision_recall_fscore_support(gold, answers, labels=LABELS, zero_division=np.nan)
        for scores, *values in zip(evaluation.classification_report(group), *expected, strict=True):
            assert np.allclose([scores.precision, scores.recall, scores.f1, scores.support], values, equal_nan=True)


def test_answers_that_are_no_labels_have_no_confusions() -> None:
    examples = [
        Example("a", label=["x", "y"], language="en", id="1"),
        Example("b", label=("z",), language="en", id="2"),
    ]
    predictions = [Prediction("xy"), Prediction("z")]
    evaluation = evaluate(
        examples, predictions, [Accuracy()], answers=[[*each.label] for each in predictions], settings=QUICK
    )
    assert evaluation.overall().value == 1.0
    assert evaluation.labels == () and evaluation.confusions == {}


def test_free_texts_are_no_labels() -> None:
    examples = [Example("a", label="un", language="fr"), Example("b", label="deux", language="fr")]
    evaluation = evaluate(examples, [Prediction("un"), Prediction("trois")], [Accuracy()], settings=QUICK)
    assert evaluation.overall().value == 0.5 and not evaluation.confusions


def test_hardest_are_wrong_and_the_surest_first() -> None:
    evaluation = evaluated(right=0.3)
    surest = [example.confidence for example in evaluation.hardest]
    assert surest == sorted(surest, reverse=True)
    assert all(example.gold != example.predicted for example in evaluation.hardest)
    for language in evaluation.languages:
        wrong = [r.confidence for r in evaluation.rows if r.language == language and r.gold != r.predicted]
        kept = [example.confidence for example in evaluation.hardest if example.language == language]
        assert kept == sorted(wrong, reverse=True)[:3]


def test_hardest_answers_to_questions_are_those_of_the_lowest_f1() -> None:
    told = {"in Köln": "gestern", "der alte König": "König", "sieben Tage": "die sieben Tage", "ja": "nein"}
    examples = [Example("?", label=right, language="de", id=right) for right in told]
    scores = (0.2, 0.9, 0.1, 0.6)
    predictions = [Prediction(answer, {answer: score}) for answer, score in zip(told.values(), scores, strict=True)]
    evaluation = evaluate(
        examples,
        predictions,
        [AnswerF1()],
        gold=lambda example: {"language": example.language, "answers": ("anders", example.label)},
        settings=QUICK,
    )
    assert [example.id for example in evaluation.hardest] == ["ja", "in Köln", "der alte König"]


def test_hardest_numbers_are_those_furthest_off() -> None:
    examples = [Example(name, label=3.0, language="en", id=name) for name in ("near", "right", "far")]
    predictions = [Prediction(number) for number in (3.5, 3.0, 1.0)]
    evaluation = evaluate(examples, predictions, [Correlation(), MeanAbsoluteError()], settings=QUICK)
    assert [example.id for example in evaluation.hardest] == ["far", "near"]


def test_answers_without_a_score_of_their_own_are_hard_if_they_are_wrong() -> None:
    examples = [Example(name, label=label, language="en", id=name) for name, label in (("a", 1.0), ("b", 2.0))]
    evaluation = evaluate(examples, [Prediction(1.0), Prediction(3.0)], [Correlation()], settings=QUICK)
    assert [example.id for example in evaluation.hardest] == ["b"]


def test_texts_that_are_their_own_answers_are_not_hard() -> None:
    metric = PieceAccuracy()
    answers = [{"pieces": 2, "right": 1, "nats": 3.0}]
    evaluation = evaluate(
        [Example("a", language="en")],
        [Prediction(value=1.5)],
        [metric],
        gold=lambda _: None,
        answers=answers,
        settings=QUICK,
    )
    assert evaluation.overall().value == 0.5 and evaluation.hardest == ()


@pytest.mark.parametrize(("unit", "length"), [("characters", 5 + 2 + 2), ("graphemes", 1 + 1 + 1)])
def test_length_units(unit: str, length: int) -> None:
    examples = [Example("👩‍👩‍👧🇩🇪", second_text="e\u0301", label="a", language="en")]
    evaluation = evaluate(examples, [Prediction("a")], [Accuracy()], settings=Settings(samples=0, length_unit=unit))
    assert evaluation.rows[0].length == length


def test_a_language_that_is_no_tag_stands_for_itself() -> None:
    evaluation = evaluate(
        [Example("a", label="x", language="German!")], [Prediction("x")], [Accuracy()], settings=QUICK
    )
    assert [*evaluation.by("script")] == ["Zyyy"]


@pytest.mark.parametrize("predictions", [[], [Prediction("a")] * 2])
def test_as_many_answers_as_rows(predictions: list[Prediction]) -> None:
    with pytest.raises(DataError, match="1 examples and"):
        evaluate([Example("a", label="a")], predictions, [Accuracy()])


def test_rows_need_an_answer() -> None:
    with pytest.raises(DataError, match=r"test\.csv:7 has no label"):
        evaluate([Example("a", id="test.csv:7")], [Prediction("a")], [Accuracy()])
    several = registry.build("metrics", "joint", metrics={"mood": {"kind": "accuracy"}})
    with pytest.raises(DataError, match="has no label"):
        evaluate([Example("a", label={"mood": None})], [Prediction(tasks={"mood": Prediction("a")})], [several])
    with pytest.raises(DataError, match="0 examples"):
        evaluate([], [], [Accuracy()])


@pytest.mark.parametrize("bands", [[50, 20], [0, 20], [20, 20]])
def test_bands_ascend(bands: list[int]) -> None:
    with pytest.raises(RecipeError, match="ascend"):
        validate(Settings, {"length_bands": bands}, where="evaluation")


def test_the_page_of_the_docs_lists_every_setting() -> None:
    page = Path(__file__).parents[2] / "docs" / "evaluation.md"
    listed = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    defaults = {name: json.dumps(value) for name, value in Settings().model_dump().items()}
    assert dict(listed) == defaults
