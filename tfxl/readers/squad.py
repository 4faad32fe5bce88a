"""Reads questions about passages with their answers (SQuAD): the nested JSON file, or one question a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tfxl import languages
from tfxl.errors import DataError, did_you_mean
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers import Reader, as_text, json_object, lines, reject_line, whole

_NESTED = re.compile(r'\{\s*("version"\s*:\s*("[^"]*"|[\d.]+)\s*,?\s*)?("data"\s*:|$)')
_RIGHT = (
    'a question, its context, and answers as {"text": "…", "answer_start": 0}, each standing in the context at its '
    "start, counted in characters from 0"
)


class Squad(Reader):
    """Reads the files of SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDiQA-GoldP and AfriQA, plain or gzipped (`.gz`).

    The question becomes `text`, the context `second_text`, the label a tuple of answers `(text, start)`, start being a
    character of the context. A question that is impossible, or that has no answers, has an empty tuple. Answers are a
    list of `{"text", "answer_start"}`, or one such object, or an object of two lists. A nested file is held in memory
    while it is read; the questions of one are counted, since its lines mean nothing.

    Example:
        >>> example = next(Squad().read("xquad.de.json", language="de"))
        >>> example.second_text[example.label[0][1] :].startswith(example.label[0][0])
        True
    """

    class Settings(Reader.Settings):
        """What the fields of a question are called; in a nested file `context` and `title` count as its fields."""

        question: str = Field("question", min_length=1)
        context: str = Field("context", min_length=1)
        answers: str = "answers"
        """Empty for questions whose answers are not known."""
        language: str = ""
        """The field with the question's language."""
        domain: str = ""
        id: str = "id"
        context_language: str = ""
        """The language of all contexts, where it is not that of the questions: answers are compared by its rules."""

        @field_validator("context_language")
        @classmethod
        def _is_a_language(cls, code: str) -> str:
            return languages.find(code).code if code else ""

    settings: Settings

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the questions of one file."""
        return self.some(path, self._examples(path, language))

    def _examples(self, path: str | Path, language: str) -> Iterator[Example]:
        nested = _is_nested(path)
        for number, values in _questions(path) if nested else self._rows(path):
            try:
                yield self._example(f"{path}:{number}", values, language)
            except ValueError as error:
                unit = "question" if nested else "line"
                self.reject(path, number, f"{_named(values)}{error}", expected=_RIGHT, unit=unit)

    def _rows(self, path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
        for line in lines(path):
            if not line.text.strip() or reject_line(self, path, line):
                continue
            try:
                yield line.number, json_object(line.text)
            except ValueError as error:
                self.reject(path, line.number, str(error), expected="SQuAD's JSON, or one JSON object a line")

    def _example(self, place: str, values: Mapping[str, Any], language: str) -> Example:
        named = {field: getattr(self.settings, field) for field in ("question", "context", "language", "domain", "id")}
        found = {field: as_text(_value(values, name), name) for field, name in named.items() if name}
        for field in ("question", "context"):
            if found[field] is None:
                raise ValueError(f"field {named[field]!r} is null")
        context = found["context"] or ""
        return Example(
            text=found["question"] or "",
            second_text=context,
            label=self._label(values, context),
            language=found.get("language") or language,
            domain=found.get("domain") or "",
            id=found.get("id") or place,
            source=place,
            second_language=self.settings.context_language,
        )

    def _label(self, values: Mapping[str, Any], context: str) -> tuple[tuple[str, int], ...] | None:
        name = self.settings.answers
        if not name:
            return None
        if values.get("is_impossible") is True:
            return ()
        answers = [(as_text(answer, name), start) for answer, start in _pairs(_value(values, name), name)]
        # Some sets write "no answer" as an empty text.
        return tuple((answer, _checked(answer, start, context)) for answer, start in answers if answer)


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise ValueError(f"no field {name!r} (there are: {', '.join(values)}) {did_you_mean(name, values)}".rstrip())
    return values[name]


def _pairs(answers: Any, name: str) -> list[tuple[Any, Any]]:
    """Returns texts and starts of answers in any of the three forms."""
    try:
        if isinstance(answers, list):
            return [(answer["text"], answer["answer_start"]) for answer in answers]
        if answers is None:
            return []
        texts, starts = answers["text"], answers["answer_start"]
        return list(zip(texts, starts, strict=True)) if isinstance(texts, list) else [(texts, starts)]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f'field {name!r} holds no answers of the form {{"text", "answer_start"}}') from None


def _checked(answer: str, start: Any, context: str) -> int:
    """Returns the start of an answer as a number, if the answer stands there."""
    if isinstance(start, bool) or not re.fullmatch(r"\d{1,9}", str(start), re.ASCII):
        raise ValueError(f"answer {answer!r} starts at {start!r}, which is no number")
    if context.startswith(answer, int(start)):
        return int(start)
    place = context.find(answer)
    hint = f"; it stands at {place}" if place >= 0 else ", nor anywhere else"
    raise ValueError(f"answer {answer!r} does not stand at character {start} of the context{hint}")


def _named(values: Mapping[str, Any]) -> str:
    return f"question {values['id']!r}: " if isinstance(values.get("id"), str) else ""


def _is_nested(path: str | Path) -> bool:
    """Whether a file is one JSON object with `data`, rather than one object a line."""
    first = next((line.text.strip() for line in lines(path) if line.text.strip()), "")
    return _NESTED.match(first) is not None


def _questions(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields number and fields of each question of a nested file, with its context and the article's title."""
    try:
        articles = _list(json_object(whole(path)), "data", "the file")
        number = 0
        for article in articles:
            for paragraph in _list(article, "paragraphs", f"the article before question {number + 1}"):
                for question in _list(paragraph, "qas", f"the paragraph before question {number + 1}"):
                    number += 1
                    shared = {"title": article.get("title"), "context": paragraph.get("context")}
                    yield number, {**shared, **(question if isinstance(question, dict) else {})}
    except ValueError as error:
        raise DataError(
            f"{path}: {error}",
            expected='{"data": [{"paragraphs": [{"context": "…", "qas": [{"id", "question", "answers"}]}]}]}',
            fix="Correct the file, or fetch it again.",
        ) from None


def _list(value: Any, key: str, where: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{where} has no list {key!r}")
    return found
