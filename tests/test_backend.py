from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tfxl import backend
from tfxl.backend import check_versions, keras, tf, without_autograph
from tfxl.errors import InstallationError

FITTING = {"tensorflow": "2.21.0", "tf_keras": "2.21.0", "tensorflow-text": "2.21.1", "transformers": "4.57.6"}


def test_keras_is_keras_2_and_the_one_of_tensorflow() -> None:
    assert keras.__version__.startswith("2.")
    assert tf.keras.Model is keras.Model


def test_versions_that_fit() -> None:
    check_versions(FITTING)
    check_versions({**FITTING, "transformers": "4.100.0.dev0"})


@pytest.mark.parametrize("name", ["tensorflow-cpu", "tensorflow_cpu", "tensorflow-tpu"])
def test_another_build_of_tensorflow_counts(name: str) -> None:
    installed = {name: "2.21.0", **{other: version for other, version in FITTING.items() if other != "tensorflow"}}
    check_versions(installed, tensorflow=name)
    with pytest.raises(InstallationError) as caught:
        check_versions({**installed, "tf_keras": None}, tensorflow=name)
    assert f'"{name}==2.21.*"' in caught.value.fix and '"tensorflow==' not in caught.value.fix


@pytest.mark.parametrize(
    "change",
    [
        {"tensorflow": None},
        {"tf_keras": None},
        {"tensorflow-text": None},
        {"transformers": None},
        {"tf_keras": "2.20.1"},
        {"tensorflow": "2.20.0"},
        {"tensorflow-text": "2.19.0"},
        {"tensorflow": "2.2.1"},
        {"transformers": "5.0.0"},
        {"transformers": "3.5.1"},
        {"transformers": "40.0"},
        {"transformers": "4.56.2"},
        {"transformers": "unknown"},
        {"tensorflow": "2.20.0", "tf_keras": "2.20.1", "tensorflow-text": "2.20.0"},
        {"tensorflow": "2.22.0", "tf_keras": "2.22.0", "tensorflow-text": "2.22.0"},
    ],
)
def test_versions_that_do_not_fit_are_named_with_the_command_that_mends_them(change: dict[str, str | None]) -> None:
    with pytest.raises(InstallationError) as caught:
        check_versions({**FITTING, **change})
    for name, version in {**FITTING, **change}.items():
        assert f"{name} {version or 'absent'}" in caught.value.got
    assert caught.value.fix.startswith("pip install ")
    for name in FITTING:
        assert f'"{name}' in caught.value.fix
    assert "<5" in caught.value.fix


def test_the_command_mends_the_set() -> None:
    """What it installs is a set that passes."""
    with pytest.raises(InstallationError) as caught:
        check_versions({**FITTING, "tensorflow": None, "transformers": "5.1"})
    assert '"tensorflow==2.21.*" "tf_keras==2.21.*" "tensorflow-text==2.21.*"' in caught.value.fix


@pytest.mark.parametrize("value", ["0", "false", "False"])
def test_keras_3_that_was_asked_for_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    with pytest.raises(InstallationError, match="Keras 3"):
        backend.check_keras()


def test_keras_3_that_was_used_before_is_refused_by_whatever_is_imported_first() -> None:
    """TensorFlow has chosen by then; `tfxl.load` must say so before a library trips over it."""
    script = "import tensorflow as tf; tf.keras.layers.Dense; import tfxl; tfxl.load('nowhere')"
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "InstallationError" in done.stderr and "Keras 3 was chosen" in done.stderr
    assert "TF_USE_LEGACY_KERAS=1" in done.stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is switched on for x86 alone")
def test_onednn_is_on_unless_the_environment_says_no() -> None:
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] in ("0", "1")


def test_without_autograph_nothing_is_rewritten() -> None:
    """Neither the function nor what it calls: an `if` on a tensor would need that."""

    def sign(number: tf.Tensor) -> tf.Tensor:
        return tf.constant(1) if number > 0 else tf.constant(-1)

    rewritten, as_written = (
        tf.function(wrap(lambda number: sign(number))) for wrap in (lambda it: it, without_autograph)
    )
    assert rewritten(tf.constant(-3.0)) == -1
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        as_written(tf.constant(-3.0))
