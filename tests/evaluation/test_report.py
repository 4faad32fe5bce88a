"""The page: self-contained, well formed, and safe to open whatever the texts hold."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.toy_answers import LABELS, QUICK, evaluated, evaluated_joint, evaluated_spans
from tfxl.errors import DataError
from tfxl.evaluation import report
from tfxl.evaluation.evaluate import evaluate
from tfxl.evaluation.groups import ALL
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example, Prediction
from tfxl.metrics.accuracy import Accuracy

NASTY = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u202e{{ 7 * 7 }}'
VOID = {"meta", "link", "br", "img", "hr", "input"}
LINKS = {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "background"}


class Page(HTMLParser):
    """Reads the page: tags in balance, links, texts by the attributes of the tag that holds them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict]] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, dict, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((*self.open[-1], data))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = report.write(
        tmp_path_factory.mktemp("report") / "report.html",
        evaluated(right=0.6),
        title="sentiment <1>",
        baseline=evaluated(right=0.3, seed=5),
        history={"loss": [1.0, 0.5], "accuracy/de": [0.3, 0.5]},
        run={"name": "sentiment", "data": {"languages": ("en", "de")}, "head": None},
    )
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for _, attributes in page.tags:
        assert all(attributes[name].startswith("#") for name in LINKS & attributes.keys())
        assert "@import" not in attributes.get("style", "") and "http" not in attributes.get("style", "")
    styles = "".join(text for tag, _, text in page.texts if tag in ("style", "script"))
    assert "http" not in styles and "@import" not in styles and "url(" not in styles
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_sections_and_headline(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {"languages", "change", "labels", "groups", "confidence", "hardest", "run"} <= set(ids)
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    headings = [text for tag, _, text in page.texts if tag in ("h1", "h3")]
    assert "sentiment <1>" in headings
    assert {"Mean over languages", "Worst language", "Transfer gap"} <= set(headings)


def test_texts_have_their_language_and_direction(page: Page) -> None:
    quotes = [attributes for tag, attributes in page.tags if tag == "blockquote"]
    assert quotes and all(attributes["dir"] == "auto" for attributes in quotes)
    assert {attributes["lang"] for attributes in quotes} == {"en", "de", "zh", "ar", "hi", "th"}


def test_tables_have_a_value_to_sort_by(page: Page) -> None:
    assert sum(tag == "svg" for tag, _ in page.tags) == 8
    values = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    assert values and all(float(value) == float(value) for value in values)


def test_numbers_are_those_of_the_evaluation(page: Page) -> None:
    evaluation = evaluated(right=0.6)
    strong = {text for tag, _, text in page.texts if tag == "strong"}
    assert {f"{score.value:.3f}" for score in evaluation.by("language").values()} <= strong


def test_labels_of_all_rows_and_of_every_group(page: Page) -> None:
    headings = [text for tag, _, text in page.texts if tag == "h3"]
    assert {"By language", "By script", "By length", "By domain"} <= set(headings)
    evaluation = evaluated(right=0.6)
    cells = [text for tag, attributes, text in page.texts if tag == "td" and "cell" in attributes.get("class", "")]
    assert [int(cell) for cell in cells] == [n for matrix in evaluation.confusions.values() for n in matrix.flat]
    names = [text for tag, _, text in page.texts if tag == "bdi"]
    assert {"Arabic", "Devanagari", "over 200", "hotel"} <= set(names)


def test_a_kind_of_group_with_one_value_has_no_tables() -> None:
    page = Page(report.render(evaluated(languages=("ar",))))
    headings = {text for tag, _, text in page.texts if tag == "h3"}
    assert "By length" in headings and not headings & {"By language", "By script"}


def test_texts_and_labels_cannot_inject_anything() -> None:
    labels = (NASTY, "b")
    examples = [
        Example(NASTY, second_text=NASTY, label=labels[i % 2], language=language, domain=NASTY + language, id=NASTY)
        for language in ("en", "x" + NASTY)
        for i in range(4)
    ]
    predictions = [Prediction(labels[(i + 1) % 2], dict.fromkeys(labels, 0.5)) for i in range(8)]
    evaluation = evaluate(examples, predictions, [Accuracy()], trained_languages=("en",), settings=QUICK)
    text = report.render(evaluation, title=NASTY, history={NASTY: [1.0]}, run={"name": NASTY, NASTY: {NASTY: 1}})
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert any(data == NASTY for tag, _, data in page.texts if tag == "blockquote")
    assert "49" not in [data.strip() for _, _, data in page.texts]


def test_answers_that_are_no_labels_have_no_label_sections() -> None:
    examples = [Example("a", label=("x",), language="en"), Example("b", label=("y", "z"), language="en")]
    evaluation = evaluate(
        examples, [Prediction("x"), Prediction("q")], [Accuracy()], answers=[("x",), ("q",)], settings=QUICK
    )
    page = Page(report.render(evaluation))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert "hardest" in ids and not ids & {"labels", "confidence", "change", "groups"}


def test_many_labels_have_tables_but_no_matrix() -> None:
    evaluation = evaluated(labels=tuple(f"intent {number}" for number in range(20)), languages=("en",))
    text = report.render(evaluation)
    assert "intent 19" in text and 'class="plot confusions"' not in text
    assert "Most often taken for" in text and "was <bdi>" not in text
    matrix = evaluation.confusions[ALL] * (1 - np.eye(20, dtype=int))
    row = int(np.argmax(matrix.max(axis=1)))
    assert f"<bdi>intent {int(np.argmax(matrix[row]))} ({matrix[row].max()})</bdi>" in text


def test_languages_without_a_score_are_listed_with_their_rows() -> None:
    whole = evaluated_spans({"en": "B-PER", "de": "B-PER", "hi": "B-LOC"}, rows=7)
    scores = tuple(score for score in whole.scores if "hi" not in score.group.values())
    text = report.render(dataclasses.replace(whole, scores=scores))
    lines = re.findall(r"<tr class=.*?</tr>", text, re.DOTALL)
    assert len(lines) == 3 and all('data-value="7">7</td>' in line for line in lines)
    assert "Hindi" in lines[2] and "<strong>–</strong>" in lines[2]
    assert "The mean span F1 over 2 languages is 1.000. 1 language has no score." in text


UNDEFINED = {
    "a task without a row": lambda: evaluated_joint({"en": "mood", "de": "mood"}),
    "one language without a score": lambda: evaluated_spans({"en": "B-PER", "de": "B-LOC", "hi": "O"}),
    "no trained language with a score": lambda: evaluated_spans({"en": "O", "de": "B-LOC"}),
    "no score at all": lambda: evaluated_spans({"en": "O", "de": "O"}),
    "no row that counts": lambda: dataclasses.replace(evaluated_spans({"en": "O", "hi": "O"}), scores=()),
}


@pytest.mark.parametrize("made", UNDEFINED.values(), ids=UNDEFINED)
def test_scores_that_are_not_defined_are_dashes(made: Callable[[], Evaluation], tmp_path: Path) -> None:
    evaluation = made()
    history = {"loss": [1.0, 0.5], "validation/hi": [float("nan")] * 2}
    path = report.write(tmp_path / "report.html", evaluation, baseline=evaluation, history=history)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "–" in {data for tag, attributes, data in page.texts if attributes.get("class") == "big" or tag == "strong"}
    shown = re.sub(r"<(style|script)[ >].*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", shown, re.IGNORECASE)


@pytest.mark.parametrize("samples", [0, 50])
def test_one_language_without_training_rows_known(samples: int) -> None:
    evaluation = evaluated(languages=("ar",), trained=(), settings=QUICK.model_copy(update={"samples": samples}))
    text = report.render(evaluation)
    assert "needs languages with and without training rows" in text
    assert "Training rows</button>" not in text
    assert "nan" not in re.sub(r"<(style|script|svg).*?</\1>", "", text, flags=re.DOTALL).lower().replace("arab", "")


def test_a_baseline_of_other_rows_is_refused(tmp_path: Path) -> None:
    evaluation = evaluated()
    other = dataclasses.replace(evaluation, rows=evaluation.rows[1:])
    with pytest.raises(DataError, match="same rows"):
        report.write(tmp_path / "report.html", evaluation, baseline=other)
    assert not [*tmp_path.iterdir()]
    assert evaluation.labels == LABELS
