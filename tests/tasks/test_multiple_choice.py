"""Rows of choices, the loss over them, questions and prompts, windows of long texts, and what is refused."""

import numpy as np
import pytest

from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example, Match
from tfxl.tasks.multiple_choice import ChoiceLoss, MultipleChoice

TOKENIZER = Tiny().tokenizer()


def rows_of(task, *examples):
    features = task.features(examples)
    return task.encode({name: tf.constant(value.tolist()) for name, value in features.items()}, TOKENIZER)


def shown(encoded, row):
    ids = encoded["input_ids"][row].numpy()[encoded["attention_mask"][row].numpy() == 1]
    return "".join(TOKENIZER.piece(int(one)) for one in ids).replace("▁", " ")


def test_a_text_stands_beside_each_of_its_choices():
    task = MultipleChoice(num_choices=3, max_length=64)
    first = Example("das Zimmer", label="1", choices=("gut", "很好", "بارد"))
    second = Example("房间", label="2", choices=("a", "b", "c"))
    encoded = rows_of(task, first, second)
    assert encoded["input_ids"].shape[0] == 6
    pairs = TOKENIZER.encode(["das Zimmer"] * 3 + ["房间"] * 3, [*first.choices, *second.choices], max_length=64)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert np.array_equal(encoded[name], pairs[name])
    assert encoded["target"].numpy().tolist() == [1, 1, 1, 2, 2, 2]
    assert encoded["weight"].numpy().tolist() == [1.0] * 6
    assert encoded["truncated"].numpy().tolist() == [False, False]


def test_questions_follow_the_text_in_the_words_of_their_prompts():
    task = MultipleChoice(second_text=True, prompts={"cause": "warum?"}, max_length=64)
    rows = [Example("gut", second_text=question, choices=("a", "b")) for question in ("cause", "effect")]
    encoded = rows_of(task, *rows)
    said = MultipleChoice(max_length=64)
    plain = rows_of(said, *(Example(text, choices=("a", "b")) for text in ("gut warum?", "gut effect")))
    assert np.array_equal(encoded["input_ids"], plain["input_ids"])
    assert "target" not in encoded


def test_the_loss_is_cross_entropy_over_the_choices():
    logits = np.random.default_rng(0).normal(size=(6, 1)).astype(np.float32)
    scores = np.exp(logits.reshape(2, 3)) / np.exp(logits.reshape(2, 3)).sum(-1, keepdims=True)
    found = ChoiceLoss(3).call(np.array([1, 1, 1, 2, 2, 2]), logits)
    np.testing.assert_allclose(found, np.repeat(-np.log([scores[0, 1], scores[1, 2]]), 3), rtol=1e-5)


def test_the_answer_is_a_choice_and_its_text():
    task = MultipleChoice()
    logits = np.array([[2.0], [1.0], [-1.0], [3.0]], np.float32)
    choices = tf.constant([["gut", "schlecht"], ["冷", "热"]])
    decoded = task.decode(logits, {"choices": choices, "truncated": tf.constant([False, True])})
    rows = [task.prediction({name: value.numpy()[row] for name, value in decoded.items()}) for row in (0, 1)]
    assert [row.label for row in rows] == ["0", "1"]
    assert rows[1].matches == (Match("热", rows[1].scores["1"], "1"),)
    assert rows[1].scores["1"] == pytest.approx(1 / (1 + np.exp(-4)))
    assert rows[1].truncated
    assert set(task.decode(logits, {})) == {"choice", "scores"}


def test_of_long_texts_all_windows_are_read_beside_each_choice():
    task = MultipleChoice(max_length=12, stride=2)
    long = Example("gut schlecht " * 6, label="0", choices=("a", "b"))
    encoded = rows_of(task, long, Example("gut", label="1", choices=("a", "b")))
    example = encoded["example"].numpy()
    assert set(example) == {0, 1, 2, 3}
    assert (example == 0).sum() > 1
    assert not encoded["truncated"].numpy().any()
    logits = tf.cast(tf.range(len(example))[:, None], tf.float32)
    means = [np.flatnonzero(example == row).mean() for row in range(4)]
    np.testing.assert_allclose(
        task.decode(logits, encoded)["scores"], tf.nn.softmax(tf.reshape(tf.cast(means, tf.float32), [2, 2])), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (Example("x", label="0", choices=("a",), id="a.jsonl:3"), r"a\.jsonl:3: 1 choices"),
        (Example("x", label="0", id="a.jsonl:3"), r"a\.jsonl:3: 0 choices"),
        (Example("x", label="2", choices=("a", "b"), id="a.jsonl:3"), r"a\.jsonl:3: label '2'"),
        (Example("x", label=None, choices=("a", "b"), id="a.jsonl:3"), r"a\.jsonl:3: label None"),
    ],
)
def test_what_cannot_be_chosen_is_refused(example, said):
    with pytest.raises(DataError, match=said):
        MultipleChoice().gold(example)


@pytest.mark.parametrize("wrong", [{"num_choices": 1}, {"labels": ["a", "b"]}, {"prompts": "why?"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(RecipeError):
        MultipleChoice(**wrong)
