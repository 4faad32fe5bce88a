from __future__ import annotations

import unicodedata

import pytest

from tfxl import registry
from tfxl.backend import tf
from tfxl.serving import parity


def test_probes_are_of_many_scripts_and_directions() -> None:
    letters = {unicodedata.name(c).split()[0] for text in parity.PROBES for c in text if c.isalpha()}
    assert {"LATIN", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "HANGUL", "HIRAGANA", "CJK"} <= letters
    assert {unicodedata.bidirectional(c) for text in parity.PROBES for c in text} >= {"L", "R", "AL"}


def test_second_texts_run_backwards() -> None:
    task = registry.build("tasks", "classification", labels=["a", "b"], second_text=True)
    texts = parity.probe_texts(task)
    assert texts["second_text"] == texts["text"][::-1]


@pytest.mark.parametrize(
    ("first", "second", "largest", "others", "same"),
    [
        ({"scores": [[0.25, 0.75]]}, {"scores": [[0.5, 0.5]]}, 0.25, 0, False),
        ({"scores": [[0.5, 0.5]], "label": ["a"]}, {"scores": [[0.5, 0.5]], "label": ["b"]}, 0.0, 1, True),
        ({"answer": ["a", "b"]}, {"answer": ["a", "c"]}, 0.0, 1, False),
        ({"scores": [[0.5]] * 2, "starts": [[3], [4]]}, {"scores": [[0.5]] * 2, "starts": [[2], [3]]}, 0.0, 2, False),
        ({"answer": ["a"], "truncated": [True]}, {"answer": ["a"]}, 0.0, 0, True),
        ({"scores": [[0.1]]}, {"scores": [[0.1]]}, 0.0, 0, True),
    ],
)
def test_difference(first: dict, second: dict, largest: float, others: int, same: bool) -> None:
    tensors = [{name: tf.constant(value) for name, value in side.items()} for side in (first, second)]
    found = parity.difference(*tensors)
    assert (found.largest, found.other_answers) == (largest, others)
    assert found.within(1e-6) is same


@pytest.mark.parametrize(
    "task", [{"labels": ["a", "b"]}, {"labels": ["a", "b"], "second_text": True}, {}, {"num_choices": 40}]
)
def test_every_probe_is_in_a_batch_and_the_long_ones_are_beside_short_ones(task: dict) -> None:
    built = registry.build("tasks", {"kind": "classification" if "labels" in task else "multiple_choice", **task})
    short, long = ({name: column.numpy() for name, column in batch.items()} for batch in parity.probe_batches(built))
    texts = {text.decode() for batch in (short, long) for column in batch.values() for text in column.flat}
    assert texts == set(parity.PROBES)
    assert max(len(text) for column in short.values() for text in column.flat) < 200
    rows = zip(*(column.reshape(len(column), -1).tolist() for column in long.values()), strict=True)
    lengths = [max(len(text) for texts in row for text in texts) for row in rows]
    assert max(lengths) > 2000 and sum(length < 1000 for length in lengths) == parity.BESIDE


def test_a_difference_that_is_no_number_is_no_sameness() -> None:
    nan, half = tf.constant([float("nan")]), tf.constant([0.5])
    found = parity.difference({"a": half, "scores": nan, "z": half}, {"a": half, "scores": half, "z": half})
    assert not found.within(1e-6)
