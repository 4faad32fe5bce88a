"""The loss of pairs: each text should be nearer to the text that belongs to it than to those of the other pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfxl.backend import keras, tf
from tfxl.tasks._vectors import unit

NEVER = -1e9
"""The score of a candidate that does not count."""


class RankingLoss(keras.losses.Loss):
    """Cross-entropy of each text's own partner among all partners in the batch (van den Oord et al. 2018: InfoNCE).

    Candidates are the second texts of the whole batch and the hard negatives. Not a negative is what belongs to the
    text as well: a candidate with the same words as a right one, one of a pair with the same text, and one of a pair
    with the same label. Candidates with the same words count once. So a row that fills a batch up changes nothing.

    Args:
        rows_per_text: Rows of a text: itself, its second text, its hard negatives.
        temperature: What cosines are divided by.
        both_directions: Whether second texts look for their texts as well; the loss is then the mean of the two.
        label_positives: Whether candidates with the same label are right answers too (Khosla et al. 2020, L_out).
        sizes: Also measure the first dimensions alone, so many each; the loss is the mean (Kusupati et al. 2022).
    """

    def __init__(
        self,
        *,
        rows_per_text: int,
        temperature: float,
        both_directions: bool = True,
        label_positives: bool = False,
        sizes: Sequence[int] = (),
    ) -> None:
        super().__init__(name="ranking_loss")
        self.rows_per_text, self.temperature, self.sizes = rows_per_text, temperature, tuple(sizes)
        self.both_directions, self.label_positives = both_directions, label_positives

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses, a text's in each of its rows.

        Args:
            target: `[rows, 2]` int64: a fingerprint of the row's text, and one of the label of its pair, 0 for none.
            logits: `[rows, dimensions]`.
        """
        width = logits.shape[-1]
        prints = tf.reshape(target[:, 0], [-1, self.rows_per_text])
        labels = tf.reshape(target[:, 1], [-1, self.rows_per_text])[:, 0]
        vectors = tf.reshape(tf.cast(logits, tf.float32), [-1, self.rows_per_text, width])
        places = self._places(prints, labels)
        sizes = self.sizes or (width,)
        losses = [self._loss(unit(vectors[:, :, :size]), places) for size in sizes]
        return tf.repeat(tf.add_n(losses) / len(losses), self.rows_per_text)

    def _places(self, prints: tf.Tensor, labels: tf.Tensor) -> list[Places]:
        texts, seconds = prints[:, 0], prints[:, 1]
        negatives = tf.reshape(prints[:, 2:], [-1])
        belongs = _equal(texts, texts) | _equal(seconds, seconds) | _equal(texts, seconds)
        same_label = _equal(labels, labels) & (labels != 0)[:, None]
        found = [_places(belongs, same_label, tf.concat([seconds, negatives], 0), label_positives=self.label_positives)]
        if self.both_directions:
            back = tf.transpose(belongs), tf.transpose(same_label)
            found.append(_places(*back, texts, label_positives=self.label_positives))
        return found

    def _loss(self, vectors: tf.Tensor, places: list[Places]) -> tf.Tensor:
        """Returns `[texts]` losses of vectors `[texts, rows of a text, dimensions]`."""
        texts, seconds = vectors[:, 0], vectors[:, 1]
        negatives = tf.reshape(vectors[:, 2:], [-1, vectors.shape[-1]])
        sides = [(texts, tf.concat([seconds, negatives], 0)), (seconds, texts)]
        losses = [
            _cross_entropy(tf.matmul(queries, candidates, transpose_b=True) / self.temperature, place)
            for (queries, candidates), place in zip(sides, places, strict=False)
        ]
        return tf.add_n(losses) / len(losses)


class Places(NamedTuple):
    """Which candidates count: `right` and `counted` (right ones among them), both `[texts, candidates]` bool."""

    right: tf.Tensor
    counted: tf.Tensor


def _places(belongs: tf.Tensor, same_label: tf.Tensor, candidates: tf.Tensor, *, label_positives: bool) -> Places:
    """Returns which candidates count; the first of them are the partners, the rest are hard negatives.

    Args:
        belongs: `[texts, texts]` whether text i and partner j belong together by their words.
        same_label: `[texts, texts]` whether they have the same label.
        candidates: `[candidates]` the fingerprints.
        label_positives: Whether candidates with the same label are right.
    """
    texts = tf.shape(belongs)[0]
    own = tf.pad(tf.eye(texts, dtype=tf.bool), [[0, 0], [0, tf.size(candidates) - texts]])
    alike = belongs | same_label
    # A candidate with the words of something that belongs to a text belongs to it as well.
    words = tf.cast(_equal(candidates[:texts], candidates), tf.float32)
    belongs_by_words = tf.matmul(tf.cast(alike, tf.float32), words) > 0
    first = tf.reduce_sum(tf.cast(tf.linalg.band_part(_equal(candidates, candidates), 0, -1), tf.int32), axis=0) == 1
    right = own
    if label_positives:
        more = tf.matmul(tf.cast(same_label, tf.float32), words) > 0
        right = own | (more & first & ~_copies(own, candidates))
    return Places(right, right | (~belongs_by_words & first))


def _copies(own: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """`[texts, candidates]`: whether a candidate has the words of the text's own partner."""
    return tf.gather(_equal(candidates, candidates), tf.argmax(tf.cast(own, tf.int32), axis=1))


def _equal(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return first[:, None] == second[None, :]


def _cross_entropy(scores: tf.Tensor, places: Places) -> tf.Tensor:
    """Returns `[texts]`: minus the mean log probability of the right candidates among those that count."""
    log_probabilities = tf.nn.log_softmax(tf.where(places.counted, scores, NEVER))
    right = tf.cast(places.right, tf.float32)
    found = tf.reduce_sum(tf.where(places.right, log_probabilities, 0.0), axis=1)
    return -found / tf.reduce_sum(right, axis=1)
