"""The one place that picks TensorFlow and Keras 2 (tf_keras, which TFBertModel needs) and checks that they fit.

Import `tf` and `keras` from here, never from TensorFlow. This module is slow to import (seconds): modules that the
command line's help needs do not import it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tfxl import packages
from tfxl.errors import InstallationError

SUPPORTED_MINOR = ("2.21",)
PACKAGES = ("tensorflow", "tf_keras", "tensorflow-text")
TRANSFORMERS = ((4, 57), (5, 0))
"""The first version that is supported, and the first that is not: 5 has no TensorFlow."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def check_versions(installed: dict[str, str | None], *, tensorflow: str = "tensorflow") -> None:
    """Checks that the packages are supported: one minor version of TensorFlow's three, transformers from 4.57, below 5.

    Args:
        installed: Version by package name; None where a package is absent.
        tensorflow: The package that holds TensorFlow: a build for a processor or a TPU has a name of its own.

    Raises:
        InstallationError: A package is absent or does not fit; the message names the pip command that mends it.
    """
    shown = ", ".join(f"{name} {version or 'absent'}" for name, version in installed.items())
    minors = {_minor(installed.get(name)) for name in (tensorflow, *PACKAGES[1:])}
    first, end = TRANSFORMERS
    if len(minors) == 1 and minors <= set(SUPPORTED_MINOR) and first <= _numbers(installed.get("transformers")) < end:
        return
    minor = SUPPORTED_MINOR[-1]
    wanted = " ".join(f'"{name}=={minor}.*"' for name in (tensorflow, *PACKAGES[1:]))
    raise InstallationError(
        shown,
        expected=f"tensorflow, tf_keras, tensorflow-text of one minor version, {' or '.join(SUPPORTED_MINOR)}; "
        "transformers 4 from 4.57 (5 has no TensorFlow)",
        fix=f'pip install {wanted} "transformers>=4.57,<5"',
    )


def _minor(version: str | None) -> str | None:
    return ".".join(version.split(".")[:2]) if version else None


def _numbers(version: str | None) -> tuple[int, ...]:
    """Returns the major and the minor version; nothing, which is below any version, if there is none."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return tuple(map(int, found.groups())) if found else ()


def check_keras(model: type | None = None) -> None:
    """Refuses another Keras than tf_keras: TensorFlow decides once, at its first use of Keras, which one it takes.

    Args:
        model: The class `tf.keras.Model`, once TensorFlow is imported.

    Raises:
        InstallationError: It is that of Keras 3, or the environment asks for Keras 3.
    """
    asked = os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("0", "false")
    if asked or (model and not model.__module__.startswith("tf_keras.")):
        raise InstallationError(
            "Keras 3 was chosen before tfxl was imported",
            expected="Keras 2 (tf_keras), which TFBertModel needs",
            fix="Import tfxl.backend before tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment.",
        )


_TENSORFLOW = packages.tensorflow()
check_versions(
    {name: packages.installed(name) for name in (_TENSORFLOW, *PACKAGES[1:], "transformers")}, tensorflow=_TENSORFLOW
)
check_keras()
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if platform.machine().lower() in ("x86_64", "amd64"):
    # Left alone, TensorFlow uses oneDNN only on processors from AVX512-VNNI on. On AVX2 it nearly halves a step too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf  # noqa: E402
import tensorflow_text as text_ops  # noqa: E402  # its ops have to be known before a SavedModel is read
import tf_keras as keras  # noqa: E402

check_keras(tf.keras.Model)

# Dropout then draws from seeded generators that can be saved, so that a run can be repeated.
keras.backend.experimental.enable_tf_random_generator()

__all__ = ["check_keras", "check_versions", "keras", "text_ops", "tf", "without_autograph"]


def without_autograph(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Returns the function, to be traced with all that it calls as it is written.

    AutoGraph would rewrite Python's `if` and `for` first, those of Keras and transformers too. That takes seconds in
    every process and makes each trace slower, and it is needed only where they depend on tensors.

    Example:
        answer = tf.function(without_autograph(answer))
    """
    return tf.autograph.experimental.do_not_convert(function)
