"""Chains against brute force: every sequence of tags, scored one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl.backend import tf
from tfxl.layers import crf


@st.composite
def chains(draw):
    rows, tokens, tags = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**16))
    potentials = np.random.default_rng(seed).normal(size=(rows, tokens, tags, tags)).astype(np.float32) * 3
    mask = draw(st.lists(st.lists(st.booleans(), min_size=tokens, max_size=tokens), min_size=rows, max_size=rows))
    return potentials, np.array(mask)


def sequences(potentials, mask):
    """Every sequence of tags at the places of one row, with its score."""
    places = np.flatnonzero(mask)
    for tags in itertools.product(range(potentials.shape[-1]), repeat=len(places)):
        before = (0, *tags)[: len(tags)]
        yield tags, sum(potentials[at, old, new] for at, old, new in zip(places, before, tags, strict=True))


@settings(max_examples=40, deadline=None)
@given(chains())
def test_functions_agree_with_every_sequence_scored(chain):
    potentials, mask = chain
    partition, (best, score) = crf.log_partition(potentials, mask), crf.viterbi(potentials, mask)
    marginals = crf.marginals(potentials, mask)
    for row in range(len(mask)):
        places = np.flatnonzero(mask[row])
        found = dict(sequences(potentials[row], mask[row]))
        total = np.logaddexp.reduce(list(found.values()))
        np.testing.assert_allclose(partition[row], total, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(score[row], max(found.values()), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[tuple(best.numpy()[row, places])], score[row], rtol=1e-4, atol=1e-4)
        for number, place in enumerate(places):
            expected = np.zeros(potentials.shape[-1])
            for tags, value in found.items():
                expected[tags[number]] += np.exp(value - total)
            np.testing.assert_allclose(marginals[row, place], expected, rtol=1e-3, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(chains(), st.integers(0, 2**16))
def test_the_score_of_a_path(chain, seed):
    potentials, mask = chain
    tags = np.random.default_rng(seed).integers(0, potentials.shape[-1], mask.shape).astype(np.int32)
    score = crf.path_score(potentials, np.where(mask, tags, -1).astype(np.int32), mask)
    for row in range(len(mask)):
        expected = dict(sequences(potentials[row], mask[row]))[tuple(tags[row, mask[row]])]
        np.testing.assert_allclose(score[row], expected, rtol=1e-4, atol=1e-4)


def example():
    generator = np.random.default_rng(0)
    mask = np.array([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    return generator.normal(size=(3, 5, 3, 3)).astype(np.float32), mask


def test_tokens_between_places_do_not_matter():
    potentials, mask = example()
    noise = np.where(mask[:, :, None, None], potentials, 100.0).astype(np.float32)
    for function in (crf.log_partition, crf.viterbi):
        for one, other in zip(function(potentials, mask), function(noise, mask), strict=True):
            np.testing.assert_allclose(one, other)


def test_a_beginning_reads_what_token_0_holds_and_no_transition():
    generator = np.random.default_rng(1)
    emission, transitions, start = (generator.normal(size=size).astype(np.float32) for size in ((4, 3), (3, 3), 3))
    potentials = emission[None, :, None, :] + transitions
    potentials[:, 0] = start - transitions
    mask = np.array([[False, False, True, True]])
    tags = np.array([[0, 0, 2, 1]], np.int32)
    expected = start[2] + emission[2, 2] + transitions[2, 1] + emission[3, 1]
    score = crf.path_score(crf.with_start(potentials, mask), tags, mask)
    np.testing.assert_allclose(score, [expected], rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_are_marginals_in_the_graph_and_under_xla(compiled):
    potentials, mask = example()

    @tf.function(jit_compile=compiled)
    def gradient(potentials):
        with tf.GradientTape() as tape:
            tape.watch(potentials)
            total = crf.log_partition(potentials, mask)
        return tape.gradient(total, potentials), crf.viterbi(potentials, mask)[0]

    found, tags = gradient(tf.constant(potentials))
    expected = np.where(mask[:, :, None], crf.marginals(potentials, mask), 0.0)
    np.testing.assert_allclose(tf.reduce_sum(found, axis=2), expected, atol=1e-5)
    np.testing.assert_array_equal(tags, crf.viterbi(potentials, mask)[0])


def test_scores_of_many_places_stay_finite():
    potentials, mask = tf.zeros([1, 512, 5, 5]), tf.ones([1, 512], tf.bool)
    np.testing.assert_allclose(crf.log_partition(potentials, mask), [512 * np.log(5)], rtol=1e-5)
    np.testing.assert_allclose(crf.marginals(potentials, mask), tf.fill([1, 512, 5], 0.2), rtol=1e-4)
