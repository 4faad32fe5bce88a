"""Where a run trains: one device, several of one host, several hosts, or a TPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Literal

from tfxl.backend import tf
from tfxl.errors import InstallationError, RecipeError, did_you_mean

StrategyName = Literal["auto", "default", "mirrored", "multi_worker", "tpu"]

TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS")
"""Environment variables by which hosts with a TPU can be told."""


def find(name: str = "auto") -> tf.distribute.Strategy:
    """Returns a strategy; models have to be built inside its `scope()`.

    Args:
        name: `default` (one device), `mirrored` (all GPUs of this host), `multi_worker` (the hosts in TF_CONFIG),
            `tpu`, or `auto`: TPU if there is one, else what TF_CONFIG says, else all GPUs if there are several, else
            one device.

    Raises:
        RecipeError: There is no strategy of that name, or TF_CONFIG does not name the workers.
        InstallationError: There is no TPU, or it cannot be reached.
    """
    name = chosen(name)
    make = STRATEGIES.get(name)
    if make is None:
        raise RecipeError(
            f"training.strategy = {name!r}",
            expected=f"one of auto, {', '.join(STRATEGIES)}",
            fix=f"{did_you_mean(name, ('auto', *STRATEGIES))}Correct training.strategy.",
        )
    return make()


def chosen(name: str) -> str:
    """Returns the strategy that a name means on this host; `auto` is looked up, others stay."""
    if name != "auto":
        return name
    if any(os.environ.get(variable) for variable in TPU_VARIABLES):
        return "tpu"
    if len(_workers()) > 1:
        return "multi_worker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "default"


def _workers() -> list[str]:
    """Returns the addresses of all workers that TF_CONFIG names."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        return [*cluster.get("chief", ()), *cluster.get("worker", ())]
    except (ValueError, AttributeError, TypeError) as error:
        raise _bad_cluster(f"TF_CONFIG = {text!r}: {error}") from None


def _bad_cluster(got: str) -> RecipeError:
    return RecipeError(
        got,
        expected='TF_CONFIG such as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
        '"index": 0}}',
        fix='Set TF_CONFIG on every host, with its own index, or choose strategy = "default" or "mirrored".',
    )


def _mirrored() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy()


def _multi_worker() -> tf.distribute.Strategy:
    if not _workers():
        raise _bad_cluster("TF_CONFIG names no workers")
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> tf.distribute.Strategy:
    # Hosts with a TPU of their own answer to "local"; elsewhere the resolver reads the address from the environment.
    address = os.environ.get("TPU_NAME") or os.environ.get("COLAB_TPU_ADDR") or "local"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
        if address != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise InstallationError(
            f"no TPU at {address!r}: {str(error).splitlines()[0]}",
            expected="a host with a TPU and the TensorFlow that belongs to it",
            fix='Choose a TPU runtime (and restart), or strategy = "auto".',
        ) from None


STRATEGIES: dict[str, Callable[[], tf.distribute.Strategy]] = {
    "default": tf.distribute.get_strategy,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
}
