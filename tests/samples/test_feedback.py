"""The sample is data that people train on: its counts, classes, scripts and splits are checked like code."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from tfxl import languages, samples
from tfxl.cleaners.duplicates import Duplicates
from tfxl.cleaners.unicode import Unicode
from tfxl.example import Example
from tfxl.readers import expand
from tfxl.readers.jsonl import Jsonl

LARGE, SMALL = ("de", "en", "es", "zh"), ("ar", "hi", "id", "pt", "ru", "sw", "tr", "vi")
ROWS = {**dict.fromkeys(LARGE, (150, 30, 60)), **dict.fromkeys(SMALL, (60, 15, 45))}
SPLITS = ("train", "validation", "test")
LABELS = {"negative", "neutral", "positive"}
DOMAINS = {"hotel", "phone", "food", "delivery", "app", "service", "shop", "transport", "health", "education"}
CASES = {"plain", "negation", "irony", "mixed", "implicit"}
SCRIPTS = {"Latn": "LATIN", "Arab": "ARABIC", "Deva": "DEVANAGARI", "Cyrl": "CYRILLIC", "Hans": "CJK"}


def read(language: str, split: str, **columns: str) -> list[Example]:
    ((path, code),) = expand(f"sample:feedback/{{language}}.{split}.jsonl", [language])
    return list(Jsonl(id="id", domain="domain", **columns).read(path, language=code))


@pytest.fixture(scope="module")
def feedback() -> dict[tuple[str, str], list[Example]]:
    return {(language, split): read(language, split) for language in ROWS for split in SPLITS}


def test_there_are_no_other_files() -> None:
    found = {path.name for path in (samples.folder() / "feedback").iterdir()}
    assert found == {f"{language}.{split}.jsonl" for language in ROWS for split in SPLITS}


@pytest.mark.parametrize("language", ROWS)
def test_rows_classes_domains_and_cases(language: str, feedback: dict) -> None:
    for split, rows in zip(SPLITS, ROWS[language], strict=True):
        examples = feedback[language, split]
        assert Counter(example.label for example in examples) == dict.fromkeys(LABELS, rows // 3)
        domains = Counter(example.domain for example in examples)
        assert set(domains) == DOMAINS and max(domains.values()) - min(domains.values()) <= 1
        cases = Counter(example.label for example in read(language, split, label="case"))
        assert set(cases) == CASES and cases["plain"] <= 0.75 * rows


@pytest.mark.parametrize("language", ROWS)
def test_texts_are_in_the_language_s_script(language: str, feedback: dict) -> None:
    texts = "".join(example.text for split in SPLITS for example in feedback[language, split])
    letters = [unicodedata.name(letter, "").split()[0] for letter in texts if letter.isalpha()]
    script = SCRIPTS[languages.find(language).script]
    assert letters.count(script) >= 0.97 * len(letters)


def test_no_text_stands_twice_in_any_split_or_language(feedback: dict) -> None:
    cleaner = Duplicates(threshold=0.6)
    everything = [Example(example.text) for examples in feedback.values() for example in examples]
    assert all(cleaner.clean(example) is not None for example in everything)


def test_ids_are_unique_and_do_not_tell_the_label(feedback: dict) -> None:
    examples = [example for examples in feedback.values() for example in examples]
    assert len({example.id for example in examples}) == len(examples) == 1920
    assert all(example.id.startswith(f"{example.language}-") for example in examples)
    for language in ROWS:
        labels = [example.label for example in feedback[language, "train"]]
        assert max(len(run) for run in runs(labels)) <= 10


def runs(labels: list[str]) -> list[list[str]]:
    found: list[list[str]] = []
    for label in labels:
        if found and found[-1][0] == label:
            found[-1].append(label)
        else:
            found.append([label])
    return found


def test_texts_are_clean_and_short(feedback: dict) -> None:
    cleaner = Unicode()
    for examples in feedback.values():
        for example in examples:
            assert cleaner.clean(example) == example
            assert example.text == example.text.strip() and 5 <= len(example.text) <= 260


def test_length_does_not_tell_the_class(feedback: dict) -> None:
    for language in ROWS:
        lengths = {label: [] for label in LABELS}
        for split in SPLITS:
            for example in feedback[language, split]:
                lengths[example.label].append(len(example.text))
        means = [sum(values) / len(values) for values in lengths.values()]
        assert max(means) <= 1.6 * min(means)
