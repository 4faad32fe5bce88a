"""The network: transformers' TFBertModel as a Keras functional model over the three named inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from transformers import BertConfig, TFBertModel

from tfxl.backend import keras, tf
from tfxl.pretrained import families
from tfxl.pretrained.configuration import check_config

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


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
    """Returns an encoder with the given weights, without drawing random ones first.

    Args:
        config: The values of a BertConfig.
        arrays: Arrays in PyTorch's names and layout; lazy ones are read one at a time.

    Raises:
        WeightsError: The configuration is wrong, or the arrays do not fit it.
    """
    with tf.variable_creator_scope(_zeros):
        model = network(config)
    families.assign(model, arrays)
    return model


def _zeros(next_creator: Any, **arguments: Any) -> Any:
    """Creates a weight as zeros: drawing 100 million random numbers only to overwrite them takes seconds."""
    shape, dtype = arguments.get("shape"), arguments.get("dtype")
    if shape is not None and dtype is not None and tf.as_dtype(dtype).is_floating:
        arguments["initial_value"] = lambda: tf.zeros(shape, dtype)
    return next_creator(**arguments)


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
