"""Similarity: the loss is that of the cosines, numbers keep their range, labels that are no numbers are refused."""

import numpy as np
import pytest

from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.serving.answer import Answerer, predict
from tfxl.tasks.similarity import CosineLoss, Similarity

VECTORS = tf.constant([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])  # cosines 1 and 0


def test_the_squared_error_of_cosines():
    loss = CosineLoss().call(tf.constant([0.5, 0.5, 0.25, 0.25]), VECTORS)
    np.testing.assert_allclose(loss, [0.25, 0.25, 0.0625, 0.0625], atol=1e-6)


def test_the_contrastive_loss_leaves_alone_what_is_far_enough_apart():
    loss = CosineLoss(margin=0.5)
    np.testing.assert_allclose(loss.call(tf.constant([1.0, 1.0, 0.0, 0.0]), VECTORS), [0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(loss.call(tf.constant([0.0, 0.0, 1.0, 1.0]), VECTORS), [0.25, 0.25, 1, 1], atol=1e-6)


def test_numbers_are_scaled_there_and_back():
    task = Similarity(smallest=1.0, largest=5.0)
    features = task.features([Example("a", second_text="b", label="1"), Example("a", second_text="b", label="4.0")])
    np.testing.assert_allclose(features["target"], [0.0, 0.75])
    np.testing.assert_allclose(task.decode(VECTORS, {})["similarity"], [5.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("label", ["good", None, "", "5.1", "-0.1", "nan"])
def test_what_is_no_number_in_the_range_is_refused(label):
    with pytest.raises(DataError, match=r"a number from 0 to 5"):
        Similarity(largest=5.0).gold(Example("a", second_text="b", label=label))


def test_a_range_needs_two_ends():
    with pytest.raises(RecipeError, match="a smallest number below the largest one"):
        Similarity(smallest=1.0, largest=1.0)


def test_texts_are_read_apart_and_in_windows():
    """A pair's number does not depend on its order, nor does a copy make a difference."""
    encoder = Tiny()
    task = Similarity(max_length=8, stride=2)
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    long, short = "das Zimmer war sehr groß und ruhig 👍 " * 4, "很好"
    texts = {"text": [long, short, long, short], "second_text": [short, long, long, short]}
    first, second, *same = predict(answerer.text, task, texts, batch_size=2)
    assert first.value == pytest.approx(second.value, abs=1e-6)
    assert [each.value for each in same] == pytest.approx([1, 1], abs=1e-6)
    assert not any(each.truncated for each in (first, second, *same))
