"""Finds the parts in the drawers: the name of a module is the name that recipes use.

Adding a part is adding one file; there is no list to extend. A kind with a dot (`"mylab.poetry"`) names a module
outside tfxl, so that a part can live in somebody else's package.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from tfxl import settings
from tfxl.errors import RecipeError, did_you_mean

Spec: TypeAlias = str | Mapping[str, Any]
"""How a recipe names a part: its kind alone, or a table with `kind` and the part's settings."""


class Part(ABC):
    """One interchangeable part. Its `Settings` stand beside the code that reads them.

    Args:
        settings: Values for the part's `Settings`.

    Raises:
        RecipeError: A setting is unknown, missing or of the wrong type.
    """

    class Settings(settings.Settings):
        """What this part can be told."""

    kind: ClassVar[str]
    settings: Any

    def __init_subclass__(cls) -> None:
        drawer, _, module = cls.__module__.removeprefix("tfxl.").partition(".")
        cls.kind = (module or drawer) if cls.__module__.startswith("tfxl.") else cls.__module__

    def __init__(self, **values: Any) -> None:
        self.settings = settings.validate(type(self).Settings, values, where=self.kind)

    def spec(self) -> dict[str, Any]:
        """Returns the part as a recipe writes it: its kind and every setting."""
        return {"kind": self.kind, **self.settings.as_toml()}


def names(drawer: str) -> list[str]:
    """Returns the kinds in a drawer, sorted, without importing them."""
    package = importlib.util.find_spec(f"tfxl.{drawer}")
    places = package.submodule_search_locations if package else None
    return sorted(module.name for module in pkgutil.iter_modules(places or []) if not module.name.startswith("_"))


def find(drawer: str, kind: str) -> type[Part]:
    """Returns the class of a part.

    Args:
        drawer: A plural folder of tfxl, such as `"tasks"`.
        kind: The name of a module in it, or the dotted name of a module elsewhere.

    Raises:
        RecipeError: There is no such part, or its module holds no class of the expected name.
    """
    is_outside = "." in kind and all(word.isidentifier() for word in kind.split("."))
    place = kind if is_outside else f"tfxl.{drawer}.{kind}"
    known = names(drawer)
    if not is_outside and kind not in known:
        raise RecipeError(
            f"{drawer}: kind = {kind!r}",
            expected=f"one of {', '.join(known)}, or a dotted module name",
            fix=f"{did_you_mean(kind, known)}Name a part that exists.",
        )
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        raise RecipeError(
            f"{drawer}: kind = {kind!r}: there is no module {error.name}",
            expected=f"one of {', '.join(known)}, or a module that Python can import",
            fix="Install the package that holds the module, or put its folder on PYTHONPATH.",
        ) from None
    name = class_name(place)
    part = getattr(module, name, None)
    if not (isinstance(part, type) and issubclass(part, Part)):
        raise RecipeError(
            f"{drawer}: module {place} has no part called {name}",
            expected=f"a class {name} derived from the contract in tfxl.{drawer}",
            fix=f"Define class {name} in {place}.",
        )
    return part


def build(drawer: str, spec: Spec, **defaults: Any) -> Any:
    """Returns the part that a recipe names, with its settings.

    Args:
        drawer: A plural folder of tfxl.
        spec: A kind, or a table with `kind` and settings.
        defaults: Settings that the spec may override.
    """
    values = as_table(spec)
    kind = values.pop("kind", None)
    if not isinstance(kind, str):
        raise RecipeError(
            f"{drawer}: {dict(spec) if isinstance(spec, Mapping) else spec!r} has no kind",
            expected='a table with kind = "…"',
            fix=f"Add kind = one of {', '.join(names(drawer))}.",
        )
    return find(drawer, kind)(**{**defaults, **values})


def as_table(spec: Spec) -> dict[str, Any]:
    """Returns a part as a table: a kind alone becomes a table without settings."""
    return {"kind": spec} if isinstance(spec, str) else dict(spec)


def class_name(module: str) -> str:
    """Returns the class that a module holds: `tfxl.tasks.question_answering` gives `QuestionAnswering`."""
    return "".join(word.capitalize() for word in module.rpartition(".")[2].split("_"))
