"""Draws small groups more often than their size asks for, large ones less."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tfxl.samplers import Group, Sampler


class Temperature(Sampler):
    """Gives each group a share proportional to its number of rows to the power of `alpha`.

    `alpha = 1` draws rows as they are, 0 gives each group the same. Multilingual BERT was trained with 0.7 (Devlin et
    al. 2018), XLM-R with 0.3 (Conneau et al. 2020). Alpha is the inverse of the temperature that others write.
    """

    class Settings(Sampler.Settings):
        """How much size counts."""

        alpha: float = Field(0.3, ge=0, le=1)

    settings: Settings

    def weights(self, counts: Mapping[Group, int]) -> dict[Group, float]:
        """Returns the shares, `rows ** alpha` over their sum."""
        sizes = {group: float(rows) ** self.settings.alpha for group, rows in counts.items()}
        total = sum(sizes.values())
        return {group: size / total for group, size in sizes.items()}
