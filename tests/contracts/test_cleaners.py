"""What every cleaner must hold; a new file in the drawer is tested with no new test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tfxl import registry
from tfxl.cleaners import Cleaner, CleaningReport, clean_all
from tfxl.errors import RecipeError
from tfxl.example import Example

LANGUAGES = {"language_id": {"languages": ("en", "de", "zh")}}  # few, to load little


@pytest.fixture(params=registry.names("cleaners"))
def cleaner(request: pytest.FixtureRequest) -> Cleaner:
    return registry.build("cleaners", {"kind": request.param, **LANGUAGES.get(request.param, {})})


def test_is_documented_and_repeatable(cleaner: Cleaner) -> None:
    assert type(cleaner).__doc__
    assert registry.build("cleaners", cleaner.spec()).spec() == cleaner.spec()
    assert registry.build("cleaners", cleaner.kind).settings is not None


def test_refuses_unknown_settings(cleaner: Cleaner) -> None:
    with pytest.raises(RecipeError, match="there is no such setting"):
        type(cleaner)(nonsense=1)


def test_leaves_good_texts_of_any_script_alone(cleaner: Cleaner, multilingual_texts: list[str]) -> None:
    texts = [text for text in multilingual_texts if text.strip() and "\u0301" not in text]
    for text in texts:
        example = Example(text, label="x", language="qaa", domain="hotel", id="1")
        assert cleaner.clean(example) == example


def test_changes_nothing_but_texts_and_language(cleaner: Cleaner, multilingual_texts: list[str]) -> None:
    for text in multilingual_texts:
        example = Example(text, text[::-1], label=("x", 1), language="und", domain="hotel", id="1")
        cleaned = cleaner.clean(example)
        if cleaned is not None:
            own = {"text": example.text, "second_text": example.second_text, "language": example.language}
            assert replace(cleaned, **own) == example


def test_reports_what_it_did(cleaner: Cleaner, multilingual_texts: list[str]) -> None:
    examples = [Example(text, language=code) for text in multilingual_texts for code in ("qaa", "qab")]
    report: CleaningReport = {}
    kept = list(clean_all([cleaner], examples, report))
    assert set(report) == {(cleaner.kind, "qaa"), (cleaner.kind, "qab")}
    assert sum(count.seen for count in report.values()) == len(examples)
    assert sum(count.dropped for count in report.values()) == len(examples) - len(kept)


def test_drops_nothing_when_it_may_not(cleaner: Cleaner, multilingual_texts: list[str]) -> None:
    examples = [Example(text) for text in multilingual_texts * 2]
    assert len(list(clean_all([cleaner], examples, {}, may_drop=False))) == len(examples)
