"""Windows of long texts: every piece is read, neighbours overlap, offsets stay those of the whole text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import RecipeError
from tfxl.text import windows

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def tokenizer():
    return Tiny().tokenizer()


def ragged(lengths):
    return tf.RaggedTensor.from_row_lengths(tf.range(sum(lengths)), lengths)


def by_hand(length, room, stride, most):
    """First piece and number of pieces of each window."""
    found, first = [], 0
    while len(found) < most:
        found.append((first, min(room, length - first)))
        if first + room >= length:
            break
        first += room - stride
    return found


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 12), st.integers(1, 11), st.integers(1, 6))
def test_windows_of_texts_are_those_made_by_hand(lengths, room, stride, most):
    stride = min(stride, room - 1)
    rows = windows.cut([ragged(lengths)], room, stride=stride, most=most)
    expected = [
        (text, *window) for text, length in enumerate(lengths) for window in by_hand(length, room, stride, most)
    ]
    assert list(zip(*(part.numpy() for part in (rows.example, rows.firsts[0], rows.kept[0])), strict=True)) == expected
    read = [max(first + kept for text, first, kept in expected if text == place) for place in range(len(lengths))]
    assert (rows.truncated.numpy() == [end < length for end, length in zip(read, lengths, strict=True)]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=4), st.integers(8, 16))
def test_windows_of_pairs_keep_the_first_text(lengths, room):
    first, second = zip(*lengths, strict=True)
    rows = windows.cut([ragged(first), ragged(second)], room, stride=2, most=64)
    for text, (long, other) in enumerate(lengths):
        members = np.flatnonzero(rows.example == text)
        kept = min(long, room // 2)
        assert (rows.kept[0].numpy()[members] == kept).all()
        assert [(rows.firsts[1].numpy()[row], rows.kept[1].numpy()[row]) for row in members] == by_hand(
            other, room - kept, 2, 64
        )
        assert bool(rows.truncated[text]) == (kept < long)


def test_offsets_in_windows_are_those_of_the_whole_text(tokenizer, multilingual_texts):
    texts = [text * 3 for text in multilingual_texts]
    whole = tokenizer.encode(tf.constant(texts), max_length=512, offsets=True)
    cut = tokenizer.encode(tf.constant(texts), max_length=12, stride=3, offsets=True)
    assert int(tf.reduce_max(cut["input_ids"].shape[1])) <= 12
    for text in range(len(texts)):
        places = {name: whole[name][text].numpy() for name in ("input_ids", "starts", "ends")}
        real = places["starts"] >= 0
        expected = set(zip(*(value[real] for value in places.values()), strict=True))
        found = set()
        for row in np.flatnonzero(cut["example"] == text):
            values = [cut[name][row].numpy() for name in places]
            found |= set(zip(*(value[values[1] >= 0] for value in values), strict=True))
        assert found == expected


def test_a_window_can_be_picked(tokenizer):
    texts = tf.constant(["gut " * 30, "gut", "sehr gut " * 20])
    encoded = tokenizer.encode(texts, max_length=10, stride=2)
    counts = np.bincount(encoded["example"])
    picked = windows.pick(encoded, tf.constant([1, 5, 0]))
    rows = np.cumsum(counts) - counts + np.array([1, 0, 0])
    np.testing.assert_array_equal(picked["input_ids"], encoded["input_ids"].numpy()[rows])
    assert "example" not in picked


def test_the_second_text_of_a_pair_has_the_offsets(tokenizer):
    encoded = tokenizer.encode(tf.constant(["wer?"]), tf.constant(["  er war es"]), max_length=32, offsets=True)
    starts, ends = (encoded[name][0].numpy() for name in ("starts", "ends"))
    pieces = [b"  er war es"[start:end].decode() for start, end in zip(starts, ends, strict=True) if start >= 0]
    assert "".join(pieces) == "erwares"


def test_a_stride_without_progress_is_refused(tokenizer):
    with pytest.raises(RecipeError, match="stride = 14"):
        tokenizer.encode(tf.constant(["gut"]), max_length=16, stride=14)
