"""Settings: what a part or a machine can be told, declared once, beside the code that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tfxl.errors import RecipeError, did_you_mean


class Settings(BaseModel):
    """A frozen record. Unknown keys and wrong types are refused, never ignored or converted.

    Arrays are tuples: a TOML array is turned into one before it is checked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _arrays_are_tuples(cls, values: Any) -> Any:
        return tuples(values)

    def as_toml(self) -> dict[str, Any]:
        """Returns the settings as TOML values; settings that are None are left out."""
        return plain(self.model_dump(exclude_none=True))


def tuples(value: Any) -> Any:
    """Returns `value` with lists as tuples, inside tables too."""
    if isinstance(value, list | tuple):
        return tuple(tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: tuples(item) for key, item in value.items()}
    return value


def plain(value: Any) -> Any:
    """Returns `value` with tuples as lists and without entries that are None (TOML has no null)."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return value


AnySettings = TypeVar("AnySettings", bound=Settings)


def validate(model: type[AnySettings], values: Mapping[str, Any], *, where: str) -> AnySettings:
    """Returns `values` as the settings `model`.

    Args:
        model: The settings class.
        values: What a recipe or a caller gave.
        where: The dotted place of the values in the recipe, for the error.

    Raises:
        RecipeError: A key is unknown or missing, or a value has the wrong type.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _recipe_error(model, error, where) from None


def _recipe_error(model: type[Settings], error: ValidationError, where: str) -> RecipeError:
    first, others = error.errors()[0], error.error_count() - 1
    place = ".".join([where, *(str(part) for part in first["loc"])]).strip(".")
    known = sorted(_fields_at(model, first["loc"][:-1]))
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return RecipeError(
            f"{place}: there is no such setting{more}",
            expected=f"one of {', '.join(known) or 'no settings at all'}",
            fix=f"{did_you_mean(key, known)}Remove or rename {place}.",
        )
    if first["type"] == "missing":
        return RecipeError(
            f"{place} is not set{more}", expected=f"a value for {place}", fix=f"Add {place} = … to the recipe."
        )
    reason = first["msg"].removeprefix("Value error, ")
    return RecipeError(
        f"{place} = {first['input']!r} ({type(first['input']).__name__}){more}",
        expected=reason[0].lower() + reason[1:],
        fix=f"Correct {place}.",
    )


def _fields_at(model: type[Settings], location: tuple[int | str, ...]) -> set[str]:
    """Follows nested settings to the one that holds `location`."""
    for step in location:
        field = model.model_fields.get(str(step))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Settings)):
            return set()
        model = field.annotation
    return set(model.model_fields)
