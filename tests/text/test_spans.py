"""Spans from tags as seqeval reads them, windows that overlap, and where words stand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.backend import tf
from tfxl.metrics.spans import spans as spans_of_tags
from tfxl.text import spans, units

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SCHEME = spans.bio(TAGS)


def tagged(rows):
    """Units of one byte each, one text a row."""
    text = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32)
    start = np.concatenate([np.arange(len(row)) for row in rows] or [[]]).astype(np.int32)
    tags = np.array([TAGS.index(tag) for row in rows for tag in row], np.int32)
    return spans.Tagged(
        *map(tf.constant, (text, start, start + 1, tags, np.linspace(0, 1, len(tags), dtype=np.float32)))
    )


def test_what_a_scheme_says():
    assert SCHEME.labels == ("PER", "LOC")
    assert SCHEME.inner == (0, 2, 2, 4, 4)
    assert SCHEME.follows == ((), (), (1, 2), (), (3, 4))
    assert SCHEME.outside == 0
    assert spans.bio(["B-A", "O", "I-A"]).outside == 1
    assert spans.plain(["NOUN", "VERB"]).label == (0, 1)


@given(st.lists(st.sampled_from(TAGS), max_size=7))
def test_begun_tags_make_the_same_spans_and_begin_each_of_them(tags):
    begun = spans.begun(tags)
    assert spans_of_tags(begun) == spans_of_tags(tags)
    assert all(begun[start] == f"B-{label}" for label, start, _ in spans_of_tags(begun))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(TAGS), max_size=7), min_size=1, max_size=4))
def test_any_tags_make_the_spans_that_seqeval_reads(rows):
    found = spans.join(tagged(rows), SCHEME)
    expected = [(place, *span) for place, row in enumerate(rows) for span in spans_of_tags(row)]
    labels = [SCHEME.labels[tag] for tag in found.tag.numpy()]
    assert list(zip(found.text.numpy(), labels, found.start.numpy(), found.end.numpy(), strict=True)) == expected


def test_the_score_of_a_span_is_the_mean_of_its_units():
    found = spans.join(tagged([["O", "B-PER", "I-PER", "I-PER", "B-PER"]]), SCHEME)
    np.testing.assert_allclose(found.score, [0.5, 1.0])


def test_of_windows_counts_the_one_where_a_token_is_farthest_from_an_edge():
    # One text "abcdef" in two windows of four tokens that share two; each row between special tokens.
    encoded = {
        "starts": tf.constant([[-1, 0, 1, 2, 3, -1], [-1, 2, 3, 4, 5, -1]]),
        "ends": tf.constant([[-1, 1, 2, 3, 4, -1], [-1, 3, 4, 5, 6, -1]]),
        "is_unit": tf.constant([[False, True, True, True, False, False], [False, True, False, True, True, False]]),
        "attention_mask": tf.ones([2, 6], tf.int32),
        "owner": tf.constant([0, 0]),
    }
    tags = tf.constant([[9, 0, 1, 2, 3, 9], [9, 4, 5, 6, 7, 9]])
    found = spans.of_rows(encoded, tags, tf.cast(tags, tf.float32))
    assert found.start.numpy().tolist() == [0, 1, 2, 4, 5]
    assert found.end.numpy().tolist() == [1, 2, 4, 5, 6]
    assert found.tag.numpy().tolist() == [0, 1, 2, 6, 7]


def test_spans_with_characters_and_bytes():
    texts = tf.constant(["né à Zürich", "", "在北京 e\u0301"])
    found = spans.Tagged(
        *(tf.constant(part) for part in ([0, 2, 2], [7, 3, 10], [14, 9, 11], [1, 1, 0], [0.5, 1.0, 0.25]))
    )
    answer = {name: value.numpy().tolist() for name, value in spans.outputs(found, texts, ["PER", "LOC"]).items()}
    assert answer["num_spans"] == [1, 0, 2]
    assert [[text.decode() for text in row] for row in answer["span_texts"]] == [
        ["Zürich", ""],
        ["", ""],
        ["北京", "e\u0301"],
    ]
    assert answer["span_labels"] == [[b"LOC", b""], [b"", b""], [b"LOC", b"PER"]]
    assert answer["span_starts"] == [[5, 0], [0, 0], [1, 4]]
    assert answer["span_ends"] == [[11, 0], [0, 0], [3, 6]]
    assert answer["span_start_bytes"] == [[7, 0], [0, 0], [3, 10]]
    assert answer["span_end_bytes"] == [[14, 0], [0, 0], [9, 13]]


def test_no_spans_at_all():
    nothing = spans.Tagged(*(tf.zeros([0], dtype) for dtype in (*[tf.int32] * 4, tf.float32)))
    answer = spans.outputs(spans.join(nothing, SCHEME), tf.constant(["", "x"]), SCHEME.labels)
    assert answer["num_spans"].numpy().tolist() == [0, 0]
    assert answer["span_texts"].shape == (2, 0)


def test_words_are_found_one_after_another():
    assert spans.place_words("né né à X", ["né", "né", "X"]) == [(0, 3), (4, 7), (11, 12)]
    assert spans.place_words("\u200eab c", ["\u200eab", "c"]) == [(3, 5), (6, 7)]
    assert spans.place_words("\ue000ab \ufffd c", ["\ue000ab", "\ufffd", "c"]) == [(3, 5), (6, 6), (10, 11)]
    assert spans.place_words("北\ufffd京", ["北", "\ufffd", "京"]) == [(0, 3), (3, 3), (6, 9)]
    assert spans.place_words("北京很大", ["北京", "很", "大"]) == [(0, 6), (6, 9), (9, 12)]
    with pytest.raises(ValueError, match="né"):
        spans.place_words("né à", ["né", "né"])


def test_a_place_in_a_text_is_one_number():
    assert units.key(tf.constant(3), tf.constant(5)).numpy() == 3 * 2**31 + 5
