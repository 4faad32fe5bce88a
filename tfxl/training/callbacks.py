"""What happens while `model.fit` runs: progress, logs, scores of validation, early stopping, and a stop before NaN."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.plugins.hparams import api as hparams

from tfxl.backend import keras, tf
from tfxl.errors import RecipeError
from tfxl.progress import Progress
from tfxl.training.tracking import Every, Log, WandbLog

if TYPE_CHECKING:
    from tfxl.training.fit import Data, Settings

Score = Callable[[], dict[str, float]]
Logs = dict[str, Any]

TEXT_SAMPLES = 8


def watchers(
    settings: Settings,
    batches: Data,
    *,
    directory: Path | None,
    config: Mapping[str, Any] | None,
    score: Score | None,
    progress: Progress,
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run; each adds to the logs that the next ones read."""
    every = settings.log_every
    config = settings.as_toml() if config is None else config
    flat = {name: value for name, value in config.items() if not isinstance(value, list | dict)}
    validation = None
    chosen: list[keras.callbacks.Callback] = [StopBeforeNan(every=every), Speed()]
    if score is not None:
        validation = Validation(score, stop_on=settings.early_stopping, patience=settings.patience)
        chosen.append(validation)
    if directory is not None:
        samples = text_samples(batches)
        chosen.append(TensorBoardLog(directory, settings=flat, samples=samples, every=every))
    if settings.wandb_project:
        chosen.append(WandbLog(settings.wandb_project, settings=flat, directory=directory, every=every))
    return [*chosen, ProgressLog(progress), Record(validation)]


class StopBeforeNan(keras.callbacks.Callback):
    """Stops when a gradient or the loss is not finite.

    The optimizers of tfxl do not apply such a gradient, so the model still has its last good weights.

    Args:
        every: Steps between two looks.
    """

    _supports_tf_logs = True

    def __init__(self, *, every: int = 10) -> None:
        super().__init__()
        self.every = Every(every)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Looks now and then, since a look makes the host wait for the device."""
        if self.every.due(batch):
            self._check(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks once more before scores are made."""
        self._check(logs)

    def _check(self, logs: Logs | None) -> None:
        skipped = getattr(self.model.optimizer, "skipped", None)
        number = 0 if skipped is None else int(skipped.numpy())
        loss = float((logs or {}).get("loss", 0.0))
        if number or not math.isfinite(loss):
            update = int(self.model.optimizer.iterations.numpy())
            raise RecipeError(
                f"loss {loss} and {number} gradients that are not finite by update {update}",
                expected="a finite loss and finite gradients",
                fix="Lower training.learning_rate, raise training.warmup, set training.clip_norm or "
                'training.precision = "float32". The model has the weights of its last good update.',
            )


class Speed(keras.callbacks.Callback):
    """Adds `tokens_per_second` (real tokens, padding apart) and `learning_rate` to the logs of each epoch.

    The first step of each epoch does not count: it may trace the graph.
    """

    _supports_tf_logs = True

    def __init__(self) -> None:
        super().__init__()
        self._start: tuple[float, float] | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts over."""
        self._start = None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Starts the clock after the first step."""
        if self._start is None:
            self._start = time.perf_counter(), float((logs or {}).get("tokens", 0.0))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Adds to the logs."""
        logs = {} if logs is None else logs
        if self._start is not None and (tokens := logs.pop("tokens", 0.0) - self._start[1]) > 0:
            logs["tokens_per_second"] = float(tokens / (time.perf_counter() - self._start[0]))
        logs["learning_rate"] = learning_rate(self.model)


class Validation(keras.callbacks.Callback):
    """Adds scores of validation to the logs of each epoch as `validation/<name>`, and may stop early.

    Args:
        score: Gives a score by name (a language), higher is better.
        stop_on: `mean` or `worst` of the scores, or `none`. Scores that are not defined (nan) do not count.
        patience: Epochs without a better score before training stops. The best epoch's weights are put back then, and
            also at the end.

    Raises:
        RecipeError: No score is defined that could choose the first epoch to keep.
    """

    _supports_tf_logs = True

    def __init__(self, score: Score, *, stop_on: str = "none", patience: int = 1) -> None:
        super().__init__()
        self.score, self.stop_on, self.patience = score, stop_on, patience
        self.best, self.best_epoch = -math.inf, 0
        self._weights: list[tuple[tf.Variable, Any]] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Scores, remembers the best weights and stops if it has got no better for long enough."""
        scores = self.score()
        known = [value for value in scores.values() if not math.isnan(value)] or [math.nan]
        values = {"mean": sum(known) / len(known), "worst": min(known)}
        if logs is not None:
            logs.update({f"validation/{name}": value for name, value in {**scores, **values}.items()})
        if self.stop_on == "none":
            self.best_epoch = epoch
        elif math.isnan(values[self.stop_on]) and not self._weights:
            raise _no_score(scores, self.stop_on)
        elif values[self.stop_on] > self.best:
            self.best, self.best_epoch = values[self.stop_on], epoch
            # By variable: the order of `get_weights` changes when layers are frozen or unfrozen.
            self._weights = [(variable, variable.numpy()) for variable in self.model.variables]
        elif epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Puts the best weights back."""
        for variable, value in self._weights:
            variable.assign(value)
        self._weights = []


def _no_score(scores: Mapping[str, float], stop_on: str) -> RecipeError:
    return RecipeError(
        f'training.early_stopping = "{stop_on}", but no validation score is defined: {", ".join(scores) or "no rows"}',
        expected="a language whose validation rows can be scored by the task's main metric",
        fix="Give data.validation rows of different answers, with something to be found in them, or set "
        'training.early_stopping = "none".',
    )


class TensorBoardLog(Log):
    """Writes loss, learning rate and speed while training, scores by language at each epoch, settings and text samples.

    Args:
        directory: Where the event files go.
        settings: Shown as hyperparameters.
        samples: A table in Markdown, shown as text.
        every: Steps between two records.
    """

    _supports_tf_logs = True

    def __init__(self, directory: Path, *, settings: Mapping[str, Any], samples: str = "", every: int = 10) -> None:
        super().__init__()
        self.directory, self.settings, self.samples, self.every = directory, settings, samples, Every(every)
        self._writer: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the file."""
        self._writer = tf.summary.create_file_writer(str(self.directory))
        self._mark: tuple[float, float] | None = None
        with self._writer.as_default(step=0):
            hparams.hparams(dict(self.settings))
            if self.samples:
                tf.summary.text("training rows", self.samples)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Tokens are counted anew in each epoch."""
        self._mark = None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes a record now and then."""
        if not self.every.due(batch) or not logs:
            return
        now, tokens = time.perf_counter(), float(logs.get("tokens", 0.0))
        scalars = {f"train/{name}": float(value) for name, value in logs.items() if name != "tokens"}
        scalars["train/learning_rate"] = learning_rate(self.model)
        if self._mark is not None and tokens:
            scalars["train/tokens_per_second"] = (tokens - self._mark[1]) / (now - self._mark[0])
        self._mark = now, tokens
        self._write(scalars, step=int(self.model.optimizer.iterations.numpy()))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes what the epoch came to."""
        names = {name: name if "/" in name else f"epoch/{name}" for name in logs or {}}
        self._write({names[name]: float(value) for name, value in (logs or {}).items()}, step=epoch)

    def close(self, *, failed: bool) -> None:
        """Closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write(self, scalars: Mapping[str, float], *, step: int) -> None:
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def log_evaluation(directory: Path, scores: Mapping[str, float], settings: Mapping[str, Any]) -> None:
    """Writes the scores of the trained model and the settings of its run, so that HParams compares runs by score.

    Args:
        directory: Where the event files of the run are.
        scores: Scores by name, such as `accuracy/language/de`.
        settings: The whole recipe by dotted name.
    """
    with tf.summary.create_file_writer(str(directory / "test")).as_default(step=0):
        hparams.hparams(dict(settings))
        for name, value in scores.items():
            tf.summary.scalar(f"test/{name}", value)


class ProgressLog(keras.callbacks.Callback):
    """Tells a `Progress` each step, and one line an epoch.

    Args:
        progress: What is told.
    """

    _supports_tf_logs = True

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self._steps: Iterator[int] = iter(())

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts to count."""
        steps, epochs = self.params["steps"], self.params["epochs"]
        self._done = 0
        self._steps = iter(
            self.progress.track(range(steps), what=f"training, epoch {epoch + 1} of {epochs}", total=steps)
        )
        next(self._steps, None)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Counts; one call may stand for several steps."""
        for _ in range(batch + 1 - self._done):
            next(self._steps, None)
        self._done = batch + 1

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Tells what the epoch came to."""
        if isinstance(self._steps, Generator):
            self._steps.close()
        shown = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in (logs or {}).items())
        self.progress.say(f"epoch {epoch + 1} of {self.params['epochs']}: {shown}")


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


class Record(keras.callbacks.Callback):
    """Keeps the logs of each epoch, and which epoch's weights the model has.

    Args:
        validation: Chooses the epoch; the last one if None.
    """

    _supports_tf_logs = True

    def __init__(self, validation: Validation | None = None) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self.validation = validation

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights the model has."""
        return len(self.epochs) - 1 if self.validation is None else self.validation.best_epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the logs."""
        self.epochs.append({name: float(value) for name, value in (logs or {}).items()})


def learning_rate(model: keras.Model) -> float:
    """Returns the learning rate of the last update."""
    return float(tf.convert_to_tensor(model.optimizer.learning_rate).numpy())


def text_samples(batches: Any, number: int = TEXT_SAMPLES) -> str:
    """Returns rows from all over the data as a table in Markdown; empty if the data has no rows to show."""
    rows: Any = getattr(batches, "rows", ())
    if not len(rows):
        return ""
    lines = ["| language | text | label |", "|---|---|---|"]
    # Rows stand on disk language by language.
    for example in rows[sorted({place * len(rows) // number for place in range(number)})]:
        text = " / ".join(part for part in (example.text, example.second_text) if part)
        cells = (example.language, text, example.label)
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)
