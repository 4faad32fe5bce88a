"""Which rows stand in which group."""

from __future__ import annotations

import pytest

from tests.evaluation.toy_answers import evaluated
from tfxl.evaluation.groups import ALL, band_names, base, groups, language_of, named


def test_band_names() -> None:
    assert band_names((20, 50)) == ["0–20", "21–50", "over 50"]
    assert band_names(()) == ["all"]


def test_each_kind_of_group_holds_each_row_once_and_in_order() -> None:
    rows = evaluated().rows
    found = groups(rows, length_bands=(20, 50))
    assert next(iter(found)) == ALL and found[ALL].tolist() == [*range(len(rows))]
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    assert kinds == ["", "language", "script", "length", "domain"]
    for kind in kinds:
        members = [index for group, chosen in found.items() if group[0] == kind for index in chosen.tolist()]
        assert sorted(members) == [*range(len(rows))]
    for (kind, value), chosen in found.items():
        if kind == "language":
            assert {rows[index].language for index in chosen} == {value}
        if kind == "script":
            assert {language_of(rows[index].language).script for index in chosen} == {value}


def test_groups_as_scores_name_them() -> None:
    assert named(ALL) == {} and named(("domain", "hotel")) == {"domain": "hotel"}


@pytest.mark.parametrize(("code", "expected"), [("pt-BR", "pt"), ("deu", "de"), ("German!", "German!")])
def test_base(code: str, expected: str) -> None:
    assert base(code) == expected
