"""Which labels play which part, and what recipes may say; the rest is shared with classification."""

import pytest

from tfxl.errors import DataError, RecipeError
from tfxl.example import Example
from tfxl.tasks.inference import Inference


def test_the_usual_labels_need_no_settings():
    task = Inference()
    assert task.names == ("entailment", "neutral", "contradiction")
    assert task.roles == {"entailment": "entailment", "contradiction": "contradiction"}
    assert task.text_inputs == ("text", "second_text")


def test_roles_are_told_by_served_names():
    names = {"0": "folgt", "1": "offen"}
    task = Inference(labels=["0", "1", "2"], label_names=names, entailment="0", contradiction="2")
    assert task.roles == {"entailment": "folgt", "contradiction": "2"}
    assert task.gold(Example("a", "b", label="0")) == "folgt"


def test_there_need_be_no_contradiction():
    task = Inference(labels=["entailment", "not_entailment"], contradiction="")
    assert task.roles == {"entailment": "entailment"}


def test_an_unlisted_label_is_refused():
    with pytest.raises(DataError, match="did you mean 'entailment'"):
        Inference().gold(Example("a", "b", label="entails", id="x.tsv:2"))


@pytest.mark.parametrize(
    "settings",
    [
        {"labels": ["0", "1", "2"]},
        {"labels": ["entailment", "neutral"]},
        {"entailment": ""},
        {"entailment": "neutral", "contradiction": "neutral"},
        {"second_text": True},
        {"label_names": {"neutral": "entailment"}},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(RecipeError):
        Inference(**settings)
