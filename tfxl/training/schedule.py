"""Learning rates over the course of a run."""

from __future__ import annotations

import math
from typing import Any, Literal

from tfxl.backend import keras, tf

Decay = Literal["linear", "cosine", "constant"]


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `peak`, then falls to 0 along a line or half a cosine, or stays.

    Updates are counted from 0. With `W` updates of warm-up out of `T`:

    - update `s < W`: `peak * s / W`, so the first update has the rate 0;
    - `linear`, `s >= W`: `peak * (T - s) / (T - W)`, so the last update, `T - 1`, has `peak / (T - W)`;
    - `cosine`, `s >= W`: `peak * (1 + cos(pi * (s - W) / (T - W))) / 2`;
    - `constant`, `s >= W`: `peak`.

    From update `T` on the rate is 0 (but for `constant`).

    Args:
        peak: The highest learning rate.
        total: `T`, the number of updates of the run.
        warmup: `W`.
        decay: What happens after the warm-up.
    """

    def __init__(self, peak: float, *, total: int, warmup: int = 0, decay: Decay = "linear") -> None:
        self.peak, self.total, self.warmup, self.decay = peak, total, warmup, decay

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate of update `step`."""
        step = tf.cast(step, tf.float32)
        done = tf.clip_by_value((step - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        share = {
            "linear": lambda: 1.0 - done,
            "cosine": lambda: 0.5 * (1.0 + tf.cos(math.pi * done)),
            "constant": lambda: tf.ones_like(done),
        }[self.decay]()
        return self.peak * tf.where(step < self.warmup, step / max(1, self.warmup), share)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup, "decay": self.decay}


def of_run(peak: float, *, updates: int, warmup: float, decay: Decay) -> WarmUp:
    """Returns the schedule of a run in which the first `floor(updates * warmup)` updates warm up."""
    return WarmUp(peak, total=updates, warmup=math.floor(updates * warmup + 1e-9), decay=decay)
