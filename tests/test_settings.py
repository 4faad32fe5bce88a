from __future__ import annotations

import tomllib
from typing import Any, Literal

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from tfxl.errors import RecipeError
from tfxl.settings import Settings, plain, validate


class Inner(Settings):
    rate: float = 0.1
    names: tuple[str, ...] = ()


class Outer(Settings):
    epochs: int = Field(ge=0)
    mode: Literal["slow", "fast"] = "slow"
    name: str | None = None
    inner: Inner = Field(default_factory=Inner)
    table: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _has_no_space(cls, value: str | None) -> str | None:
        if value is not None and " " in value:
            raise ValueError("A name without spaces")
        return value


def refused(values: dict[str, Any]) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        validate(Outer, values, where="training")
    return caught.value


def test_unknown_key_names_the_nearest_and_lists_the_known() -> None:
    error = refused({"epochs": 1, "mod": "fast"})
    assert error.got == "training.mod: there is no such setting"
    assert error.expected == "one of epochs, inner, mode, name, table"
    assert error.fix == "did you mean 'mode'? Remove or rename training.mod."


def test_unknown_key_of_nested_settings_lists_those() -> None:
    error = refused({"epochs": 1, "inner": {"rat": 0.2}})
    assert error.got.startswith("training.inner.rat:")
    assert error.expected == "one of names, rate"
    assert "did you mean 'rate'?" in error.fix


def test_missing_setting_is_named() -> None:
    error = refused({})
    assert error.got == "training.epochs is not set"
    assert error.fix == "Add training.epochs = … to the recipe."


@pytest.mark.parametrize(
    ("values", "place", "expected"),
    [
        ({"epochs": "3"}, "training.epochs = '3' (str)", "integer"),
        ({"epochs": 3.0}, "training.epochs = 3.0 (float)", "integer"),
        ({"epochs": True}, "training.epochs = True (bool)", "integer"),
        ({"epochs": -1}, "training.epochs = -1 (int)", "greater than or equal to 0"),
        ({"epochs": 1, "mode": "quick"}, "training.mode = 'quick' (str)", "'slow' or 'fast'"),
        ({"epochs": 1, "name": "a b"}, "training.name = 'a b' (str)", "a name without spaces"),
        ({"epochs": 1, "inner": 3}, "training.inner = 3 (int)", ""),
        ({"epochs": 1, "inner": {"names": [1]}}, "training.inner.names.0 = 1 (int)", "string"),
    ],
)
def test_wrong_values_are_refused_and_not_converted(values: dict[str, Any], place: str, expected: str) -> None:
    error = refused(values)
    assert error.got == place
    assert expected in error.expected
    assert error.fix


def test_further_mistakes_are_counted() -> None:
    assert refused({"epochs": "3", "mode": 1, "x": 2}).got.endswith("(and 2 more)")


def test_arrays_become_tuples_and_settings_are_frozen() -> None:
    settings = validate(Outer, {"epochs": 1, "inner": {"names": ["a"]}, "table": {"deep": [1, [2]]}}, where="")
    assert settings.inner.names == ("a",)
    assert settings.table == {"deep": (1, (2,))}
    with pytest.raises(ValueError, match="frozen"):
        settings.epochs = 2


def test_whole_numbers_are_numbers_but_not_the_other_way_round() -> None:
    assert validate(Inner, {"rate": 1}, where="").rate == 1.0


def test_what_is_not_set_is_left_out_of_toml() -> None:
    assert "name" not in Outer(epochs=1).as_toml()
    assert plain({"a": None, "b": ({"c": None},)}) == {"b": [{}]}


toml_values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    epochs=st.integers(0, 2**31),
    rate=st.floats(allow_nan=False),
    names=st.lists(st.text(st.characters(codec="utf-8"))),
    table=st.dictionaries(st.text(st.characters(codec="utf-8")), toml_values, max_size=3),
)
def test_settings_survive_toml(epochs: int, rate: float, names: list[str], table: dict[str, Any]) -> None:
    settings = Outer(epochs=epochs, inner=Inner(rate=rate, names=tuple(names)), table=table)
    again = validate(Outer, tomllib.loads(tomli_w.dumps(settings.as_toml())), where="")
    assert again == settings
