"""Fits a model: optimizer, schedule, precision and callbacks around Keras' own `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from tfxl import settings as base
from tfxl.acceleration import accelerated, dropout
from tfxl.backend import keras, tf
from tfxl.errors import RecipeError
from tfxl.progress import SILENT, Progress
from tfxl.training import callbacks as watching
from tfxl.training import tracking
from tfxl.training.model import TrainingModel
from tfxl.training.optimizer import AdamW, RowOptimizer, Sgd
from tfxl.training.precision import Precision, on_processor, using
from tfxl.training.schedule import Decay, of_run
from tfxl.training.strategy import STRATEGIES, StrategyName, chosen

if TYPE_CHECKING:
    from tfxl.tasks import Task

LONG = 5_000
"""Batches of a run from which on `fuse_layers = "auto"` compiles."""


class Settings(base.Settings):
    """How a model is trained. The defaults suit encoders of the size of multilingual-e5-small or larger."""

    epochs: int = Field(default=3, ge=0)
    """0 trains nothing: the model is measured and published with the weights that it starts from."""
    batch_size: int = Field(default=16, ge=1)
    """Texts a step, over all devices."""
    sorted_batches: int = Field(default=50, ge=1)
    """How many batches are drawn at once, sorted by length and cut: more saves padding, fewer mixes lengths more."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Batches that make one update; memory holds one batch at a time. They are counted over the whole run: what is left
    at its end, at most `accumulation_steps - 1` batches, is not applied."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """The highest rate. Larger encoders want less: 2e-5 to 5e-5."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of all updates in which the rate rises from 0."""
    schedule: Decay = "linear"
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    """On matrices only: not on biases, layer normalisation and word embeddings."""
    clip_norm: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Gradients are scaled down to this global norm; 0 leaves them as they are."""
    lazy_embeddings: bool = True
    """Whether only the rows of the word embeddings that a batch uses are updated: much faster, and nearly the same."""
    precision: Precision = "auto"
    strategy: StrategyName = "auto"
    jit_compile: bool = False
    """Compiles the step with XLA: for TPU and GPU. Batches are then padded to few shapes."""
    fuse_layers: Literal["auto", "on", "off"] = "auto"
    """Whether, on a processor, XLA compiles what stands between the matrix products of the encoder's layers, half a
    second for each length of batch; `auto` does so in runs of at least 5,000 batches, where it pays."""
    steps_per_execution: int = Field(default=1, ge=1)
    """Steps between two looks of the host; more than 1 helps on TPU."""
    early_stopping: Literal["none", "mean", "worst"] = "none"
    """Keeps the weights of the epoch with the best validation: by the languages' mean, or by the worst language."""
    patience: int = Field(default=1, ge=1)
    """Epochs without a better score before training stops early."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two records of loss, learning rate and speed."""
    wandb_project: str = ""
    """A project of Weights & Biases that the run is logged to; none if empty."""

    def needs_static_shapes(self) -> bool:
        """Whether programs are compiled for the shapes that they meet: by XLA, and always on TPU."""
        return self.jit_compile or chosen(self.strategy) == "tpu"


class Data(Protocol):
    """What training needs of its data; `text.dataset.Batches` has it."""

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""

    def dataset(self, epochs: int) -> tf.data.Dataset:
        """Returns batches of (model inputs, target, weight) for all epochs one after another."""


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        epochs: For each epoch `loss`, `learning_rate`, `tokens_per_second` and the scores of validation by name.
        best_epoch: The epoch whose weights the model has, counted from 0.
        updates: How often the weights were updated.
        precision: The precision that was used.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    updates: int = 0
    precision: str = "float32"


def fit(
    model: keras.Model,
    task: Task,
    batches: Data,
    settings: Settings,
    *,
    multipliers: Mapping[str, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 42,
    directory: Path | None = None,
    config: Mapping[str, Any] | None = None,
    score: Callable[[], dict[str, float]] | None = None,
    progress: Progress = SILENT,
) -> History:
    """Trains a model in place.

    A plain functional model is trained through `TrainingModel`; one with a `train_step` of its own is fitted as it is.

    Args:
        model: A functional model over the three inputs, built in the scope of its strategy.
        task: Gives the loss, and checks the model.
        batches: The data.
        settings: How to train.
        multipliers: Factors on the learning rate by variable name, such as a tuner gives.
        callbacks: Keras callbacks, such as a tuner gives.
        seed: Restarts the generators of the model's dropout.
        directory: Where logs for TensorBoard go; none are written if None.
        config: What the logs say of the run, by name; the settings of training if None.
        score: Called after each epoch; gives a score of validation by name (a language).
        progress: Is told each step.

    Returns:
        What happened.

    Raises:
        RecipeError: The settings do not fit the data or the model, the model does not fit the task, or the gradients
            are no longer finite: the model then has the weights of the last good update.
    """
    batches_in_all = settings.epochs * batches.steps_per_epoch
    updates = _updates(batches_in_all, settings)
    check_early_stopping(settings, validates=score is not None)
    check_strategy(model, settings.strategy)
    task.check_logits(model.output)
    dropout.seed(model, seed)
    devices = model.distribute_strategy
    with (
        using(settings.precision, devices) as chosen,
        devices.scope(),
        accelerated(
            model,
            shapes_may_change=_shapes_may_change(settings, devices),
            fused_in=tf.as_dtype(chosen) if _fuses(settings, devices, batches=batches_in_all) else None,
        ),
    ):
        trained = compiled(model, task.loss(), settings, updates=updates, multipliers=multipliers or {})
        watchers = watching.watchers(
            settings, batches, directory=directory, config=config, score=score, progress=progress
        )
        with tracking.closed_on_failure(watchers):
            trained.fit(
                sharded(batches.dataset(settings.epochs)),
                epochs=settings.epochs,
                steps_per_epoch=batches.steps_per_epoch,
                callbacks=[*callbacks, *watchers],
                verbose=0,
            )
    record = next(each for each in watchers if isinstance(each, watching.Record))
    return History(record.epochs, record.best_epoch, int(trained.optimizer.iterations.numpy()), chosen)


def _shapes_may_change(settings: Settings, devices: tf.distribute.Strategy) -> bool:
    """Returns whether shapes may change at every step at no cost: a GPU would wait for the host to learn of them."""
    return on_processor(devices) and not settings.needs_static_shapes()


def _fuses(settings: Settings, devices: tf.distribute.Strategy, *, batches: int) -> bool:
    """Returns whether layers are fused: XLA compiles whole steps anyway where it is asked to."""
    wanted = batches >= LONG if settings.fuse_layers == "auto" else settings.fuse_layers == "on"
    return wanted and _shapes_may_change(settings, devices)


def _updates(batches_in_all: int, settings: Settings) -> int:
    updates = batches_in_all // settings.accumulation_steps
    if updates == 0:
        raise RecipeError(
            f"training.accumulation_steps = {settings.accumulation_steps} for {batches_in_all} batches in all",
            expected="at least as many batches as make one update",
            fix="Lower training.accumulation_steps or training.batch_size, or train for more epochs.",
        )
    return updates


def check_early_stopping(settings: Settings, *, validates: bool) -> None:
    """Refuses early stopping without anything that could stop it.

    Raises:
        RecipeError: There are no scores of validation.
    """
    if settings.early_stopping != "none" and not validates:
        raise RecipeError(
            f'training.early_stopping = "{settings.early_stopping}" without validation data',
            expected="scores of validation after each epoch",
            fix='Set data.validation, or training.early_stopping = "none".',
        )


def check_strategy(model: keras.Model, name: str) -> None:
    """Refuses a model that was built outside of the strategy that the settings name.

    Raises:
        RecipeError: The model sits on one device, but a strategy for several was asked for.
    """
    single = isinstance(model.distribute_strategy, type(STRATEGIES["default"]()))
    if single and name not in ("auto", "default"):
        raise RecipeError(
            f'training.strategy = "{name}", but the model was built for one device',
            expected="a model built inside the strategy's scope",
            fix=f'Build it with strategy.find("{name}").scope(): strategy is a module of tfxl.training.',
        )


def optimizer(settings: Settings, *, updates: int, multipliers: Mapping[str, float]) -> RowOptimizer:
    """Returns the optimizer that the settings describe, with its schedule over `updates`."""
    rates = of_run(settings.learning_rate, updates=updates, warmup=settings.warmup, decay=settings.schedule)
    make = {"adamw": AdamW, "sgd": Sgd}[settings.optimizer]
    return make(
        rates,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm or None,
        accumulation_steps=settings.accumulation_steps,
        multipliers=multipliers,
        lazy=settings.lazy_embeddings,
    )


def compiled(
    model: keras.Model,
    loss: keras.losses.Loss,
    settings: Settings,
    *,
    updates: int,
    multipliers: Mapping[str, float],
) -> keras.Model:
    """Returns a compiled model over the layers of `model`."""
    if type(model).train_step is keras.Model.train_step:
        model = TrainingModel(model.input, model.output, name=model.name)
    model.compile(
        optimizer(settings, updates=updates, multipliers=multipliers),
        loss=loss,
        jit_compile=settings.jit_compile,
        steps_per_execution=settings.steps_per_execution,
    )
    return model


def sharded(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset with the option that lets several hosts share it row by row."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
