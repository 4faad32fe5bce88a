"""What there is to choose from: the drawers, their parts, and what each part can be told."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tfxl import languages, recipes, registry
from tfxl.errors import RecipeError, did_you_mean
from tfxl.settings import Settings, plain

PACKAGE = Path(__file__).parents[1]
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "table", Any: "any value"}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}


class Setting(NamedTuple):
    """One thing that a part can be told, as a person reads it."""

    name: str
    type: str
    default: str
    meaning: str


LANGUAGE_COLUMNS = ("code", "name", "script", "direction", "family", "region")


def languages_as_rows() -> list[tuple[str, ...]]:
    """Returns what is known of each language, in the order of `LANGUAGE_COLUMNS`."""
    return [tuple(getattr(languages.find(code), field) for field in LANGUAGE_COLUMNS) for code in languages.names()]


def drawers() -> list[str]:
    """Returns the names of the folders that hold interchangeable parts: those that define a contract."""
    contract = re.compile(r"^class \w+\(Part\):", re.MULTILINE)
    files = sorted(PACKAGE.glob("*/__init__.py"))
    return [path.parent.name for path in files if contract.search(path.read_text(encoding="utf-8"))]


def describe_drawer(drawer: str) -> Iterator[str]:
    """Yields lines: each part's name, what it is, and its settings."""
    for kind in registry.names(drawer):
        part = registry.find(drawer, kind)
        yield f"{kind}: {(inspect.getdoc(part) or '').partition(chr(10))[0]}"
        for setting in settings_of(part.Settings):
            yield f"    {setting.name} ({setting.type}) = {setting.default}"


def describe(thing: str) -> tuple[str, list[Setting]]:
    """Returns what a part (`tasks.classification`) or a section of a recipe (`training`) is for, and its settings.

    Raises:
        RecipeError: There is no such thing.
    """
    drawer, dot, kind = thing.partition(".")
    if dot and drawer in drawers():
        part = registry.find(drawer, kind)
        return inspect.getdoc(part) or thing, settings_of(part.Settings)
    sections = _sections()
    if thing in sections:
        return inspect.getdoc(sections[thing]) or thing, settings_of(sections[thing])
    of_drawers = [name for drawer in drawers() for name in (drawer, drawer.removesuffix("s"))]
    nearest = did_you_mean(thing, [*of_drawers, *sections, *recipes.names()])
    if (nearest and nearest == did_you_mean(thing, recipes.names())) or thing.endswith(".toml"):
        recipes.find(thing)
    raise _no_such_thing(thing, list(sections))


def _no_such_thing(thing: str, sections: list[str]) -> RecipeError:
    parts = [f"{drawer}.{kind}" for drawer in drawers() for kind in registry.names(drawer)]
    of_drawer = next((drawer for drawer in drawers() if thing in (drawer, drawer.removesuffix("s"))), "tasks")
    return RecipeError(
        f"show {thing}",
        expected=f"a recipe ({', '.join(recipes.names())}), a section ({', '.join(sections)}), or a part ({parts[0]})",
        fix=f"{did_you_mean(thing, [*sections, *parts])}tfxl list {of_drawer} shows the parts of a drawer.",
    )


def _sections() -> dict[str, type[Settings]]:
    """Returns the settings of the sections of a recipe that are no parts, and those of `adopt`, `trim` and `index`."""
    from tfxl import adopting, indexing, trimming
    from tfxl.recipe import Run

    fields = {name: field.annotation for name, field in Run.model_fields.items()}
    fields |= {"adopt": adopting.Settings, "trim": trimming.Settings, "index": indexing.Settings}
    return {name: kind for name, kind in fields.items() if isinstance(kind, type) and issubclass(kind, Settings)}


def settings_of(model: type[Settings]) -> list[Setting]:
    """Returns the settings of a part or of a recipe's section, in the order in which they are declared."""
    meanings, found = _meanings(model), list[Setting]()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            found += [setting._replace(name=f"{name}.{setting.name}") for setting in settings_of(inner)]
        else:
            found.append(Setting(name, _type(field), _default(field), meanings.get(name, "")))
    return found


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(item, name)}"
        for item in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return ", ".join([_in_words(field.annotation), *bounds])


def _in_words(annotation: Any) -> str:
    """Says a type in the words of a recipe: `tuple[str, ...]` is an array of text."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in inner)
    if origin in (Union, types.UnionType):
        return " | ".join(_in_words(item) for item in inner if item is not type(None))
    if origin is tuple:
        return f"array of {_in_words(inner[0])}"
    if origin in (dict, Mapping):
        return "table"
    return WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "must be set"
    if value is None:
        return "not set"
    return json.dumps(plain(value), ensure_ascii=False)


def _meanings(model: type[Settings]) -> dict[str, str]:
    """Returns the docstrings that stand below settings, by name; inherited ones too."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Settings) and base is not Settings:
            found.update(_docstrings(base))
    return found


def _docstrings(model: type[Settings]) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: " ".join(inspect.cleandoc(text.value.value).split())
        for field, text in pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
