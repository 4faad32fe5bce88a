from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.cleaners.length import Length
from tfxl.errors import RecipeError
from tfxl.example import Example


def keeps(text: str, second_text: str | None = None, **settings: object) -> bool:
    return Length(**settings).clean(Example(text, second_text)) is not None


@pytest.mark.parametrize(
    ("text", "graphemes", "characters"),
    [
        ("这家酒店很吵。", 7, 7),
        ("👩‍👩‍👧🇩🇪", 2, 7),
        ("नमस्ते", 3, 6),
        ("e\u0301te\u0301", 3, 5),
        ("กำ", 1, 2),
        ("  two  ", 3, 3),
    ],
)
def test_counts_what_a_reader_calls_a_character(text: str, graphemes: int, characters: int) -> None:
    for unit, length in (("graphemes", graphemes), ("characters", characters)):
        assert keeps(text, minimum=length, maximum=length, unit=unit)
        assert not keeps(text, minimum=length + 1, unit=unit)
        assert length == 1 or not keeps(text, minimum=0, maximum=length - 1, unit=unit)


def test_drops_empty_texts_by_default() -> None:
    assert keeps("好") and not keeps("") and not keeps(" \u3000\n")
    assert keeps("", minimum=0)


def test_both_texts_must_fit() -> None:
    assert keeps("abc", "def", maximum=3)
    assert not keeps("abc", "defg", maximum=3)
    assert not keeps("abc", "")


@given(text=st.text(), minimum=st.integers(0, 5), extra=st.integers(0, 5) | st.none())
def test_graphemes_are_never_more_than_characters(text: str, minimum: int, extra: int | None) -> None:
    maximum = None if extra is None else max(1, minimum + extra)
    if maximum is None and keeps(text, minimum=minimum):
        assert keeps(text, minimum=minimum, unit="characters")
    if maximum is not None and keeps(text, minimum=0, maximum=maximum, unit="characters"):
        assert keeps(text, minimum=0, maximum=maximum)


@pytest.mark.parametrize("settings", [{"minimum": 5, "maximum": 4}, {"minimum": -1}, {"maximum": 0}, {"unit": "words"}])
def test_refuses_impossible_limits(settings: dict) -> None:
    with pytest.raises(RecipeError):
        Length(**settings)
