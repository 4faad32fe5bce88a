"""Exact match and F1 of answers on cases whose scores the scripts of MLQA and SQuAD 2.0 gave."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.metrics.answer_f1 import AnswerF1
from tfxl.metrics.exact_match import ExactMatch

CASES = [  # language, right answer, predicted answer; exact match and F1 by MLQA's rules, then by SQuAD's
    ("en", "the King", "king!", 1, 1, 1, 1),
    ("en", "the", "the", 1, 0, 1, 1),
    ("de", "der alte König", "Ein König", 0, 2 / 3, 0, 0.4),
    ("de", "the end", "end", 0, 2 / 3, 1, 1),
    ("es", "los gatos negros", "gatos", 0, 2 / 3, 0, 0.5),
    ("ar", "الكتاب الكبير", "كتاب كبير", 1, 1, 0, 0),
    ("vi", "cái nhà của tôi", "nhà tôi", 1, 1, 0, 2 / 3),
    ("vi", "là", "là", 1, 0, 1, 1),
    ("zh", "北京市 2008 年", "北京 2008", 0, 0.75, 0, 0.4),
    ("zh", "《红楼梦》", "红楼梦", 1, 1, 0, 0),
    ("hi", "लाल किला।", "लाल किला", 1, 1, 0, 0.5),
    ("ru", "«Мир», 1973", "мир", 0, 2 / 3, 0, 0),
    ("tr", "İstanbul'un", "istanbulun", 0, 0, 0, 0),  # a capital İ has two lower-case characters
    ("tr", "Ankara'nın 2. ilçesi", "ankaranın 2 ilçesi", 1, 1, 1, 1),
]


def gold(language: str, *answers: str) -> dict:
    return {"language": language, "answers": answers}


@pytest.mark.parametrize(("language", "right", "answer", "match", "f1", "squad_match", "squad_f1"), CASES)
def test_scores_are_those_of_the_official_scripts(
    language: str, right: str, answer: str, match: float, f1: float, squad_match: float, squad_f1: float
) -> None:
    rows = [gold(language, right)], [answer]
    assert ExactMatch().score(*rows) == match
    assert np.isclose(AnswerF1().score(*rows), f1)
    assert ExactMatch(normalisation="squad").score(*rows) == squad_match
    assert np.isclose(AnswerF1(normalisation="squad").score(*rows), squad_f1)


@pytest.mark.parametrize("rule", ["mlqa", "squad"])
@pytest.mark.parametrize("metric", [ExactMatch, AnswerF1])
def test_without_right_answers_no_answer_is_right(metric: type[ExactMatch | AnswerF1], rule: str) -> None:
    scores = metric(normalisation=rule).statistics([gold("de")] * 3, ["", " .", "Köln"])[:, 0]
    assert scores.tolist() == [1, 1, 0]
    assert metric(normalisation=rule).score([gold("de", "Köln")], [""]) == 0


def test_the_best_right_answer_counts() -> None:
    rows = [gold("en", "in Paris", "Paris", "France")], ["Paris"]
    assert ExactMatch().score(*rows) == AnswerF1().score(*rows) == 1
    # SQuAD 2.0's script looks past right answers of which nothing is left.
    assert ExactMatch(normalisation="squad").score([gold("en", "the", "king")], ["a"]) == 0
    assert ExactMatch().score([gold("en", "the", "king")], ["a"]) == 1


@pytest.mark.parametrize(
    ("language", "right", "answer", "f1"),
    [
        ("zh-TW", "北京", "北京市", 0.8),
        ("zho", "北京", "北京市", 0.8),
        ("ja", "東京タワー", "東京", 4 / 7),
        ("th", "กรุง", "กรุงเทพ", 8 / 11),
        ("fr", "le roi", "roi", 2 / 3),
        ("sw", "Brazili, Meksiko", "meksiko", 2 / 3),
        ("und", "das Haus", "haus", 2 / 3),
    ],
)
def test_other_languages_have_no_articles_and_those_without_spaces_are_split(
    language: str, right: str, answer: str, f1: float
) -> None:
    assert np.isclose(AnswerF1().score([gold(language, right)], [answer]), f1)


@given(
    language=st.sampled_from(["en", "ar", "zh", "ja", "und"]),
    right=st.text(max_size=12),
    answer=st.text(max_size=12),
    rule=st.sampled_from(["mlqa", "squad"]),
)
def test_any_texts_have_scores_between_0_and_1(language: str, right: str, answer: str, rule: str) -> None:
    match = ExactMatch(normalisation=rule).score([gold(language, right)], [answer])
    f1 = AnswerF1(normalisation=rule).score([gold(language, right)], [answer])
    assert match in (0, 1) and 0 <= f1 <= 1 + 1e-12
    assert ExactMatch(normalisation=rule).score([gold(language, right)], [right]) == 1
