"""Logs runs to Weights & Biases; the package is an extra, and works offline (`WANDB_MODE=offline`)."""

from __future__ import annotations

import importlib
import importlib.util
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tfxl.backend import keras
from tfxl.errors import InstallationError


class Every:
    """Tells when to look: at the first step of an epoch, then every `steps` steps (one call may stand for several).

    Args:
        steps: Steps between two looks.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self._next, self._before = steps, 0, 0

    def due(self, batch: int) -> bool:
        """Returns whether to look after `batch`, counted from 0 in each epoch."""
        if batch <= self._before:  # a new epoch
            self._next = 0
        self._before = batch
        if batch < self._next:
            return False
        self._next = batch + self.steps
        return True


def check_installed(project: str) -> None:
    """Checks that a run can be logged, before any work is done.

    Args:
        project: The project's name; empty where nothing is logged.

    Raises:
        InstallationError: The package is not installed.
    """
    if project and importlib.util.find_spec("wandb") is None:
        raise InstallationError(
            f"training.wandb_project = {project!r}, but the package wandb is not installed",
            expected="wandb",
            fix="pip install 'tfxl[wandb]', or remove training.wandb_project.",
        )


class Log(keras.callbacks.Callback):
    """A callback that holds something open while training."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """Closes what is open; nothing is, before training began and after the first call.

        Args:
            failed: Whether training ended with an error.
        """

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes at the end of training; Keras calls this only where it ends well."""
        self.close(failed=False)


@contextmanager
def closed_on_failure(callbacks: Iterable[keras.callbacks.Callback]) -> Iterator[None]:
    """Closes the logs among some callbacks if the block ends with an error, which is raised."""
    with ExitStack() as stack:
        for each in callbacks:
            if isinstance(each, Log):
                stack.callback(each.close, failed=True)
        yield
        stack.pop_all()  # Keras told them of the end


class WandbLog(Log):
    """Logs loss and learning rate while training, and everything an epoch came to.

    Args:
        project: The project's name.
        settings: Shown as the run's configuration.
        directory: Where its files go; the working directory if None.
        every: Steps between two records.

    Raises:
        InstallationError: The package is not installed.
    """

    _supports_tf_logs = True

    def __init__(self, project: str, *, settings: Mapping[str, Any], directory: Path | None, every: int = 10) -> None:
        super().__init__()
        check_installed(project)
        self.project, self.settings, self.directory = project, dict(settings), directory
        self._wandb, self._every = importlib.import_module("wandb"), Every(every)
        self._run: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the run."""
        folder = None if self.directory is None else str(self.directory)
        self._run = self._wandb.init(project=self.project, config=self.settings, dir=folder)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs now and then."""
        if self._every.due(batch) and logs:
            values = {f"train/{name}": float(value) for name, value in logs.items() if name != "tokens"}
            self._run.log({**values, "train/learning_rate": float(self.model.optimizer.learning_rate.numpy())})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs what the epoch came to."""
        self._run.log({"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}})

    def close(self, *, failed: bool) -> None:
        """Ends the run, which is shown as failed if training did."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=int(failed))
