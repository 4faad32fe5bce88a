"""Nearest: an exact search among vectors, in the graph, so that a server answers a query with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from tfxl.backend import tf


class Nearest:
    """Texts with their vectors. What it holds are variables, so that a SavedModel keeps them.

    Args:
        vectors: `[texts, dimensions]` float32 of length 1.
        texts: The texts.
        ids: What each text is called; texts may share an id, such as the label of their class.
    """

    def __init__(self, vectors: np.ndarray, texts: Sequence[bytes], ids: Sequence[bytes]) -> None:
        with tf.device("CPU:0"):  # strings are nowhere else
            self.variables: dict[str, tf.Variable] = {
                "index_texts": tf.Variable(list(texts), trainable=False, dtype=tf.string, name="index_texts"),
                "index_ids": tf.Variable(list(ids), trainable=False, dtype=tf.string, name="index_ids"),
            }
        self.variables["index_vectors"] = tf.Variable(vectors, trainable=False, dtype=tf.float32, name="index_vectors")

    @classmethod
    def of(cls, variables: Mapping[str, tf.Variable]) -> Self | None:
        """Returns what the variables of a saved model hold; None if they hold no index."""
        names = ("index_vectors", "index_texts", "index_ids")
        if not set(names) <= set(variables):
            return None
        return cls(*(variables[name].numpy() for name in names))

    @property
    def dimensions(self) -> int:
        """The size of the vectors."""
        return int(self.variables["index_vectors"].shape[1])

    def search(self, queries: tf.Tensor, most: int) -> dict[str, tf.Tensor]:
        """Returns `matches` and `match_ids` string and `match_scores`, each `[batch, matches]`, the best first.

        Args:
            queries: `[batch, dimensions]` of length 1.
            most: How many are wanted; fewer are returned where there are fewer texts.
        """
        vectors = self.variables["index_vectors"]
        scores = tf.matmul(queries, vectors, transpose_b=True)
        best, places = tf.math.top_k(scores, k=min(most, int(vectors.shape[0])))
        texts, ids = (tf.gather(self.variables[name], places) for name in ("index_texts", "index_ids"))
        return {"matches": texts, "match_ids": ids, "match_scores": best}
