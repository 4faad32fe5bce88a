"""Drops texts that were seen before, exactly or nearly."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

import numpy as np
from datasketch import MinHash, MinHashLSH
from pydantic import Field

from tfxl.cleaners import Cleaner
from tfxl.example import Example

_SEPARATOR = "\x1f"
Group = tuple[str, str]
"""Language and task."""


class Duplicates(Cleaner):
    """Keeps the first of texts that are the same, or nearly so, in one language and task. Labels are not looked at.

    Texts are the same if they differ in nothing but white space, letter case and Unicode spelling; pairs and choices
    have to be the same in all parts, since one word of a question makes another question. Texts alone are nearly the
    same if the estimated share of common character n-grams (Jaccard similarity by MinHash: Broder 1997; found by
    locality-sensitive hashing, so an occasional pair is missed) is at least `threshold`. Character n-grams need no
    words. Memory: about 4 kB a row with `near`, 0.2 kB without.
    """

    class Settings(Cleaner.Settings):
        """How near is near. The estimate's standard error is at most 0.5 / sqrt(permutations): 0.044 for 128."""

        near: bool = True
        threshold: float = Field(0.8, gt=0, lt=1)
        ngram: int = Field(3, ge=1)
        permutations: int = Field(128, ge=16)

    settings: Settings

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self._seen: dict[Group, set[bytes]] = {}
        self._near: dict[Group, _Neighbours] = {}

    def clean(self, example: Example) -> Example | None:
        """Returns the example as it is, or None if one like it came before."""
        others = [] if example.second_text is None else [example.second_text]
        parts = [_normal(text) for text in (example.text, *others, *example.choices)]
        group = (example.language, example.task)
        key = blake2b(_SEPARATOR.join(parts).encode(), digest_size=16).digest()
        seen = self._seen.setdefault(group, set())
        if key in seen:
            return None
        seen.add(key)
        is_alone = len(parts) == 1
        return None if self.settings.near and is_alone and self._has_neighbour(parts[0], group) else example

    def _has_neighbour(self, text: str, group: Group) -> bool:
        if group not in self._near:
            self._near[group] = _Neighbours(self.settings.threshold, self.settings.permutations)
        size = self.settings.ngram
        grams = {text[start : start + size] for start in range(max(1, len(text) - size + 1))}
        return self._near[group].add([gram.encode() for gram in sorted(grams)])


class _Neighbours:
    """The sets of one group: finds whether a set is near to an earlier one, else keeps it."""

    def __init__(self, threshold: float, permutations: int) -> None:
        self._threshold, self._permutations = threshold, permutations
        self._index = MinHashLSH(threshold=threshold, num_perm=permutations)
        self._hashes: list[np.ndarray] = []

    def add(self, grams: list[bytes]) -> bool:
        own = MinHash(num_perm=self._permutations)
        own.update_batch(grams)
        if any(np.mean(own.hashvalues == self._hashes[other]) >= self._threshold for other in self._index.query(own)):
            return True
        self._index.insert(len(self._hashes), own)
        self._hashes.append(np.array(own.hashvalues))
        return False


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
