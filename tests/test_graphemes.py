from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl import graphemes


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("abc", 3),
        ("e\u0301te\u0301", 3),
        ("👩‍👩‍👧🇩🇪👍🏽", 3),
        ("नमस्ते", 3),
        ("房间", 2),
        ("한국", 2),
        ("\r\n", 1),
    ],
)
def test_what_a_reader_calls_a_character(text: str, number: int) -> None:
    assert graphemes.count(text) == number


@given(st.text())
def test_never_more_than_characters(text: str) -> None:
    assert bool(text) <= graphemes.count(text) <= len(text)
