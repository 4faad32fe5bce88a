"""Agreement of answers between languages, against counts made by hand."""

from __future__ import annotations

import pytest

from tfxl.errors import DataError
from tfxl.evaluation.consistency import consistency, item_of
from tfxl.example import Example


def rows(answers):
    """Returns examples and answers of items by language: `{"en": "ab", …}`, an answer a letter."""
    places = [(code, f"{code}.txt:{n}") for code, row in answers.items() for n in range(len(row))]
    examples = [Example("text", language=code, id=place, source=place) for code, place in places]
    return examples, [answer for row in answers.values() for answer in row]


def test_pairs_and_everywhere_are_counted():
    found = consistency(*rows({"en": "abab", "de": "abbb", "zh": "aaab"}))
    assert {pair: score.value for pair, score in found.pairs.items()} == {
        ("en", "de"): 0.75,
        ("en", "zh"): 0.75,
        ("de", "zh"): 0.5,
    }
    assert found.everywhere.value == 0.5
    assert found.of("zh", "en") is found.of("en", "zh")
    assert found.of("en", "en") is None


def test_only_items_that_both_languages_have_count():
    found = consistency(*rows({"en": "abab", "de": "ab"}))
    assert found.pairs["en", "de"].rows == found.everywhere.rows == 2


@pytest.mark.parametrize(
    ("id", "item"), [("a/b.tsv:12", "12"), ("411", "411"), ("hotels:1", "hotels:1"), ("s:x", "s:x")]
)
def test_items_are_named_by_id_or_line(id, item):
    assert item_of(Example("", id=id, source="a/b.tsv:12")) == item


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="no item in two"):
        consistency(*rows({"en": "ab"}))
    examples, _ = rows({"en": "a", "de": "a"})
    with pytest.raises(DataError, match="labels"):
        consistency(examples, [0.5, 0.5])
    with pytest.raises(DataError, match="already"):
        consistency([examples[0], examples[0]], ["a", "a"])
