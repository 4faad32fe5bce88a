"""Which package holds TensorFlow, and the versions that stand beside models and numbers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import PurePosixPath

import pytest

import tfxl
from tfxl import packages

FILES = {
    "tensorflow-serving-api": ["tensorflow/core/a_pb2.py", "tensorflow_serving/__init__.py"],
    "tensorflow_cpu": ["tensorflow/__init__.py"],
}


@pytest.fixture
def processor_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has `tensorflow_cpu` and no `tensorflow`, nor `transformers`."""
    known = {"tensorflow_cpu": "2.21.3", "tf_keras": "2.21.0", "tensorflow-text": "2.21.1", "numpy": "2.0.1"}

    def version(name: str) -> str:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(packages.metadata, "version", version)
    monkeypatch.setattr(packages.metadata, "packages_distributions", lambda: {"tensorflow": list(FILES)})
    monkeypatch.setattr(packages.metadata, "files", lambda name: [PurePosixPath(path) for path in FILES[name]])


def test_versions_are_those_that_are_installed() -> None:
    from tfxl.backend import tf

    found = packages.versions()
    assert list(found) == ["tfxl", *packages.NAMES]
    assert (found["tfxl"], found["tensorflow"]) == (tfxl.__version__, tf.__version__)


@pytest.mark.usefixtures("processor_build")
def test_the_build_is_found_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.tensorflow() == "tensorflow_cpu"
    monkeypatch.setattr(packages.metadata, "packages_distributions", dict)
    assert packages.tensorflow() == "tensorflow", "which is absent, and is what a message names"


@pytest.mark.usefixtures("processor_build")
def test_another_build_of_tensorflow_has_a_version_too() -> None:
    others = {"tf_keras": "2.21.0", "tensorflow-text": "2.21.1", "numpy": "2.0.1"}
    assert packages.versions() == {"tfxl": tfxl.__version__, "tensorflow": "2.21.3", **others}
