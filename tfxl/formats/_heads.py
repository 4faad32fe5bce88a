"""Heads of transformers' PyTorch classes: which layers each class has, and what tfxl calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfxl.backend import keras
from tfxl.errors import WeightsError

NEVER = -1e4
"""The logit of a tag that a checkpoint does not have, through its bias: its probability is 0."""


class Layers(NamedTuple):
    """The layers of a head.

    Attributes:
        logits: What PyTorch calls the last layer.
        dense: What it calls the layer before, if there is one.
        activation: That layer's activation.
    """

    logits: str
    dense: str = ""
    activation: str = "none"


_POOLER = Layers("classifier", "pooler.dense", "tanh")
_ROBERTA = Layers("classifier.out_proj", "classifier.dense", "tanh")
_DISTILBERT = Layers("classifier", "pre_classifier", "relu")
_LIKE_ROBERTA = ("xlm-roberta", "roberta", "camembert")
_EVERY = ("bert", *_LIKE_ROBERTA, "electra", "distilbert")
SEQUENCE, TOKEN, SPAN, CHOICE = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
ENCODER = "Model"
HEADS: dict[str, dict[str, Layers]] = {
    SEQUENCE: {
        "bert": _POOLER,
        **dict.fromkeys(_LIKE_ROBERTA, _ROBERTA),
        "electra": Layers("classifier.out_proj", "classifier.dense", "gelu"),
        "distilbert": _DISTILBERT,
    },
    TOKEN: dict.fromkeys(_EVERY, Layers("classifier")),
    SPAN: dict.fromkeys(_EVERY, Layers("qa_outputs")),
    CHOICE: {
        **dict.fromkeys(("bert", *_LIKE_ROBERTA), _POOLER),
        "electra": Layers("classifier", "sequence_summary.summary", "gelu"),
        "distilbert": _DISTILBERT,
    },
}
"""By the second half of a class's name and the family. BERT's own dense layer is its encoder's pooler."""


def parts(layers: Layers) -> Iterator[tuple[str, str]]:
    """Yields PyTorch's name of each layer of a head, and what tfxl's heads call it."""
    yield layers.logits, "logits"
    if layers.dense:
        yield layers.dense, "dense"


def tensors(layers: Layers) -> list[str]:
    """Returns PyTorch's names of a head's tensors."""
    return [f"{theirs}.{kind}" for theirs, _ in parts(layers) for kind in ("weight", "bias")]


def fill(model: keras.Model, layers: Layers, arrays: Mapping[str, np.ndarray], *, where: str) -> None:
    """Gives the head of a model its weights.

    Args:
        model: A task's model; its logits may be more than the checkpoint's, and are then never chosen.
        layers: The head's layers.
        arrays: Arrays in PyTorch's names and layout.
        where: The checkpoint, for the error.

    Raises:
        WeightsError: An array has another shape.
    """
    head = model.get_layer("head")
    for theirs, ours in parts(layers):
        layer = getattr(head, ours)
        kernel, bias = np.asarray(arrays[f"{theirs}.weight"]).T, np.asarray(arrays[f"{theirs}.bias"])
        units = layer.kernel.shape[-1]
        if kernel.shape[0] != layer.kernel.shape[0] or bias.shape != kernel.shape[1:] or kernel.shape[1] > units:
            raise WeightsError(
                f"{where}: {theirs}.weight has shape {list(kernel.T.shape)}, {theirs}.bias {list(bias.shape)}",
                expected=f"{[units, int(layer.kernel.shape[0])]} and {[units]}",
                fix="Take weights and config.json from the same place.",
            )
        more = units - kernel.shape[1]
        layer.kernel.assign(np.pad(kernel, [(0, 0), (0, more)]))
        layer.bias.assign(np.pad(bias, (0, more), constant_values=NEVER))


def take(model: keras.Model, layers: Layers) -> dict[str, np.ndarray]:
    """Returns the weights of a model's head in PyTorch's names and layout: the reverse of `fill`."""
    head = model.get_layer("head")
    found: dict[str, np.ndarray] = {}
    for theirs, ours in parts(layers):
        layer: Any = getattr(head, ours)
        found[f"{theirs}.weight"] = np.ascontiguousarray(layer.kernel.numpy().T)
        found[f"{theirs}.bias"] = layer.bias.numpy()
    return found
