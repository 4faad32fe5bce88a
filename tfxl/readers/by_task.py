"""Reads the data of several tasks for a joint run, each task with a reader of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from tfxl import registry
from tfxl.errors import DataError
from tfxl.example import UNKNOWN_LANGUAGE, Example
from tfxl.readers import BadRow, Reader

PLACE = "{task}"


class ByTask(Reader):
    """Reads one file for each task; `{task}` in the path stands for the task's name.

    Its rows are labelled by task, as the task `joint` wants them: `{"sentiment": "positive"}`. Each language is read
    task by task; training shuffles rows anyway.

    Example:
        >>> ByTask(tasks={"sentiment": "jsonl", "names": {"kind": "conll"}}).read("data/{task}.train")
    """

    class Settings(Reader.Settings):
        """Who reads what."""

        tasks: dict[str, str | dict[str, Any]] = Field(default_factory=dict)
        """The reader of each task by the task's name."""

    settings: Settings
    reads_files = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        on_error = {"on_error": self.settings.on_error}
        self.readers: dict[str, Reader] = {
            task: registry.build("readers", spec, **on_error) for task, spec in self.settings.tasks.items()
        }

    @property
    def names_languages(self) -> bool:
        """Whether the rows of every task say their language."""
        return bool(self.readers) and all(reader.names_languages for reader in self.readers.values())

    def check(self, path: str | Path) -> None:
        """Checks that each task has its file.

        Raises:
            DataError: There are no tasks, no `{task}` in the path, or a file is missing.
        """
        if not self.readers or PLACE not in str(path):
            raise DataError(
                f"{path} for the tasks {', '.join(self.readers) or '(none)'}",
                expected=f"tasks, and {PLACE} in the path where the name of each belongs",
                fix='Name them in the reader: tasks = {NAME = "jsonl", …}.',
            )
        for task, reader in self.readers.items():
            if reader.reads_files and not Path(self._path(path, task)).exists():
                raise DataError(
                    f"{self._path(path, task)}: there is no such file for the task {task!r}",
                    expected="a file for each task",
                    fix="Correct the path or the task's name.",
                )

    def read(self, path: str | Path, *, language: str = UNKNOWN_LANGUAGE) -> Iterator[Example]:
        """Yields the examples of the tasks one after another."""
        self.check(path)
        for task, reader in self.readers.items():
            seen = len(reader.skipped)
            for example in reader.read(self._path(path, task), language=language):
                yield replace(example, label={task: example.label})  # None where pairs need no label
            self.skipped += [BadRow(*row) for row in reader.skipped[seen:]]

    @staticmethod
    def _path(path: str | Path, task: str) -> str:
        return str(path).replace(PLACE, task)
