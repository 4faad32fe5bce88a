from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.cleaners.unicode import Unicode
from tfxl.example import Example

KEPT = [
    "👩‍👩‍👧 🇩🇪 👍🏽",
    "می‌خواهم",  # Persian with a zero-width non-joiner
    "क्‍ष",  # Devanagari with a zero-width joiner
    "សួស្តី​ពិភពលោក",  # Khmer with zero-width spaces
    "شكرا\u200f!",
    "这家酒店很吵，早餐也不好吃。",
    "two\nlines\tand a tab",
    "Wie süß! „Ja“ – natürlich… 5 €",
]


def clean(text: str, **settings: object) -> str:
    return Unicode(**settings).clean(Example(text)).text


@pytest.mark.parametrize("text", KEPT)
def test_keeps_what_means_something(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", ["Das Zimmer war schön.", "Номер был чистым.", "très déçu", "ห้องพักสะอาด", "很吵"])
def test_mends_text_that_was_decoded_wrongly(text: str) -> None:
    broken = text.encode().decode("latin-1")
    assert clean(broken) == text
    assert clean(broken, mojibake=False) != text


def test_removes_control_characters_and_marks_inside_text() -> None:
    assert clean("a\x00b\x07c\ufeffd\ufffee\x1b[0m", mojibake=False) == "abcde[0m"
    assert clean("a\x00b", control_characters=False) == "a\x00b"


def test_ends_of_pages_and_lines_divide_words_as_before() -> None:
    text = "page one\x0cpage two\x0bthree\x1cfour\x85five"
    assert clean(text, mojibake=False) == "page one page two three four five"
    assert clean(text, mojibake=False).split() == text.split()


def test_normal_forms() -> None:
    assert clean("e\u0301te\u0301") == "été"
    assert clean("ｶﾞ ﬁne ＡＢＣ m²") == "ｶﾞ ﬁne ＡＢＣ m²"
    assert clean("ｶﾞ ﬁne ＡＢＣ m²", form="NFKC") == "ガ fine ABC m2"
    assert clean("e\u0301", form="none") == "e\u0301"


def test_all_texts_are_mended_and_the_rest_stays() -> None:
    rest = {"label": "x", "language": "fr", "domain": "hotel", "id": "7"}
    found = Unicode().clean(Example("a\x00", "e\u0301", choices=("b\x00", "e\u0301"), **rest))
    assert found == Example("a", "é", choices=("b", "é"), **rest)


@given(text=st.text(st.characters(codec="utf-8")))
def test_is_in_normal_form_and_cleaning_again_changes_nothing(text: str) -> None:
    once = clean(text, mojibake=False)
    assert unicodedata.is_normalized("NFC", once)
    assert clean(once, mojibake=False) == once
