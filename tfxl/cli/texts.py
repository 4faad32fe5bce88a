"""The texts that `tfxl predict` and `tfxl search` read, and the answers that are written, in the order given."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from rich.cells import cell_len

from tfxl import readers, registry
from tfxl.cli import terminal
from tfxl.errors import DataError, TfxlError, did_you_mean
from tfxl.example import Prediction

READERS = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".jsonl": "jsonl"}
CHUNK = 512
"""Texts that are answered together: enough to sort them by length, few enough to wait for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text to answer, or what is left of one that could not be read: then `error` says why.

    Attributes:
        text: The text.
        second_text: The second text of a pair.
        id: The row's name in a table, or its file and line.
        error: Why the text cannot be answered; empty if it can.
        choices: The texts to choose from.
    """

    text: str
    second_text: str | None = None
    id: str = ""
    error: str = ""
    choices: tuple[str, ...] = ()


Predict = Callable[..., list[Prediction]]
"""Gives one prediction a text, of `texts` and, where rows have them, `second_texts` and `choices`."""


def layout(inputs: Sequence[str], num_choices: int) -> tuple[str, ...]:
    """Returns what a model reads of a row, text by text: `("text", "second_text")` for pairs.

    Args:
        inputs: The task's `text_inputs`.
        num_choices: How many texts `choices` are.
    """
    return tuple(name for name in inputs for _ in range(num_choices if name == "choices" else 1))


def from_arguments(texts: Sequence[str], layout: Sequence[str] = ("text",)) -> Iterator[Row]:
    """Yields the texts of a command line; where the model reads several at once, they go together."""
    size = len(layout)
    if len(texts) % size:
        raise DataError(
            f"{len(texts)} texts for a model that reads {size} at once",
            expected=f"a multiple of {size}: {', '.join(layout)}, and so on",
            fix="Add what is missing.",
        )
    for start in range(0, len(texts), size):
        parts = texts[start : start + size]
        shown = [_shown(part) for part in parts]
        yield _row(shown, layout, error="" if shown == list(parts) else "not UTF-8")


def from_lines(stream: BinaryIO, layout: Sequence[str] = ("text",)) -> Iterator[Row]:
    """Yields a text a line; where the model reads several at once, tabs stand between them."""
    for number, line in enumerate(stream, 1):
        try:
            text, problem = line.decode("utf-8-sig" if number == 1 else "utf-8"), ""
        except UnicodeDecodeError as error:
            text, problem = line.decode("utf-8", "replace"), f"line {number}: byte {error.start} is not UTF-8"
        yield _line(text.rstrip("\r\n"), number, problem, layout)


def from_file(path: Path, columns: Mapping[str, str], layout: Sequence[str] = ("text",)) -> Iterator[Row]:
    """Yields the texts of a file: `.txt` has a text a line, `.csv`, `.tsv` and `.jsonl` have columns.

    Args:
        path: The file; it may be gzipped and end in `.gz`.
        columns: The columns of a table that hold `text`, `second_text`, `choices` (perhaps several) and `id`.
        layout: What the model reads of a row.

    Raises:
        DataError: The file cannot be read, or is of another kind.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix == ".txt":
        for number, text, problem in readers.lines(path):
            yield _line(text.rstrip("\r\n"), number, problem and f"line {number}: {problem}", layout)
    elif suffix in READERS:
        named = {name: name for name in dict.fromkeys(layout)} | dict(columns)
        settings: dict[str, Any] = {**named, "label": "", "on_error": "skip"}
        if "choices" in named:
            settings["choices"] = tuple(named["choices"].split(","))
        yield from _from_table(registry.build("readers", {"kind": READERS[suffix], **settings}), path)
    else:
        raise DataError(
            f"{path}: files that end in {suffix!r}",
            expected=f"one of .txt, {', '.join(READERS)}, each also with .gz",
            fix="Rename the file, or send its texts a line each: tfxl predict MODEL - < FILE",
        )


def _from_table(reader: readers.Reader, path: Path) -> Iterator[Row]:
    told = 0

    def skipped() -> Iterator[Row]:
        nonlocal told
        while told < len(reader.skipped):
            row = reader.skipped[told]
            told += 1
            yield Row("", id=f"{path}:{row.line}", error=f"line {row.line}: {row.reason}")

    for example in reader.read(path):
        yield from skipped()
        yield Row(example.text, example.second_text, example.id, choices=example.choices)
    yield from skipped()


def _line(text: str, number: int, problem: str, layout: Sequence[str]) -> Row:
    if problem:
        return Row(_shown(text), error=problem)
    parts, size = text.split("\t", len(layout) - 1) if len(layout) > 1 else [text], len(layout)
    if len(parts) < size:
        missing = "no tab between a text and its second text" if size == 2 else f"{len(parts)} of {size} texts"
        return Row(parts[0], "\t".join(parts[1:]), error=f"line {number}: {missing}")
    return _row(parts, layout)


def _row(parts: Sequence[str], layout: Sequence[str], *, error: str = "") -> Row:
    """Returns a row of texts in the order of the layout."""
    single = {name: part for name, part in zip(layout, parts, strict=True) if name != "choices"}
    choices = tuple(part for name, part in zip(layout, parts, strict=True) if name == "choices")
    return Row(**single, error=error, choices=choices)


def _shown(text: str) -> str:
    """Returns a text that can be written: lone surrogates become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_they_come(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yields what has arrived by now, as soon as something has, so that a pipe that stays open is answered at once."""
    arrived: queue.Queue[Row | Exception | None] = queue.Queue(maxsize=2 * CHUNK)

    def read() -> None:
        try:
            for row in rows:
                arrived.put(row)
            arrived.put(None)
        except Exception as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        found = [arrived.get()]
        while len(found) < CHUNK and not arrived.empty():
            found.append(arrived.get())
        yield [row for row in found if isinstance(row, Row)]
        if not isinstance(last := found[-1], Row):
            if last is not None:
                raise last
            return


def _own(stream: BinaryIO) -> BinaryIO:
    """Returns a handle of its own for the thread that reads, which may still wait for a line when the program ends.

    Python closes standard input then, and aborts if a thread has it locked.
    """
    try:
        return os.fdopen(os.dup(stream.fileno()), "rb")
    except OSError:  # it is no file of the system
        return stream


def standard_input() -> BinaryIO | None:
    """Returns the bytes of standard input; None if it is closed, as Python says it."""
    return sys.stdin.buffer if sys.stdin is not None else None


def in_chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yields full chunks, and what is left at the end."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def chunks(
    texts: Sequence[str],
    file: Path | None,
    *,
    columns: Mapping[str, str],
    layout: Sequence[str],
    stdin: BinaryIO | None,
) -> Iterator[list[Row]]:
    """Yields all that is to be answered, in order: the texts, with the lines of `stdin` where there is a `-`; the file.

    Args:
        texts: The texts of the command line.
        file: A file to read after them.
        columns: The columns of the file.
        layout: What the model reads of a row.
        stdin: What `-` stands for; None if it is closed.

    Raises:
        DataError: Texts are missing, the file cannot be read, or standard input is asked for and closed.
    """
    if stdin is None and "-" in texts:
        raise DataError("standard input is closed", expected="a text a line on it", fix="Give it a file: - < FILE")
    start = 0
    for place, text in enumerate([*texts, "-"]):
        if text == "-":
            yield from in_chunks(from_arguments(texts[start:place], layout))
            start = place + 1
            if place < len(texts) and stdin is not None:
                yield from as_they_come(from_lines(_own(stdin), layout))
    if file is not None:
        yield from in_chunks(from_file(file, columns, layout))


def check_answered(failed: int, total: int) -> None:
    """Refuses to end in peace where texts were not answered.

    Raises:
        DataError: Some were not.
    """
    if failed:
        raise DataError(
            f"{failed} of {total} texts could not be answered",
            expected="texts in UTF-8",
            fix="Correct them: in the output an error stands in the place of each. The others were answered.",
        )


def answers(predict: Predict, rows: Sequence[Row]) -> list[Prediction | str]:
    """Returns a prediction for each row, or the reason why there is none; one bad text never loses the others.

    Raises:
        Exception: What the model raised, if it is no complaint about a text: several texts were given and all failed.
    """
    good = [row for row in rows if not row.error]
    found = _each(predict, good)
    failed = [answer for answer in found if isinstance(answer, Exception)]
    if len(failed) == len(good) > 1 and not isinstance(failed[0], TfxlError):
        raise failed[0]
    rest = iter(found)
    every = [row.error or next(rest) for row in rows]
    return [_reason(answer) if isinstance(answer, Exception) else answer for answer in every]


def _each(predict: Predict, rows: Sequence[Row]) -> Sequence[Prediction | Exception]:
    if not rows:
        return []
    try:
        return predict(**_columns(rows))
    except Exception as error:
        if len(rows) == 1:
            return [error]
    # Halving finds the one text that cannot be answered in few calls.
    middle = len(rows) // 2
    return [*_each(predict, rows[:middle]), *_each(predict, rows[middle:])]


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns what a model is asked: all rows are of one layout."""
    asked: dict[str, Any] = {"texts": [row.text for row in rows]}
    if rows[0].second_text is not None:
        asked["second_texts"] = [row.second_text or "" for row in rows]
    if rows[0].choices:
        asked["choices"] = [row.choices for row in rows]
    return asked


def _reason(error: Exception) -> str:
    return error.got if isinstance(error, TfxlError) else f"{type(error).__name__}: {error}".partition("\n")[0]


def as_json(row: Row, answer: Prediction | str) -> str:
    """Returns one line of JSON: the text and its answer, or an `error`. Fields that are empty are left out."""
    told = {"error": answer} if isinstance(answer, str) else asdict(answer, dict_factory=_without_empty)
    return json.dumps({**asdict(row, dict_factory=_without_empty), **told}, ensure_ascii=False, default=_rounded)


def _rounded(vector: Iterable[float]) -> list[float]:
    """Returns the numbers of an array with the digits that a float of 32 bits has."""
    return [float(f"{number:.7g}") for number in vector]


def _without_empty(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the fields of a record that say something: a text always does, and so do `False` and 0."""
    return {name: value for name, value in fields if name == "text" or value not in (None, "", (), {})}


def as_line(row: Row, answer: Prediction | str) -> str:
    """Returns one line for people: the answer, its score where it has one, and the text."""
    text = " | ".join(part.replace("\n", " ") for part in (row.text, row.second_text) if part is not None)
    if isinstance(answer, str):
        return f"error: {answer}  {text}".rstrip()
    found = _found(answer)
    width = max(map(cell_len, answer.scores), default=0)
    score = f"{answer.scores[answer.label]:6.1%}  " if answer.label in answer.scores else ""
    if row.choices and answer.matches:
        text = f"{text} | {answer.matches[0].text}"
    cut = "  [cut: longer than the model reads]" if answer.truncated else ""
    return f"{found}{' ' * (width - cell_len(found))}  {score}{text}{cut}"


def _found(answer: Prediction) -> str:
    """Returns what was found in words; a dash if nothing was."""
    spans = "; ".join(f"{span.label} {span.text}".strip() for span in answer.spans)
    matches = "; ".join(f"{match.score:.3f} {match.id or match.text}" for match in answer.matches)
    tasks = ", ".join(f"{task}: {_found(each)}" for task, each in answer.tasks.items())
    value = "" if answer.value is None else f"{answer.value:.3f}"
    return answer.label or ", ".join(answer.labels) or spans or matches or tasks or value or "–"


def write_answers(
    predict: Predict,
    parts: Iterable[Sequence[Row]],
    stream: TextIO,
    *,
    style: Callable[[Row, Prediction | str], str],
) -> tuple[int, int]:
    """Writes the answers part by part, each as soon as it is there; returns how many texts failed, and of how many.

    Args:
        predict: What answers.
        parts: The rows, in their order.
        stream: Where the answers go.
        style: Gives the line of an answer.
    """
    failed = total = 0
    for rows in parts:
        found = answers(predict, rows)
        total += len(found)
        failed += sum(isinstance(answer, str) for answer in found)
        stream.writelines(f"{style(row, answer)}\n" for row, answer in zip(rows, found, strict=True))
        stream.flush()
    return failed, total


FORMATS: dict[str, Callable[[Row, Prediction | str], str]] = {"table": as_line, "jsonl": as_json}


def style(format: str, *, default: str) -> Callable[[Row, Prediction | str], str]:
    """Returns the function that writes an answer.

    Raises:
        TfxlError: There is no such format.
    """
    terminal.check_format(format or default, FORMATS)
    return FORMATS[format or default]


def columns(pairs: Iterable[str]) -> dict[str, str]:
    """Returns the columns that `field=NAME` name.

    Raises:
        TfxlError: One of them is not of this form, or there is no such field.
    """
    known, found = ("text", "second_text", "choices", "id"), dict[str, str]()
    for pair in pairs:
        field, _, name = pair.partition("=")
        if not name or field not in known:
            raise TfxlError(
                f"--column {pair}",
                expected=f"one of {', '.join(f'{field}=NAME' for field in known)}",
                fix=f"{did_you_mean(field, known)}Name the column, such as --column text=review.",
            )
        found[field] = name
    return found


def listed(labels: str) -> list[str]:
    """Returns the labels that commas part."""
    return [label.strip() for label in labels.split(",")]
