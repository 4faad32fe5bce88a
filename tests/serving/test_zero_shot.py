"""Zero-shot labels: what is asked, how scores are made of the answers, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tfxl.errors import DataError, ModelError
from tfxl.example import Prediction
from tfxl.serving.zero_shot import TEMPLATE, ZeroShot
from tfxl.tasks.inference import Inference


class Knowing:
    """A model of inference that knows what each text is about."""

    name = "inference"

    def __init__(self, task: Inference | None = None) -> None:
        self.task = task or Inference()
        self.asked: list[tuple[str, str]] = []

    def predict(self, texts: list[str], second_texts: list[str], **options: object) -> list[Prediction]:
        self.asked = [*zip(texts, second_texts, strict=True)]
        return [self.answer(*pair) for pair in self.asked]

    def answer(self, text: str, claim: str) -> Prediction:
        follows, cannot = (0.6, 0.1) if text in claim else (0.2, 0.6)
        scores = [follows, 1 - follows - cannot, cannot]
        return Prediction(scores=dict(zip(self.task.names, scores, strict=True)), truncated=text == "long")


def test_every_label_is_asked_of_every_text() -> None:
    model = Knowing()
    ZeroShot(model, ["sport", "天气"], template="Es geht um {}.").predict(["a", "b"])
    assert model.asked == [(text, f"Es geht um {label}.") for text in "ab" for label in ("sport", "天气")]


def test_one_label_a_text() -> None:
    first, second = ZeroShot(Knowing(), ["sport", "weather", "{0}"]).predict(["weather", "long"])
    assert first.label == "weather"
    assert first.scores == pytest.approx({"sport": 0.2, "weather": 0.6, "{0}": 0.2})
    assert first.labels == ()
    assert [first.truncated, second.truncated] == [False, True]


def test_several_labels_or_none() -> None:
    first, second = ZeroShot(Knowing(), ["sport", "weather"], several=True).predict(["weather", "雪"])
    assert first.labels == ("weather",)
    assert first.scores == pytest.approx({"sport": 0.25, "weather": 6 / 7})
    assert second.labels == ()
    assert first.label == ""


def test_without_a_contradiction_the_rest_counts_against_a_label() -> None:
    class TwoWays(Knowing):
        def answer(self, text: str, claim: str) -> Prediction:
            return Prediction(scores={"yes": 0.7, "no": 0.3})

    model = TwoWays(Inference(labels=["yes", "no"], entailment="yes", contradiction=""))
    assert ZeroShot(model, ["a"], several=True).predict(["x"])[0].scores == pytest.approx({"a": 0.7})


def test_each_language_may_have_its_template() -> None:
    model = Knowing()
    sort = ZeroShot(model, ["1", "2"], template={"de": "Es geht um {}.", "zh": "这是关于{}的。"})
    sort.predict(["a", "b"], languages=["zh", "de-AT"])
    assert [claim for _, claim in model.asked] == ["这是关于1的。", "这是关于2的。", "Es geht um 1.", "Es geht um 2."]
    with pytest.raises(DataError, match="a text in fr"):
        sort.predict(["a"], languages=["fr"])
    with pytest.raises(DataError, match="no language that was told"):
        sort.predict(["a"])
    with pytest.raises(DataError, match="1 languages for 2 texts"):
        sort.predict(["a", "b"], languages=["de"])
    assert ZeroShot(model, ["1", "2"], template={"": TEMPLATE, "de": "{}"}).predict(["a"])[0].scores
    model.asked.clear()
    ZeroShot(model, ["1", "2"], template={"": "{}?", "de": "{}."}).predict(["a", "b"], languages=["fr", "de"])
    assert [claim for _, claim in model.asked] == ["1?", "2?", "1.", "2."]


def test_other_models_are_refused() -> None:
    model = SimpleNamespace(name="sentiment", task=SimpleNamespace(kind="classification"))
    with pytest.raises(ModelError, match="sentiment, a model of classification"):
        ZeroShot(model, ["a", "b"])


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a"], ["a", " "], "ab"])
def test_labels_must_be_told_apart(labels: object) -> None:
    with pytest.raises(DataError, match="labels"):
        ZeroShot(Knowing(), labels)


@pytest.mark.parametrize("template", ["about", "{} or {}", {"de": "nichts"}])
def test_a_template_has_one_place_for_a_label(template: object) -> None:
    with pytest.raises(DataError, match="template"):
        ZeroShot(Knowing(), ["a", "b"], template=template)


def test_the_command_line_has_the_same_template() -> None:
    from tfxl.cli import verbs

    assert verbs.TEMPLATE == TEMPLATE
