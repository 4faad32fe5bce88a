"""Recipes: whole runs as TOML files; the head comment of each says its command, hardware, time and expected scores.

A recipe has two levels: sections, and settings in them. There are no includes and no interpolation. Overrides are
`section.setting=value` with the value in TOML; a value that is no TOML is taken as text (`tuner.kind=frozen`).
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfxl.errors import RecipeError, did_you_mean

FOLDER = Path(__file__).parent
Override = tuple[list[str], Any]
"""The keys of a setting from the top, and its value."""


def names() -> list[str]:
    """Returns the names of the recipes that come with tfxl."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(recipe: str | Path) -> Path:
    """Returns the file of a recipe.

    Args:
        recipe: The name of a recipe that comes with tfxl, or the path of a TOML file.

    Raises:
        RecipeError: There is no such recipe.
    """
    if str(recipe) in names():
        return FOLDER / f"{recipe}.toml"
    path = Path(recipe)
    if path.is_file():
        return path
    raise RecipeError(
        f"recipe {str(recipe)!r}",
        expected=f"one of {', '.join(names())}, or the path of a TOML file",
        fix=f"{did_you_mean(str(recipe), names())}Name a recipe that exists (tfxl list).",
    )


def read(recipe: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Returns a recipe's values with overrides applied; what they mean is checked later, by the parts.

    Args:
        recipe: A name or a path.
        overrides: `section.setting=value`, the later ones winning.

    Raises:
        RecipeError: There is no such recipe, it is no TOML, or an override has no `=`.
    """
    try:
        values = tomllib.loads(text(recipe))
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(recipe, error) from None
    return override(values, overrides)


def text(recipe: str | Path) -> str:
    """Returns a recipe as it is written.

    Args:
        recipe: A name or a path.

    Raises:
        RecipeError: There is no such recipe, it cannot be read, or it is not in UTF-8.
    """
    path = find(recipe)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _no_toml(recipe, error) from None
    except OSError as error:
        raise RecipeError(
            f"{path}: {error.strerror}", expected="a readable file", fix="Check the path and its permissions."
        ) from None


def _no_toml(recipe: str | Path, error: Exception) -> RecipeError:
    return RecipeError(
        f"{find(recipe)}: {error}", expected="a TOML file in UTF-8", fix="Correct the file at that place."
    )


def override(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Returns a recipe's values with overrides applied, the later ones winning; `values` stay as they are.

    A changed kind drops the settings that a part had, but none that overrides give it one by one.

    Raises:
        RecipeError: An override has no `=`, or reaches into a value that is no table.
    """
    changed = copy.deepcopy(dict(values))
    for keys, value in _kinds_first([_split(text) for text in overrides]):
        _set(changed, keys, value)
    return changed


def _kinds_first(pairs: Iterable[Override]) -> list[Override]:
    """Puts the kind of a part before overrides of the part's settings, which it would take with it.

    It stays behind what sets the part as a whole: another kind of it, or a table that it is, or is in.
    """
    ordered: list[Override] = []
    for keys, value in pairs:
        place = len(ordered)
        if keys[-1] == "kind":
            while place and not _is_whole(ordered[place - 1][0], keys[:-1]):
                place -= 1
        ordered.insert(place, (keys, value))
    return ordered


def _is_whole(keys: Sequence[str], part: Sequence[str]) -> bool:
    """Whether an override takes the place of all that a part, by its keys, was before."""
    table = keys[:-1] if keys[-1] == "kind" else keys
    return part[: len(table)] == table


def comment(recipe: str | Path) -> str:
    """Returns the head comment of a recipe without its number signs."""
    lines = []
    for line in text(recipe).splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def _split(override: str) -> tuple[list[str], Any]:
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(
            f"override {override!r}",
            expected="section.setting=value, such as training.epochs=3",
            fix="Write the setting's dotted name, an equals sign, and its value.",
        )
    try:
        return keys, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return keys, text.strip()


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key, {})
        inner = {"kind": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, dict):
            raise RecipeError(
                f"override {'.'.join(keys)}: {key} is {inner!r}",
                expected=f"{key} to be a table or the kind of a part",
                fix=f"Override {key} as a whole.",
            )
        values[key] = inner
        values = inner
    if keys[-1] == "kind" and values.get("kind") != value:
        values.clear()
    values[keys[-1]] = value
