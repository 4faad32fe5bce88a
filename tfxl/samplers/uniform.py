"""Gives each group the same share, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping

from tfxl.samplers import Group, Sampler


class Uniform(Sampler):
    """Gives each group the same share of draws.

    Use it when groups are of similar size, or small ones matter most; a much smaller group is repeated often.
    """

    def weights(self, counts: Mapping[Group, int]) -> dict[Group, float]:
        """Returns 1 / number of groups for each group."""
        return dict.fromkeys(counts, 1 / max(1, len(counts)))
