"""What a person sees: results on standard output, progress and errors on standard error.

On a terminal there are colours, live bars and framed tables; in a pipe or a log there are plain lines that are never
wrapped or cut.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich import progress as bars
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfxl.errors import TfxlError, did_you_mean
from tfxl.progress import Progress

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 5.0
_NUMBER = re.compile(r"[-+−<]?[\d.,]+( ?%)?( ?\[.*\])?|nan|–?")


_NOISE = re.compile(
    rb"[IW]\d{4} |WARNING: All log messages before absl|To enable the following instr|.* call to cuInit"
)


def load_tensorflow() -> None:
    """Imports TensorFlow and lets it look for devices, without what it writes meanwhile."""
    with quiet_start():
        from tfxl.backend import tf

        tf.config.list_physical_devices()


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps back what TensorFlow's libraries write while they are imported, which no setting silences.

    Their errors are shown; their remarks on the processor and on absent graphics cards are not.
    """
    try:
        number = sys.stderr.fileno()
    except (OSError, AttributeError):  # standard error is no file, as in tests
        yield
        return
    sys.stderr.flush()
    shown = os.dup(number)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), number)
        try:
            yield
        finally:
            os.dup2(shown, number)
            os.close(shown)
            held.seek(0)
            for line in held:
                if not _NOISE.match(line):
                    os.write(number, line)


def progress() -> Progress:
    """Returns live bars if standard error is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


def write(text: str) -> None:
    """Writes a line to standard output, as it is."""
    sys.stdout.write(f"{text}\n")


def check_format(format: str, known: Collection[str]) -> None:
    """Refuses a `--format` that a verb does not write.

    Raises:
        TfxlError: It is none of the known ones.
    """
    if format not in known:
        raise TfxlError(
            f"--format {format}",
            expected=f"one of {', '.join(known)}",
            fix=f"{did_you_mean(format, known)}Name one of these.",
        )


def show_error(error: TfxlError) -> None:
    """Shows what was got, what was expected and how to mend it on standard error."""
    if not sys.stderr.isatty():
        sys.stderr.write(f"{error}\n")
        return
    answers = Table.grid(padding=(0, 1))
    for name, colour in (("got", "red"), ("expected", "yellow"), ("fix", "green")):
        answers.add_row(Text(name, style=f"bold {colour}"), Text(getattr(error, name)))
    Console(stderr=True).print(answers)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Shows a table on standard output."""
    if sys.stdout.isatty():
        Console().print(_framed(title, columns, rows))
    else:
        sys.stdout.writelines(f"{line}\n" for line in plain_table(title, columns, rows))


class Bars(Progress):
    """Live bars on a terminal; what is said and shown meanwhile stands above them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: bars.Progress | None = None
        self._running = 0

    def say(self, text: str) -> None:
        """Writes a line to standard error, above the bars."""
        self._console.print(Text(text))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Shows a table on standard output; above the bars if that is the same terminal."""
        if sys.stdout.isatty():
            self._console.print(_framed(title, columns, rows))
        else:
            show_table(title, columns, rows)

    def track(self, items: Iterable[Item], *, what: str, total: int | None = None) -> Iterator[Item]:
        """Yields the items and draws how far they are; bars inside a bar vanish when they are done."""
        live = self._start()
        task = live.add_task(what, total=total)
        try:
            for item in items:
                yield item
                live.advance(task)
        finally:
            self._stop(live, task)

    def _start(self) -> bars.Progress:
        if self._bars is None:
            columns = (
                bars.TextColumn("{task.description}", markup=False),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TimeElapsedColumn(),
                bars.TimeRemainingColumn(),
            )
            self._bars = bars.Progress(*columns, console=self._console, redirect_stdout=False)
            self._bars.start()
        self._running += 1
        return self._bars

    def _stop(self, live: bars.Progress, task: bars.TaskID) -> None:
        self._running -= 1
        if self._running:
            live.remove_task(task)
        else:
            live.stop()
            self._bars = None


class Lines(Progress):
    """Lines with the time in front, for logs: at most one every few seconds for all that is counted."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def say(self, text: str) -> None:
        """Writes a line to standard error."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Writes a table to standard output."""
        show_table(title, columns, rows)
        sys.stdout.flush()

    def track(self, items: Iterable[Item], *, what: str, total: int | None = None) -> Iterator[Item]:
        """Yields the items and writes from time to time how many there were."""
        start, told, count = time.monotonic(), False, 0
        for count, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - max(self._last, start) >= SECONDS_BETWEEN_LINES:
                self._last, told = now, True
                self.say(f"{what}: {count}{_remaining(count, total, now - start)}")
        if told:
            self.say(f"{what}: {count} in {time.monotonic() - start:.0f} s")


def plain_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Returns a table as lines whose columns are aligned, whatever the script of the cells."""
    body = [[str(cell) for cell in row] for row in rows]
    right = _numeric(body, len(columns))
    cells = [[str(name) for name in columns], *body]
    widths = [max(cell_len(row[index]) for row in cells) for index in range(len(columns))]
    lines = ["  ".join(map(_padded, row, widths, right)) for row in cells]
    return ([title] if title else []) + [line.rstrip() for line in lines]


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _framed(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    body = [[str(cell) for cell in row] for row in rows]
    table = Table(title=Text(title) if title else None, title_justify="left", header_style="bold")
    for name, right in zip(columns, _numeric(body, len(columns)), strict=True):
        table.add_column(Text(str(name)), justify="right" if right else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _numeric(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Says for each column whether it holds numbers only."""
    return [bool(rows) and all(_NUMBER.fullmatch(row[index]) for row in rows) for index in range(columns)]


def _remaining(count: int, total: int | None, seconds: float) -> str:
    if not total or count > total:
        return ""
    return f" of {total} ({count / total:.0%}), about {seconds / count * (total - count):.0f} s left"
