"""How words make a text: the rule that every reader of words shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl.readers._sentences import is_written, join, keyed

WORD = st.text(st.sampled_from("aZ5é我の。สะ.ا-한\U0001f600\u0301٣\ufffd"), min_size=1, max_size=4)


@given(words=st.lists(WORD, max_size=12), language=st.sampled_from(["de", "zh", "ja", "th", "vi", "ar", "und"]))
def test_every_word_is_found_at_its_place_from_left_to_right(words: list[str], language: str) -> None:
    text = join(words, language)
    position = 0
    content = text.encode()
    for word in words:
        place = content.index(word.encode(), position)
        assert content[position:place] in (b"", b" ")
        position = place + len(word.encode())
    assert position == len(content) and is_written(words, text)


@pytest.mark.parametrize(
    ("language", "words", "text"),
    [
        ("de", "Wie heiß ist es ?", "Wie heiß ist es ?"),
        ("zh", "我 想 去 北京 。", "我想去北京。"),
        ("zh-TW", "我 想 去 北京 。", "我想去北京。"),
        ("zh", "设置 max 生日 的 提醒", "设置max生日的提醒"),
        ("zh", "播放 Half a Life 2008 年", "播放Half a Life 2008年"),
        ("zh", "V G U N D A M 5 5 米", "VGUNDAM55米"),
        ("ja", "リマインダー を 表 示", "リマインダーを表示"),
        ("th", "ห้อง พัก สะอาด", "ห้องพักสะอาด"),
        ("vi", "Quảng Khai Thổ", "Quảng Khai Thổ"),
        ("ko", "방이 깨끗했어요", "방이 깨끗했어요"),
        ("und", "我 想", "我 想"),
    ],
)
def test_words_are_joined_as_the_language_writes_them(language: str, words: str, text: str) -> None:
    assert join(words.split(), language) == text


def test_the_text_of_the_data_is_preferred_where_it_is_the_words() -> None:
    words = ["heiß", "?"]
    assert join(words, "de", written="heiß?") == "heiß?"
    assert join(words, "de", written="kalt?") == "heiß ?"
    assert join(words, "de", written="heiß? Ja") == "heiß ?"
    assert join(["今日", "は"], "ja", written="今日 は") == "今日は"


def test_comments_name_values() -> None:
    assert keyed("# text = a = b: c") == ("text", "a = b: c")
    assert keyed("# slots: 0:13:datetime") == ("slots", "0:13:datetime")
    assert keyed("# newdoc id = n01") == ("newdoc id", "n01")
    assert [keyed(line) for line in ("#\tO", "# : O", "a = b", "# a", "#", "")] == [None] * 6
    assert keyed("#" + " " * 500_000) is None
