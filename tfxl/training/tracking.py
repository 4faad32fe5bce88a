"""Logs runs to Weights & Biases; the package is an extra, and works offline (`WANDB_MODE=offline`)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfxl.backend import keras
from tfxl.errors import InstallationError


class WandbLog(keras.callbacks.Callback):
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
        self.project, self.settings, self.directory, self.every = project, dict(settings), directory, every
        try:
            self._wandb = importlib.import_module("wandb")
        except ModuleNotFoundError:
            raise InstallationError(
                f"training.wandb_project = {project!r}, but the package wandb is not installed",
                expected="wandb",
                fix="pip install 'tfxl[wandb]', or remove training.wandb_project.",
            ) from None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the run."""
        folder = None if self.directory is None else str(self.directory)
        self._run = self._wandb.init(project=self.project, config=self.settings, dir=folder)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs now and then."""
        if batch % self.every == 0 and logs:
            values = {f"train/{name}": float(value) for name, value in logs.items() if name != "tokens"}
            self._run.log({**values, "train/learning_rate": float(self.model.optimizer.learning_rate.numpy())})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs what the epoch came to."""
        self._run.log({"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the run."""
        self._run.finish()
