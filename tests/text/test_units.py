"""Where units begin, written out by hand for many scripts, and what is seen as one character."""

import pytest

from tfxl import graphemes
from tfxl.backend import tf
from tfxl.text import units

UNICODE = [
    "|the |room",
    "|O|'|Neil |3|.|14 |(|U|.|S|.|)",
    "|在|Apple|工|作|。",
    "|Das |Zimmer|, |groß",
    "|می\u200cخواهم |خانه",
    "|कमरा |साफ़|।",
    "|क्षे|; |अर्थात्|। |क्\u200dष",
    "|ខ្មែ|រ|ភា|សា |က္န|မြ|န်",
    "|ห้|อ|ง|พั|ก|น้ํ|า",
    "|部|屋|は|ラ|ー|メ|ン|2008|年",
    "|방이 |깨끗했어요|.",
    "|👩🏽\u200d💻|ok |🇩🇪|🇫🇷|a |❤\ufe0f|b |1\ufe0f\u20e3",
    "|e\u0301te\u0301 |\u0301x",
    " \t|a\u3000|b\u200b|c\u00a0|d",
    "\u200e|a\u200e \u200f|b",
    "\ufffd|a\ufffdb \ue000|c \U000f0000|d",
    "",
    "  ",
]
SPACES = [
    "|the |room",
    "|O'Neil |3.14 |(U.S.)",
    "|在Apple工作。",
    "|می\u200cخواهم |خانه",
    " \t|a\u3000|b\u200b|c",
    "|👩🏽\u200d💻ok",
]


def marked(text, flags):
    return "".join(("|" if flag else "") + letter for letter, flag in zip(text, flags, strict=True))


def by_text(texts, flags):
    firsts = [0]
    for text in texts:
        firsts.append(firsts[-1] + len(text))
    return [marked(text, flags.numpy()[start : start + len(text)]) for text, start in zip(texts, firsts, strict=False)]


@pytest.mark.parametrize(("rule", "expected"), [("unicode", UNICODE), ("spaces", SPACES)])
def test_units_begin_where_they_should(rule, expected):
    texts = [text.replace("|", "") for text in expected]
    found = units.characters(tf.constant(texts))
    assert by_text(texts, units.starts_unit(found, rule)) == expected


def test_units_never_begin_inside_a_grapheme_but_after_white_space(multilingual_texts):
    texts = [
        *multilingual_texts,
        "👨‍👩‍👧‍👦🏳️‍🌈",
        "🇩🇪🇫🇷🇮🇹🇩 🇪🇩a🇪",
        "각각 ກຳ ทำ ｶﾞ",
        "நிக்கோ क्षेत्र",
        "ភាសាខ្មែរ ក្រុង",
        "ဗုဒ္ဓ မန္တလေး",
        "কিন্তু ശ്രീ త్వ",
        "क्।ख",
        "अ\u1cf5क a\u1cf6b",
    ]
    found = units.characters(tf.constant(texts))
    for text, written in zip(texts, by_text(texts, units.starts_unit(found, "unicode")), strict=True):
        parts = [part for part in written.split("|") if part]
        assert sum(map(graphemes.count, parts)) == graphemes.count(text), written


def test_tokens_begin_units():
    texts = tf.constant(["ab c", "你好"])
    starts = tf.constant([[-1, 0, 1, 3, -1], [-1, 0, 3, -1, -1]])
    ends = tf.constant([[-1, 1, 2, 4, -1], [-1, 3, 6, -1, -1]])
    found = units.at_tokens(texts, tf.constant([0, 1]), starts, ends, "unicode")
    assert found.numpy().astype(int).tolist() == [[0, 1, 0, 1, 0], [0, 1, 1, 0, 0]]
    assert not units.at_tokens(texts, tf.constant([0, 1]), starts, starts, "unicode").numpy().any()


def test_places_move_on_to_what_is_seen_next():
    texts = tf.constant(["e\u0301x🇩🇪", "", "ab"])
    found = units.characters(texts)
    moved = units.whole(found, tf.constant([0, 0, 0, 0, 1, 2, 2]), tf.constant([1, 3, 4, 8, 0, 1, 2]))
    assert moved.numpy().tolist() == [2, 2, 3, 5, 5, 6, 7]


def test_places_move_back_to_where_what_is_seen_begins():
    texts = tf.constant(["\u0301\u0301x🇩🇪🇫🇷", "", "\u0301ab"])
    found = units.characters(texts)
    text = tf.constant([0, 0, 0, 0, 0, 1, 2, 2])
    moved = units.begin(found, text, tf.constant([0, 2, 4, 9, 13, 0, 0, 2]))
    assert moved.numpy().tolist() == [0, 0, 2, 3, 5, 7, 7, 8]
    assert units.first_byte(found, texts, text, moved).numpy().tolist() == [0, 0, 4, 5, 13, 0, 0, 2]
    ends = units.first_byte(found, texts, tf.constant([0, 1, 2]), tf.constant([7, 7, 10]))
    assert ends.numpy().tolist() == [21, 0, 4]


@pytest.mark.parametrize(
    ("text", "starts", "ends", "is_unit", "expected"),
    [
        ("a 這", [0, 1, 2], [1, 1, 5], [True, False, True], [0, 1, 1]),  # the token in between is the space alone
        ("這", [0, 0], [0, 3], [False, True], [0, 0]),  # a text begins with a space that is not there
        ("foo\u00ad bar", [0, 3, 6], [3, 3, 9], [True, False, True], [0, 1, 2]),  # a soft hyphen belongs to its word
    ],
)
def test_a_space_that_is_a_token_speaks_for_the_word_after_it(text, starts, ends, is_unit, expected):
    def row(values, edge):
        return tf.constant([[edge, *values, edge]])

    places = (row(starts, -1), row(ends, -1))
    found = units.speakers(tf.constant([text]), tf.constant([0]), *places, row(is_unit, False))
    assert found.numpy().tolist() == [[0, *(number + 1 for number in expected), len(expected) + 1]]
