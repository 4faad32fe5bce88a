"""Packages: the versions of those that shape models and numbers. Nothing of them is imported, so it is quick."""

from __future__ import annotations

from importlib import metadata

import tfxl

NAMES = ("tensorflow", "tf_keras", "tensorflow-text", "transformers", "numpy")
"""Packages whose versions stand beside models and numbers."""


def versions() -> dict[str, str]:
    """Returns the versions of tfxl and of the packages that it computes with, by name, where they are installed.

    TensorFlow is always called `tensorflow`, whatever build of it is installed.
    """
    builds = {"tensorflow": tensorflow()}
    found = {name: installed(builds.get(name, name)) for name in NAMES}
    return {"tfxl": tfxl.__version__} | {name: version for name, version in found.items() if version}


def tensorflow() -> str:
    """Returns the package that holds the module `tensorflow`, such as tensorflow-cpu where there is no `tensorflow`."""
    if installed("tensorflow"):
        return "tensorflow"
    for name in metadata.packages_distributions().get("tensorflow", ()):
        # Others, such as tensorflow-serving-api, may put files into the folder; one of them makes it a module.
        if any(file.as_posix() == "tensorflow/__init__.py" for file in metadata.files(name) or ()):
            return name
    return "tensorflow"


def installed(name: str) -> str | None:
    """Returns the version of a package; None where it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
