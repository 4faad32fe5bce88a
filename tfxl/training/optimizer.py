"""Optimizers whose cost follows the rows of the word-embedding table that a batch touches, not the whole table.

With 250,000 pieces most of a step is the table's update if the optimizer is a dense one. `AdamW` and `Sgd` move only
the rows that the batch used, update every other variable by one fused operation, and clip, accumulate and decay without
ever making the table's gradient dense.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

from tfxl.backend import keras, tf
from tfxl.training import gradients as rows
from tfxl.training.gradients import Gradient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule
    Slots: TypeAlias = Mapping[str, tf.Variable]

NO_DECAY = ("bias", "LayerNorm", "layer_norm", "word_embeddings")
"""Variables without weight decay, as patterns in their names; variables of one dimension have none either."""

TABLE_ROWS = 2048
"""A matrix with fewer rows is always updated densely: that is exact, and costs nothing at this size."""


class Options(TypedDict, total=False):
    """What every optimizer here can be told.

    Attributes:
        weight_decay: Decoupled decay: at each update a variable loses this share of itself times the learning rate.
        clip_norm: Gradients are scaled down to this global norm; None leaves them as they are.
        accumulation_steps: Batches whose gradients are averaged into one update.
        multipliers: Factors on the learning rate by variable name (with or without `:0`); 0 freezes the variable.
        lazy: Rows of a large table move only in updates whose batches use them. False is the textbook rule, where a
            row that was used once goes on moving; it reads and writes the whole table at each update.
        no_decay: Patterns in the names of variables without weight decay.
    """

    weight_decay: float
    clip_norm: float | None
    accumulation_steps: int
    multipliers: Mapping[str, float]
    lazy: bool
    no_decay: Sequence[str]


DEFAULTS = Options(weight_decay=0.0, clip_norm=None, accumulation_steps=1, multipliers={}, lazy=True, no_decay=NO_DECAY)


class Rates(NamedTuple):
    """The scalars of one variable's update."""

    step: tf.Tensor
    epsilon: tf.Tensor
    decay: tf.Tensor


class RowOptimizer(keras.optimizers.Optimizer):
    """What the optimizers share: clipping, accumulation, decay, learning rates by variable, slots by name.

    Slots belong to a variable, not to its place in a list, so the set of variables that train may grow later (gradual
    unfreezing); a variable starts its own count of steps when it first gets a gradient: its slot `missed` holds the
    batches before it. `iterations` counts updates, not batches. An update whose gradient is not finite leaves every
    variable as it was and is counted in `skipped`.

    Args:
        learning_rate: A number, or a schedule over updates.
        name: The optimizer's name.
        options: See `Options`.

    Raises:
        TypeError: An option is unknown.
    """

    slot_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: LearningRate, *, name: str, **options: Unpack[Options]) -> None:
        if unknown := set(options) - set(DEFAULTS):
            raise TypeError(f"{name} has no option {sorted(unknown)}; it has {sorted(DEFAULTS)}")
        super().__init__(name=name, jit_compile=False)
        self.options = self._no_dependency({**DEFAULTS, **options})
        named = {_plain(variable): float(factor) for variable, factor in self.options["multipliers"].items()}
        self._multipliers = self._no_dependency(named)
        self.exclude_from_weight_decay(var_names=list(self.options["no_decay"]))
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._slots: dict[str, Slots] = {}
        self._slots_of = self._no_dependency({})
        self.skipped = self._counter("skipped")
        self._batches = self._counter("batches") if self.options["accumulation_steps"] > 1 else None

    def scalars(self, learning_rates: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns step sizes and epsilons, each `[variables]`, from learning rates and counts of steps (1 is first)."""
        return learning_rates, tf.zeros_like(steps)

    @abstractmethod
    def update_dense(self, gradient: tf.Tensor, variable: tf.Variable, slots: Slots, rates: Rates) -> None:
        """Updates a whole variable, decay apart."""

    @abstractmethod
    def update_rows(self, gradient: tf.IndexedSlices, slots: Slots, rates: Rates) -> tf.Tensor:
        """Updates the slots of the rows in `gradient` and returns what the rows lose, `[rows, …]`."""

    # Slots

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Makes the slots of the variables that have none yet and are not left out by a multiplier of 0."""
        for variable in var_list:
            if self._multiplier(variable) and self._var_key(variable) not in self._slots_of:
                self._slots_of[self._var_key(variable)] = slots = self._new_slots(variable)
                name = _plain(variable.name)
                taken = sum(key.partition("#")[0] == name for key in self._slots)
                self._slots[f"{name}#{taken}" if taken else name] = slots
        self._built = True

    def _new_slots(self, variable: tf.Variable) -> Slots:
        slots = {name: self.add_variable_from_reference(variable, name) for name in self.slot_names}
        if self._batches is not None:
            slots["sum"] = self.add_variable_from_reference(variable, "sum")
            slots["used"] = self.add_variable_from_reference(variable, "used", shape=variable.shape[:1])
        passed = self.iterations if self._batches is None else self._batches
        with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
            slots["missed"] = self._counter("missed", int(passed.numpy()))
        return slots

    def _counter(self, name: str, initial_value: int = 0) -> tf.Variable:
        with tf.init_scope():
            counter = tf.Variable(initial_value, dtype=tf.int64, trainable=False, name=name)
        self._variables.append(counter)
        return counter

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """Leaves the flat list of variables out of checkpoints: its order depends on what was frozen when."""
        children = super()._trackable_children(save_type, **kwargs)
        return {name: child for name, child in children.items() if name not in ("_variables", "_index_dict")}

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        rate = self._serialize_hyperparameter(self._learning_rate)
        return {"learning_rate": rate, "name": self.name, **self.options}

    # Applying

    def apply_gradients(
        self,
        grads_and_vars: Any,
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> tf.Tensor:
        """Updates the variables, or keeps the gradients until enough batches are there.

        Args:
            grads_and_vars: Pairs of gradient and variable; pairs without a gradient are left out.
            name: The scope's name.
            skip_gradients_aggregation: True if the gradients are already summed over the replicas.
            kwargs: `experimental_aggregate_gradients`, an older name of the opposite.

        Returns:
            The number of updates so far.
        """
        pairs = [(grad, var) for grad, var in grads_and_vars if grad is not None and self._multiplier(var)]
        if not pairs:
            return self.iterations
        with tf.init_scope():
            self.build([variable for _, variable in pairs])
        with tf.name_scope(name or self.name):
            if not skip_gradients_aggregation and kwargs.get("experimental_aggregate_gradients", True):
                pairs = self.aggregate_gradients(pairs)
            self._compute_current_learning_rate()
            gradients, variables = (list(column) for column in zip(*pairs, strict=True))
            merge_call = tf.__internal__.distribute.interim.maybe_merge_call
            return merge_call(self._apply_on_devices, tf.distribute.get_strategy(), gradients, variables)

    def _apply_on_devices(self, strategy: Any, gradients: list[Any], variables: list[tf.Variable]) -> tf.Tensor:
        """Runs once on each device, with that device's gradients and copies of the variables."""
        due = None
        if self._batches is not None:
            due = tf.equal(self._batches.assign_add(1) % self.options["accumulation_steps"], 0)

        def on_device(_: tf.Variable, gradients: list[Gradient]) -> None:
            self._accumulate_or_update(gradients, variables, due)

        if tf.distribute.has_strategy():
            strategy.extended.update(variables[0], on_device, args=(gradients,), group=False)
        else:
            on_device(variables[0], gradients)
        return self.iterations.assign_add(1 if due is None else tf.cast(due, tf.int64))

    def _accumulate_or_update(
        self, gradients: list[Gradient], variables: list[tf.Variable], due: tf.Tensor | None
    ) -> None:
        gradients = [self._prepared(*pair) for pair in zip(gradients, variables, strict=True)]
        slots = [self._slots_of[self._var_key(variable)] for variable in variables]
        if due is None:
            self._update(gradients, variables, slots)
            return

        def accumulate() -> None:
            for gradient, slot in zip(gradients, slots, strict=True):
                rows.add_to_sum(gradient, slot)

        def update() -> None:
            accumulate()
            shares = self._shares(slots)
            means = [rows.take_sum(*each) for each in zip(gradients, slots, shares, strict=True)]
            self._update(means, variables, slots)

        tf.cond(due, update, accumulate)

    def _shares(self, slots: list[Slots]) -> list[tf.Tensor]:
        """Returns what makes the sum of each variable a mean: its first may be of fewer batches than the others."""
        missed = tf.stack([rows.read(slot["missed"]) for slot in slots])
        summed = tf.minimum(rows.read(self._batches) - missed, self.options["accumulation_steps"])
        return tf.unstack(1 / tf.cast(summed, tf.float32))

    def _prepared(self, gradient: Gradient, variable: tf.Variable) -> Gradient:
        """Returns rows of a large table with each row once, anything else dense."""
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.cast(gradient, variable.dtype)
        if self.options["lazy"] and variable.shape[0] >= TABLE_ROWS:
            return rows.sum_rows(gradient)
        return tf.convert_to_tensor(gradient)

    def _update(self, gradients: list[Gradient], variables: list[tf.Variable], slots: list[Slots]) -> None:
        norm = rows.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        tf.raw_ops.AssignAddVariableOp(resource=self.skipped.handle, value=tf.cast(~finite, tf.int64))
        scale = self._scale(norm, finite)
        rates = self._rates(variables, slots, finite)
        for gradient, variable, slot, rate in zip(gradients, variables, slots, rates, strict=True):
            gradient = rows.scaled(gradient, scale)
            rate = Rates(*(tf.cast(number, variable.dtype) for number in rate))
            if isinstance(gradient, tf.IndexedSlices):
                self._move_rows(gradient, variable, slot, rate)
            else:
                self._move(gradient, variable, slot, rate)

    def _scale(self, norm: tf.Tensor, finite: tf.Tensor) -> tf.Tensor:
        """Returns the factor that clips; 0 drops a gradient that is not finite."""
        limit = self.options["clip_norm"]
        scale = tf.ones_like(norm) if limit is None else limit / tf.maximum(norm, limit)
        return tf.where(finite, scale, 0.0)

    def _rates(self, variables: list[tf.Variable], slots: list[Slots], finite: tf.Tensor) -> list[Rates]:
        """Returns the scalars of each variable; all are computed as one vector, since small operations add up."""
        missed = tf.stack([rows.read(slot["missed"]) for slot in slots]) // self.options["accumulation_steps"]
        steps = tf.cast(rows.read(self.iterations) + 1 - missed, tf.float32)
        factors = tf.constant([self._multiplier(variable) for variable in variables], tf.float32)
        learning_rates = tf.where(finite, tf.cast(self.learning_rate, tf.float32), 0.0) * factors
        sizes, epsilons = self.scalars(learning_rates, steps)
        columns = (sizes, epsilons, learning_rates * self.options["weight_decay"])
        return [Rates(*numbers) for numbers in zip(*(tf.unstack(column) for column in columns), strict=True)]

    def _move(self, gradient: tf.Tensor, variable: tf.Variable, slots: Slots, rates: Rates) -> None:
        if self._decays(variable):
            lost = rows.read(variable) * rates.decay
            tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=lost)
        self.update_dense(gradient, variable, slots, rates)

    def _move_rows(self, gradient: tf.IndexedSlices, variable: tf.Variable, slots: Slots, rates: Rates) -> None:
        value = rows.read_rows(variable, gradient.indices)
        lost = self.update_rows(gradient, slots, rates)
        if self._decays(variable):
            lost += value * rates.decay
        rows.write_rows(variable, gradient.indices, value - lost)

    def _decays(self, variable: tf.Variable) -> bool:
        return bool(self.options["weight_decay"]) and len(variable.shape) > 1 and self._use_weight_decay(variable)

    def _multiplier(self, variable: tf.Variable) -> float:
        return self._multipliers.get(_plain(variable.name), 1.0)


class AdamW(RowOptimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), the usual optimizer for fine-tuning.

    `lazy=False` is the textbook rule to the last digits (of PyTorch's AdamW too). The lazy rule is the one of PyTorch's
    SparseAdam: a rare row moves less, since its momentum does not carry it on in the updates that do not use it.

    Args:
        learning_rate: A number, or a schedule over updates.
        betas: Decay rates of the two moments.
        epsilon: Added to the root of the second moment, after the correction of its bias.
        name: The optimizer's name.
        options: See `Options`.

    Example:
        model.compile(AdamW(1e-4, weight_decay=0.01, clip_norm=1.0), loss=task.loss())
    """

    slot_names = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: LearningRate = 1e-4,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        name: str = "AdamW",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, name=name, **options)
        self.betas, self.epsilon = tuple(betas), epsilon

    def scalars(self, learning_rates: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns step sizes and epsilons that hold the bias corrections of both moments."""
        first, second = (-tf.math.expm1(steps * math.log(beta)) for beta in self.betas)
        return learning_rates * tf.sqrt(second) / first, self.epsilon * tf.sqrt(second)

    def update_dense(self, gradient: tf.Tensor, variable: tf.Variable, slots: Slots, rates: Rates) -> None:
        """Updates a variable and its moments by one fused operation."""
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in self.betas)
        none = tf.zeros((), variable.dtype)  # the bias corrections stand in the step size already
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots["momentum"].handle,
            v=slots["velocity"].handle,
            beta1_power=none,
            beta2_power=none,
            lr=rates.step,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=rates.epsilon,
            grad=gradient,
        )

    def update_rows(self, gradient: tf.IndexedSlices, slots: Slots, rates: Rates) -> tf.Tensor:
        """Updates the moments of the touched rows."""
        moments = []
        for name, beta, target in zip(
            self.slot_names, self.betas, (gradient.values, tf.square(gradient.values)), strict=True
        ):
            old = rows.read_rows(slots[name], gradient.indices)
            moments.append(old + (target - old) * (1 - beta))
            rows.write_rows(slots[name], gradient.indices, moments[-1])
        momentum, velocity = moments
        return rates.step * momentum / (tf.sqrt(velocity) + rates.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "betas": self.betas, "epsilon": self.epsilon}


class Sgd(RowOptimizer):
    """Gradient descent with momentum: one slot a variable instead of two, but it needs its learning rate tuned.

    Args:
        learning_rate: A number, or a schedule over updates.
        momentum: The share of the last move that is kept; 0 is plain gradient descent.
        name: The optimizer's name.
        options: See `Options`.
    """

    slot_names = ("momentum",)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        momentum: float = 0.9,
        name: str = "Sgd",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, name=name, **options)
        self.momentum = momentum

    def update_dense(self, gradient: tf.Tensor, variable: tf.Variable, slots: Slots, rates: Rates) -> None:
        """Updates a variable and its momentum by one fused operation."""
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=slots["momentum"].handle,
            lr=rates.step,
            grad=gradient,
            momentum=tf.constant(self.momentum, variable.dtype),
        )

    def update_rows(self, gradient: tf.IndexedSlices, slots: Slots, rates: Rates) -> tf.Tensor:
        """Updates the momentum of the touched rows."""
        momentum = rows.read_rows(slots["momentum"], gradient.indices) * self.momentum + gradient.values
        rows.write_rows(slots["momentum"], gradient.indices, momentum)
        return rates.step * momentum

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "momentum": self.momentum}


def _plain(name: str) -> str:
    return name.removesuffix(":0")
