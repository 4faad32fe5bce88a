"""The one place that picks TensorFlow and Keras 2 (tf_keras, which TFBertModel needs) and checks that they fit.

Import `tf` and `keras` from here, never from TensorFlow. This module is slow to import (seconds): modules that the
command line's help needs do not import it.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata

from tfxl.errors import InstallationError

SUPPORTED_MINOR = ("2.21",)
PACKAGES = ("tensorflow", "tf_keras", "tensorflow-text")


def check_versions(installed: dict[str, str | None]) -> None:
    """Checks that the packages belong together: one minor version of TensorFlow's three, transformers below 5.

    Args:
        installed: Version by package name; None where a package is absent.

    Raises:
        InstallationError: A package is absent or does not fit; the message names the pip command that mends it.
    """
    shown = ", ".join(f"{name} {version or 'absent'}" for name, version in installed.items())
    minor = _minor(installed.get("tensorflow")) or SUPPORTED_MINOR[0]
    fits = all(_minor(installed.get(name)) == minor for name in PACKAGES)
    transformers = installed.get("transformers")
    if fits and transformers is not None and transformers.startswith("4."):
        return
    wanted = " ".join(f'"{name}=={minor}.*"' for name in PACKAGES)
    raise InstallationError(
        shown,
        expected="tensorflow, tf_keras, tensorflow-text of one minor version; transformers 4 (5 has no TensorFlow)",
        fix=f'pip install {wanted} "transformers>=4.57,<5"',
    )


def _minor(version: str | None) -> str | None:
    return ".".join(version.split(".")[:2]) if version else None


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_keras_is_not_loaded() -> None:
    """TensorFlow decides once, at its first use of Keras, which Keras it takes."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("0", "false") or (
        "keras" in sys.modules and "tensorflow.keras" in sys.modules and "tf_keras" not in sys.modules
    ):
        raise InstallationError(
            "Keras 3 was chosen before tfxl was imported",
            expected="Keras 2 (tf_keras), which TFBertModel needs",
            fix="Import tfxl.backend before tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment.",
        )


check_versions({name: _installed(name) for name in (*PACKAGES, "transformers")})
_check_keras_is_not_loaded()
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

# Dropout then draws from seeded generators that can be saved, so that a run can be repeated.
keras.backend.experimental.enable_tf_random_generator()

__all__ = ["check_versions", "keras", "tf"]
