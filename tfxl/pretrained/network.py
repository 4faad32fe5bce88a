"""The network: transformers' TFBertModel as a Keras functional model over the three named inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from transformers import BertConfig, TFBertModel

from tfxl.backend import keras, tf, without_autograph
from tfxl.errors import WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import LazyArrays, shapes_of
from tfxl.pretrained.configuration import check_config
from tfxl.pretrained.tensors import TensorArray

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


@without_autograph
def network(config: Mapping[str, Any]) -> keras.Model:
    """Returns an encoder with random weights.

    Inputs `input_ids`, `token_type_ids`, `attention_mask`, each `[batch, tokens]` int32, of any length up to
    `max_position_embeddings`. Output: the last hidden states, `[batch, tokens, hidden]`.

    Args:
        config: The values of a BertConfig.

    Raises:
        WeightsError: A value is missing, of the wrong type, or asks for what TFBertModel does not have.

    Example:
        >>> network({"vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        ...          "intermediate_size": 16})
    """
    values = check_config(config, where="the encoder's configuration")

    # Layers
    with _quiet():
        bert = TFBertModel(BertConfig(**values), add_pooling_layer=False, name="encoder")

    # Functional model
    inputs = {name: keras.Input([None], dtype="int32", name=name) for name in INPUTS}
    hidden = bert(inputs).last_hidden_state
    return keras.Model(inputs=inputs, outputs=hidden, name="bert_encoder")


def load(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> keras.Model:
    """Returns an encoder with the given weights; no random ones are drawn, and one array at a time is in memory.

    Args:
        config: The values of a BertConfig.
        arrays: Arrays in PyTorch's names and layout; lazy ones are read one at a time. A pooler is passed over.

    Raises:
        WeightsError: The configuration is wrong, or the arrays do not fit it or hold NaN.
    """
    values = check_config(config, where="the encoder's configuration")
    families.check_shapes(values, shapes_of(arrays), where="the weights")
    private = isinstance(arrays, LazyArrays)  # then nobody else holds what is read
    filled: set[str] = set()

    def fill(next_creator: Any, **arguments: Any) -> Any:
        name = families.torch_name(f"{tf.get_current_name_scope()}/{arguments.get('name')}")
        if name is not None:
            filled.add(name)
            # A function: a distribution strategy calls it when, and where, it needs the value.
            arguments["initial_value"] = lambda: _tensor(
                families.as_variable(name, _finite(name, arrays[name])), private
            )
        return next_creator(**arguments)

    with tf.variable_creator_scope(fill):
        model = network(values)
    missing = families.expected_shapes(values).keys() - filled
    if missing:  # TFBertModel's names are the contract with transformers; a version that changes them must not pass
        raise WeightsError(
            f"{len(missing)} weights found no variable, among them {min(missing)}",
            expected="the variable names of transformers 4",
            fix='pip install "transformers>=4.57,<5"',
        )
    return model


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array.sum()):  # a sum needs no second array, and one NaN or infinity shows in it
        raise WeightsError(
            f"{name} holds values that are not finite, or far too large",
            expected="ordinary weights",
            fix="Fetch the weights again; if the original has them too, its training failed.",
        )
    return array


def _tensor(array: np.ndarray, private: bool) -> tf.Tensor:
    """Returns an array as a tensor; a private one that is the memory of a tensor is handed on, without a copy."""
    if private and isinstance(array, TensorArray) and array.tensor is not None:
        return array.tensor
    return tf.convert_to_tensor(array)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back transformers' advice to move to PyTorch."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
