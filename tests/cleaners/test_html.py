from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.cleaners.html import Html
from tfxl.example import Example


def clean(text: str) -> str:
    return Html().clean(Example(text)).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Sehr <b>gut</b>!</p>", "Sehr gut!"),
        ("Zeile eins<br/>Zeile zwei<BR>\n drei", "Zeile eins\nZeile zwei\ndrei"),
        ('<a href="https://example.org/?a=1>2" target=_blank>这里</a>很好', "这里很好"),
        ("<ul><li>ดี</li><li>แย่</li></ul>", "ดี\nแย่"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("<script>if (1 < 2) alert('x')</script>नमस्ते<style>b {color: red}</style>", "नमस्ते"),
        ("<!doctype html><!-- hidden\n text -->seen", "seen"),
        ("Caf&eacute; &amp; Bar &#128512; &#x4E2D;&nbsp;ok", "Café & Bar 😀 中 ok"),
        ("&lt;b&gt; is a tag", "<b> is a tag"),
        ("<input disabled value='a > b'>x<img src=a.png />", "x"),
    ],
)
def test_takes_out_the_text(html: str, text: str) -> None:
    assert clean(html) == text


@pytest.mark.parametrize(
    "text",
    [
        "2 < 3 and 5 > 4",
        "I <3 you",
        "List<String> and <your name>",
        "a <- b -> c",
        "R&D at AT&T, ?a=1&copy=2",
        "unclosed <b",
        "&unknownentity; &#99999999;",
        "  white  space \n\n stays  ",
        "<مرحبا>",
        "<script>never closed",
    ],
)
def test_leaves_what_is_no_html(text: str) -> None:
    assert clean(text) == text.replace("<script>", "")


def test_all_texts_are_cleaned() -> None:
    found = Html().clean(Example("<i>a</i>", "b<br>", label="x", choices=("<b>c</b> &amp; d",)))
    assert found == Example("a", "b", label="x", choices=("c & d",))


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="<&")))
def test_text_without_markup_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "text", ["<b " * 20_000, "<b a='" * 20_000, "&amp" * 50_000, "<b" + " a" * 50_000, "<!-" * 50_000]
)
def test_takes_no_long_time(text: str) -> None:
    start = time.monotonic()
    assert clean(text) == text
    assert time.monotonic() - start < 5
