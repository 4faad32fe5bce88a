"""Which rows are looked at together: all of them, and those of each language, script, length band and domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfxl import languages
from tfxl.errors import RecipeError

if TYPE_CHECKING:
    from tfxl.evaluation.record import Row

Group = tuple[str, str]
"""A kind of group and its value, such as `("language", "de")`."""

ALL: Group = ("", "")
"""The group of all rows."""

KINDS = ("language", "script", "length", "domain")
"""The kinds of groups, in the order in which they are shown."""


def groups(rows: Sequence[Row], *, length_bands: Sequence[int]) -> dict[Group, np.ndarray]:
    """Returns the indices of each group's rows: all, languages by first row, lengths ascending, the others by name.

    Args:
        rows: The answered rows; those without a domain are in no group of domains.
        length_bands: The longest length of each band.
    """
    bands = band_names(length_bands)
    members: dict[Group, list[int]] = {}
    for index, row in enumerate(rows):
        band = bands[int(np.searchsorted(length_bands, row.length))]
        values = {"language": row.language, "script": language_of(row.language).script, "length": band}
        for group in (*values.items(), *((("domain", row.domain),) if row.domain else ())):
            members.setdefault(group, []).append(index)

    def place(group: Group) -> tuple[int, int, str]:
        kind, value = group
        position = {"language": members[group][0], "length": bands.index(value) if kind == "length" else 0}
        return KINDS.index(kind), position.get(kind, 0), value

    return {ALL: np.arange(len(rows)), **{group: np.array(members[group]) for group in sorted(members, key=place)}}


def named(group: Group) -> dict[str, str]:
    """Returns a group as scores name it: `{"language": "de"}`, or empty for all rows."""
    return {} if group == ALL else {group[0]: group[1]}


def band_names(limits: Sequence[int]) -> list[str]:
    """Returns the names of the length bands: `0–20`, `21–50`, …, `over 200`."""
    if not limits:
        return ["all"]
    starts = (0, *(limit + 1 for limit in limits[:-1]))
    return [*(f"{low}–{high}" for low, high in zip(starts, limits, strict=True)), f"over {limits[-1]}"]


def base(language: str) -> str:
    """Returns a language without region and script, in its usual code: `pt` for `pt-BR`, `de` for `deu`."""
    return language_of(language).base


def language_of(code: str) -> languages.Language:
    """Returns a row's language; a name that is no language tag stands for itself, since the rows are there already."""
    try:
        return languages.find(code)
    except RecipeError:
        return languages.Language(code)
