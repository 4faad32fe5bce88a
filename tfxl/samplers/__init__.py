"""Samplers decide how often each group (language, domain) is drawn in training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

from tfxl.example import Example
from tfxl.registry import Part

Group = tuple[str, ...]
"""The values that a row is grouped by, such as `("de",)` or `("de", "hotel")`."""


class Sampler(Part):
    """Turns the number of rows of each group into the share of training steps it gets."""

    class Settings(Part.Settings):
        """What rows are grouped by."""

        by: tuple[Literal["language", "domain", "task"], ...] = ("language",)
        """`task` is for joint runs."""

    settings: Settings

    def group(self, example: Example) -> Group:
        """Returns the group of an example."""
        return tuple(str(getattr(example, name)) for name in self.settings.by)

    @abstractmethod
    def weights(self, counts: Mapping[Group, int]) -> dict[Group, float]:
        """Returns the share of draws of each group; the shares add up to 1.

        Args:
            counts: Rows by group, each at least 1.
        """


def expected_epochs(counts: Mapping[Group, int], weights: Mapping[Group, float]) -> dict[Group, float]:
    """Returns how many times, on average, a row of each group is seen while as many rows are drawn as there are.

    1.0 means once per epoch; 3.2 means that a small group is repeated 3.2 times per epoch.
    """
    rows = sum(counts.values())
    return {group: weights[group] * rows / counts[group] for group in counts}
