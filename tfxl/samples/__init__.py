"""Samples: small data sets that come with the package, so that everything can be tried without a network.

A path in a recipe that begins with `sample:` is looked for here. Each sample's README says what it is and its licence.
"""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """Returns the folder that holds the samples."""
    return Path(__file__).parent
