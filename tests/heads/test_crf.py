"""The potentials that a loss and a decoder read are emission, transition and start."""

import numpy as np

from tfxl.backend import tf
from tfxl.heads.crf import Crf
from tfxl.layers import crf

HIDDEN = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], np.int32)


def layer():
    made = Crf(dropout=0.0).layer(3)
    made(HIDDEN, MASK)
    generator = np.random.default_rng(1)
    made.transitions.assign(generator.normal(size=(3, 3)))
    made.start.assign(generator.normal(size=3))
    return made


def test_the_score_of_a_path_is_start_emissions_and_transitions():
    made = layer()
    places = np.array([[0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0]], bool)
    tags = np.array([[0, 2, 0, 1, 1, 0], [0, 0, 2, 0, 0, 0]], np.int32)
    emission = made.logits(HIDDEN).numpy()
    start, moves = made.start.numpy(), made.transitions.numpy()
    score = crf.path_score(crf.with_start(made(HIDDEN, MASK), places), tags, places)
    first = start[2] + emission[0, 1, 2] + moves[2, 1] + emission[0, 3, 1] + moves[1, 1] + emission[0, 4, 1]
    np.testing.assert_allclose(score, [first, start[2] + emission[1, 2, 2]], rtol=1e-5)


def test_every_weight_gets_a_gradient():
    made = layer()
    places = np.array([[0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0]], bool)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(crf.log_partition(crf.with_start(made(HIDDEN, MASK), places), places))
    for variable, gradient in zip(made.trainable_variables, tape.gradient(loss, made.trainable_variables), strict=True):
        assert np.abs(gradient).max() > 0, variable.name
    assert sorted(variable.name.rpartition("/")[2] for variable in made.trainable_variables) == [
        "bias:0",
        "kernel:0",
        "start:0",
        "transitions:0",
    ]
