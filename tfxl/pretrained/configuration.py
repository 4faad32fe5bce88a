"""Configurations: the values of a BertConfig that a network is built from, checked first, and other families' names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from tfxl.errors import WeightsError
from tfxl.pretrained.families import FAMILIES, Family
from tfxl.pretrained.layout import NUM_TYPES, first_position
from tfxl.settings import Settings

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "swish", "silu", "mish", "tanh", "sigmoid")
"""The names that transformers' TensorFlow layers know."""
SAME_ACTIVATIONS = {"gelu_python": "gelu", "gelu_pytorch_tanh": "gelu_new", "gelu_accurate": "gelu_new"}
"""Names that its PyTorch layers know besides, and which function that is."""


class BertValues(Settings):
    """What TFBertModel reads. A file's other entries (labels, versions, training remarks) are dropped."""

    model_type: Literal["bert"] = "bert"
    vocab_size: int = Field(ge=1, le=10_000_000)
    hidden_size: int = Field(ge=1, le=100_000)
    num_hidden_layers: int = Field(ge=1, le=1000)
    num_attention_heads: int = Field(ge=1)
    intermediate_size: int = Field(ge=1, le=1_000_000)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    max_position_embeddings: int = Field(default=512, ge=2, le=1_000_000)
    type_vocab_size: int = Field(default=2, ge=1, le=10_000)
    initializer_range: float = Field(default=0.02, gt=0)
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    pad_token_id: int | None = 0
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False

    @field_validator("hidden_act")
    @classmethod
    def _known(cls, value: str) -> str:
        value = SAME_ACTIVATIONS.get(value, value)
        if value not in ACTIVATIONS:
            raise ValueError(f"one of {', '.join(ACTIVATIONS)}")
        return value

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> BertValues:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("a hidden_size that num_attention_heads divides")
        return self


def check_config(values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Returns the values that a network is built from, with defaults filled in.

    Args:
        values: A Hugging Face `config.json` of the family `bert`.
        where: The file, for the error.

    Raises:
        WeightsError: A value is missing, of the wrong type, or asks for what TFBertModel does not have.
    """
    known = {key: value for key, value in values.items() if key in BertValues.model_fields}
    try:
        return BertValues.model_validate(known).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        got = "is missing" if first["type"] == "missing" else f"is {str(first['input'])[:200]!r}"
        raise WeightsError(
            f"{where}: {key or 'the configuration'} {got}",
            expected=first["msg"].removeprefix("Value error, "),
            fix="Take the config.json that was published with the weights.",
        ) from None


def as_bert(values: Mapping[str, Any], family: Family, *, where: str) -> dict[str, Any]:
    """Returns another family's configuration as values of a BertConfig.

    Args:
        values: A Hugging Face `config.json`.
        family: Its family.
        where: The file, for the error.

    Raises:
        WeightsError: A value is missing, of the wrong type, or asks for what TFBertModel does not have.
    """
    _require_one_width(values, family, where)
    known = {key: values[theirs] for key, theirs in _names(family).items() if theirs in values}
    found = check_config({**family.defaults, **known, **family.fixed, "model_type": "bert"}, where=where)
    first = first_position(values, family)
    if family.base != "bert":  # a family with one token type repeats its row: see `layout`
        found["type_vocab_size"] = max(found["type_vocab_size"], NUM_TYPES)
    found["max_position_embeddings"] -= first
    if found["max_position_embeddings"] < 1:
        raise WeightsError(
            f"{where}: max_position_embeddings is {found['max_position_embeddings'] + first}",
            expected=f"more than {first}: this family counts positions from pad_token_id + 1",
            fix="Take the config.json that was published with the weights.",
        )
    return found


def as_family(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """Returns values of a BertConfig as another family's configuration: the reverse of `as_bert`."""
    family = FAMILIES[model_type]
    values = {theirs: config[key] for key, theirs in _names(family).items() if key not in family.fixed}
    if model_type == "electra":
        values["embedding_size"] = config["hidden_size"]
    if family.positions_after_padding and not isinstance(values["pad_token_id"], int):
        values["pad_token_id"] = family.defaults["pad_token_id"]
    values["max_position_embeddings"] += first_position(values, family)
    return {**values, "model_type": model_type}


def _names(family: Family) -> dict[str, str]:
    """What the family calls each value of a BertConfig."""
    return {key: family.values.get(key, key) for key in BertValues.model_fields if key != "model_type"}


def _require_one_width(values: Mapping[str, Any], family: Family, where: str) -> None:
    narrow = values.get("embedding_size", 128 if family.base == "electra" else None)
    if narrow is not None and narrow != values.get("hidden_size"):
        raise WeightsError(
            f"{where}: embedding_size is {narrow!r} and hidden_size {values.get('hidden_size')!r}",
            expected="one width: TFBertModel has no projection between embeddings and layers",
            fix="Choose a base or large model of this family, where both are equal.",
        )


def parse_json(content: bytes, *, where: str) -> dict[str, Any]:
    """Returns a JSON object.

    Raises:
        WeightsError: It is not JSON, or not an object.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _not_an_object(where, str(error)) from None
    if not isinstance(value, dict):
        raise _not_an_object(where, f"it holds a {type(value).__name__}")
    return value


def _not_an_object(where: str, reason: str) -> WeightsError:
    return WeightsError(f"{where}: {reason}", expected="a JSON object", fix="Fetch the file again.")
