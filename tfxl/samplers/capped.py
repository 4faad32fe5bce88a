"""Draws rows as they are, but lets no group count for more than a limit."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tfxl.samplers import Group, Sampler


class Capped(Sampler):
    """Gives each group a share proportional to its number of rows, of which at most `limit` count.

    Use it when a few groups are huge and the others should keep their proportions (Raffel et al. 2020, section 3.5.2).
    No row is lost: a capped group's rows take turns.
    """

    class Settings(Sampler.Settings):
        """The most rows that count."""

        limit: int = Field(10_000, ge=1)

    settings: Settings

    def weights(self, counts: Mapping[Group, int]) -> dict[Group, float]:
        """Returns the shares, `min(rows, limit)` over their sum."""
        sizes = {group: min(rows, self.settings.limit) for group, rows in counts.items()}
        total = sum(sizes.values())
        return {group: size / total for group, size in sizes.items()}
