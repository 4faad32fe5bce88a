"""Where the right text stands among all candidates of its language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

CHUNK = 1024
"""Queries that are compared with all candidates at once."""
MOST = 100
"""Right candidates of a query whose ranks are told."""

Ranks = int | tuple[int, ...]


def ranks(queries: np.ndarray, candidates: np.ndarray, owners: Sequence[set[int]]) -> list[Ranks]:
    """Returns the ranks of each query's right candidates, counted from 1; a number where one is right.

    Wrong candidates with the score of a right one stand before it, so that vectors that are all alike find nothing.

    Args:
        queries: `[queries, dimensions]` of length 1.
        candidates: `[candidates, dimensions]` of length 1.
        owners: The right candidates of each query.
    """
    found: list[Ranks] = []
    for start in range(0, len(queries), CHUNK):
        scores = queries[start : start + CHUNK] @ candidates.T
        found += [_row(row, sorted(right)) for row, right in zip(scores, owners[start : start + CHUNK], strict=True)]
    return found


def _row(scores: np.ndarray, right: list[int]) -> Ranks:
    best = np.sort(scores[right])[::-1][:MOST]
    wrong = np.delete(scores, right)
    # One right candidate stands before another, whichever: the n-th best has n - 1 right ones before it.
    places = [int(np.count_nonzero(wrong >= score)) + number for number, score in enumerate(best, 1)]
    return places[0] if len(right) == 1 else tuple(places)


def right_candidates(pairs: Sequence[tuple[str, str, str]]) -> tuple[list[str], list[set[int]]]:
    """Returns the different second texts of pairs, and which of them are right for each pair's text.

    Right is the second text of every pair with the same text or the same label.

    Args:
        pairs: Texts, second texts and labels; an empty label is none.
    """
    candidates: dict[str, int] = {}
    of_text, of_label = defaultdict[str, set[int]](set), defaultdict[str, set[int]](set)
    for text, second, label in pairs:
        place = candidates.setdefault(second, len(candidates))
        of_text[text].add(place)
        of_label[label].add(place)
    return list(candidates), [of_text[text] | (of_label[label] if label else set()) for text, _, label in pairs]
