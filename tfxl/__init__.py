"""tfxl: cross-lingual models in TensorFlow, from text in many languages to a measured, served model.

Public names load on first use, so that `import tfxl` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Example": "tfxl.example",
    "Model": "tfxl.serving.model",
    "Prediction": "tfxl.example",
    "TfxlError": "tfxl.errors",
    "adopt": "tfxl.adopting",
    "compare": "tfxl.run",
    "consistency": "tfxl.crosslingual",
    "evaluate": "tfxl.run",
    "index": "tfxl.indexing",
    "load": "tfxl.serving.model",
    "matrix": "tfxl.crosslingual",
    "search": "tfxl.indexing",
    "train": "tfxl.run",
    "trim": "tfxl.trimming",
}

if TYPE_CHECKING:
    from tfxl.adopting import adopt
    from tfxl.crosslingual import consistency, matrix
    from tfxl.errors import TfxlError
    from tfxl.example import Example, Prediction
    from tfxl.indexing import index, search
    from tfxl.run import compare, evaluate, train
    from tfxl.serving.model import Model, load
    from tfxl.trimming import trim

__all__ = [
    "Example",
    "Model",
    "Prediction",
    "TfxlError",
    "adopt",
    "compare",
    "consistency",
    "evaluate",
    "index",
    "load",
    "matrix",
    "search",
    "train",
    "trim",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tfxl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
