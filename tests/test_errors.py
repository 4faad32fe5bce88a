from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxl import errors
from tfxl.errors import TfxlError, did_you_mean

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, TfxlError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_answers_three_questions(kind: type[TfxlError]) -> None:
    error = kind("a cat", expected="a dog", fix="Fetch a dog.")
    assert str(error) == "got:      a cat\nexpected: a dog\nfix:      Fetch a dog."
    assert isinstance(error, TfxlError)


def test_every_answer_has_to_be_given() -> None:
    with pytest.raises(TypeError):
        TfxlError("a cat")


def test_did_you_mean_names_the_nearest() -> None:
    assert did_you_mean("epoch", ["epochs", "seed"]) == "did you mean 'epochs'? "
    assert did_you_mean("zzz", ["epochs", "seed"]) == ""
    assert did_you_mean("x", []) == ""
    assert did_you_mean("情緒", ["情绪分析", "情緒"]) == "did you mean '情緒'? "


@given(st.text(), st.lists(st.text()))
def test_did_you_mean_answers_any_text(name: str, known: list[str]) -> None:
    answer = did_you_mean(name, known)
    assert answer == "" or any(answer == f"did you mean '{other}'? " for other in known)
