"""Number formats: float32 weights, with matrix products in bfloat16 where the hardware has it.

On a processor, TensorFlow's graph optimizer turns products into bfloat16 when a function is traced; the Keras model
stays as it is. On a GPU or TPU, Keras' `mixed_bfloat16` policy does it, when layers are made. Both are global settings
of TensorFlow, so `using` sets them for a while and puts them back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tfxl.acceleration.graph import graph_options
from tfxl.backend import keras, tf
from tfxl.errors import RecipeError

Precision = Literal["auto", "float32", "bfloat16"]

GRAPH_OPTION = "auto_mixed_precision_onednn_bfloat16"
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What processors call their bfloat16 products: x86 has the first two, Arm the last."""


AMPERE = (8, 0)
"""The first compute capability of GPUs with bfloat16."""


def resolve(name: str, devices: tf.distribute.Strategy | None = None) -> Literal["float32", "bfloat16"]:
    """Returns the precision that `name` means on this machine: `auto` is bfloat16 where the hardware has it.

    Args:
        name: `auto`, `float32` or `bfloat16`.
        devices: What trains; the strategy in whose scope it is called if None. A TPU may be on another host, where no
            list of devices shows it.

    Raises:
        RecipeError: bfloat16 is asked for where it would be emulated, slowly.
    """
    if name == "auto":
        return "bfloat16" if available(devices) else "float32"
    if name == "bfloat16" and not available(devices):
        raise RecipeError(
            'training.precision = "bfloat16", which this machine has no instructions for',
            expected="a GPU, a TPU or a processor with avx512_bf16 or amx_bf16",
            fix='Set precision = "auto" or "float32".',
        )
    return "bfloat16" if name == "bfloat16" else "float32"


def available(devices: tf.distribute.Strategy | None = None) -> bool:
    """Returns whether what trains multiplies bfloat16 in hardware."""
    gpus = tf.config.list_physical_devices("GPU")
    if not on_processor(devices):
        return all(_compute_capability(gpu) >= AMPERE for gpu in gpus)
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    return bool(instructions() & INSTRUCTIONS)


def on_processor(devices: tf.distribute.Strategy | None = None) -> bool:
    """Returns whether training runs on the processor itself, for want of a GPU or TPU."""
    # Logical devices would tell more, but listing them starts the runtime, after which no cluster can be joined.
    on_tpu = isinstance(devices or tf.distribute.get_strategy(), tf.distribute.TPUStrategy)
    return not on_tpu and not any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


def _compute_capability(gpu: tf.config.PhysicalDevice) -> tuple[int, int]:
    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))


def instructions(path: str | Path = "/proc/cpuinfo") -> set[str]:
    """Returns the instruction sets that every core has; empty where the system does not tell."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    cores = re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", text, flags=re.MULTILINE)
    return set.intersection(*(set(core.split()) for core in cores)) if cores else set()


@contextmanager
def using(name: str, devices: tf.distribute.Strategy | None = None) -> Iterator[Literal["float32", "bfloat16"]]:
    """Sets the precision for layers that are made and functions that are traced inside, and puts the old one back.

    Args:
        name: `auto`, `float32` or `bfloat16`.
        devices: What trains: see `resolve`.

    Yields:
        The precision in use.

    Raises:
        RecipeError: bfloat16 is asked for where it would be emulated.
    """
    precision = resolve(name, devices)
    policy = keras.mixed_precision.global_policy()
    half = precision == "bfloat16"
    with graph_options(**{GRAPH_OPTION: half and on_processor(devices)}):
        try:
            if half and not on_processor(devices):
                keras.mixed_precision.set_global_policy("mixed_bfloat16")
            yield precision
        finally:
            keras.mixed_precision.set_global_policy(policy)
