"""Names and shapes: how the tensors of a checkpoint map onto the variables of TFBertModel.

`TABLE` is the one list of BERT's tensors: PyTorch's name, the variable's name in TFBertModel, the shape in words of the
configuration. `FAMILIES` says how checkpoints of other families name the same tensors and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfxl.errors import WeightsError
from tfxl.pretrained.checkpoint import LazyArrays, Shape

if TYPE_CHECKING:
    from tfxl.backend import keras


class Tensor(NamedTuple):
    """One tensor of BERT; `{i}` stands for the layer. The shape is PyTorch's: a dense kernel is `[out, in]`."""

    torch: str
    variable: str
    shape: tuple[str, ...]
    transposed: bool = False


def _dense(name: str, width_out: str = "hidden_size", width_in: str = "hidden_size") -> list[Tensor]:
    variable = name.replace(".", "/")
    return [
        Tensor(f"{name}.weight", f"{variable}/kernel", (width_out, width_in), transposed=True),
        Tensor(f"{name}.bias", f"{variable}/bias", (width_out,)),
    ]


def _norm(name: str) -> list[Tensor]:
    variable = name.replace(".", "/")
    return [
        Tensor(f"{name}.weight", f"{variable}/gamma", ("hidden_size",)),
        Tensor(f"{name}.bias", f"{variable}/beta", ("hidden_size",)),
    ]


def _embedding(name: str, variable: str, rows: str) -> Tensor:
    return Tensor(f"embeddings.{name}.weight", f"embeddings/{name}/{variable}", (rows, "hidden_size"))


EMBEDDINGS = [
    _embedding("word_embeddings", "weight", "vocab_size"),
    _embedding("position_embeddings", "embeddings", "max_position_embeddings"),
    _embedding("token_type_embeddings", "embeddings", "type_vocab_size"),
    *_norm("embeddings.LayerNorm"),
]
LAYER = [
    *_dense("encoder.layer.{i}.attention.self.query"),
    *_dense("encoder.layer.{i}.attention.self.key"),
    *_dense("encoder.layer.{i}.attention.self.value"),
    *_dense("encoder.layer.{i}.attention.output.dense"),
    *_norm("encoder.layer.{i}.attention.output.LayerNorm"),
    *_dense("encoder.layer.{i}.intermediate.dense", width_out="intermediate_size"),
    *_dense("encoder.layer.{i}.output.dense", width_in="intermediate_size"),
    *_norm("encoder.layer.{i}.output.LayerNorm"),
]
POOLER = _dense("pooler.dense")
TABLE = (*EMBEDDINGS, *LAYER, *POOLER)

_BY_TORCH = {tensor.torch: tensor for tensor in TABLE}
_BY_VARIABLE = {tensor.variable: tensor for tensor in TABLE}
_VARIABLE = re.compile(r"(?:^|/)bert/((?:embeddings|encoder|pooler)/[^:]*)(?::\d+)?$")
_LAYER_OF_VARIABLE = re.compile(r"^encoder/layer_\._(\d+)/")
_LAYER_OF_TORCH = re.compile(r"^encoder\.layer\.(\d+)\.")


@dataclass(frozen=True)
class Family:
    """How checkpoints of one `model_type` differ from BERT's.

    Attributes:
        base: What PyTorch's and TensorFlow's classes call the encoder, in front of heads.
        renamed: Parts of tensor names, theirs and ours. Replaced in this order in both directions, so that a longer
            name stands before one that it ends in.
        values: What the configuration calls a value of BertConfig.
        fixed: Values of BertConfig that hold for the family, whatever the configuration says.
        defaults: Values of BertConfig that hold where the configuration says nothing.
        positions_after_padding: Whether positions are counted from `pad_token_id + 1`.
        token_types: Whether there is a table of token types.
        architectures: The first half of the names of its classes.
    """

    base: str
    architectures: str
    renamed: tuple[tuple[str, str], ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    positions_after_padding: bool = False
    token_types: bool = True


_ROBERTA: dict[str, Any] = {"base": "roberta", "defaults": {"pad_token_id": 1}, "positions_after_padding": True}
FAMILIES = {
    "bert": Family(base="bert", architectures="Bert"),
    "xlm-roberta": Family(architectures="XLMRoberta", **_ROBERTA),
    "roberta": Family(architectures="Roberta", **_ROBERTA),
    "camembert": Family(architectures="Camembert", **_ROBERTA),
    "electra": Family(base="electra", architectures="Electra"),
    "distilbert": Family(
        base="distilbert",
        architectures="DistilBert",
        renamed=(
            ("transformer.layer.", "encoder.layer."),
            (".attention.q_lin.", ".attention.self.query."),
            (".attention.k_lin.", ".attention.self.key."),
            (".attention.v_lin.", ".attention.self.value."),
            (".attention.out_lin.", ".attention.output.dense."),
            (".sa_layer_norm.", ".attention.output.LayerNorm."),
            (".ffn.lin1.", ".intermediate.dense."),
            (".ffn.lin2.", ".output.dense."),
            (".output_layer_norm.", ".output.LayerNorm."),
        ),
        values={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
        },
        fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 2},
        token_types=False,
    ),
}


def find_family(model_type: Any, *, where: str) -> Family:
    """Returns the family of a configuration's `model_type`.

    Raises:
        WeightsError: It cannot be mapped onto TFBertModel.
    """
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise WeightsError(
        f"{where}: model_type is {model_type!r}",
        expected=f"one of {', '.join(FAMILIES)}",
        fix="Choose weights of a family that is BERT in structure, such as intfloat/multilingual-e5-small.",
    )


def computed_otherwise(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """Returns the values with which a family's classes compute where a configuration says others.

    Args:
        config: Values of a BertConfig.
        model_type: The family.
    """
    family = FAMILIES[model_type]
    # Token types are tensors: whether a family without them can hold them is seen from these alone (`layout.restore`).
    unused = () if family.token_types else ("type_vocab_size",)
    return {name: value for name, value in family.fixed.items() if name not in unused and config[name] != value}


def is_of_encoder(variable: str) -> bool:
    """Whether a variable's name lies inside TFBertModel."""
    return _VARIABLE.search(variable) is not None


def torch_name(variable: str) -> str | None:
    """Returns PyTorch's name of a variable of TFBertModel, or None for any other variable (a head's, a tuner's).

    Args:
        variable: A name such as `encoder/bert/encoder/layer_._0/output/dense/kernel:0`.
    """
    match = _VARIABLE.search(variable)
    if match is None:
        return None
    layer = _LAYER_OF_VARIABLE.match(match[1])
    row = _BY_VARIABLE.get(_LAYER_OF_VARIABLE.sub("encoder/layer/{i}/", match[1]))
    if row is None:
        return None
    return row.torch.replace("{i}", layer[1]) if layer else row.torch


def _row(name: str) -> Tensor | None:
    return _BY_TORCH.get(_LAYER_OF_TORCH.sub("encoder.layer.{i}.", name))


def expected_shapes(config: Mapping[str, Any], *, pooler: bool = False) -> dict[str, Shape]:
    """Returns the shape of every tensor that a configuration asks for, by PyTorch's name, in PyTorch's layout."""
    layers = range(config["num_hidden_layers"])
    rows = [(tensor.torch, tensor.shape) for tensor in EMBEDDINGS]
    rows += [(tensor.torch.replace("{i}", str(i)), tensor.shape) for i in layers for tensor in LAYER]
    rows += [(tensor.torch, tensor.shape) for tensor in POOLER if pooler]
    return {name: tuple(config[size] for size in shape) for name, shape in rows}


def check_shapes(config: Mapping[str, Any], shapes: Mapping[str, Shape], *, where: str) -> None:
    """Checks that the tensors are those of the configuration; the pooler may be absent.

    Raises:
        WeightsError: The error lists what is missing, what is left over and what has another shape.
    """
    wanted = expected_shapes(config)
    pooler = {name: shape for name, shape in expected_shapes(config, pooler=True).items() if name not in wanted}
    missing = [name for name in wanted if name not in shapes]
    left_over = [name for name in shapes if name not in wanted and name not in pooler]
    wrong = [
        f"{name} {list(shapes[name])} instead of {list(shape)}"
        for name, shape in (wanted | pooler).items()
        if name in shapes and tuple(shapes[name]) != shape
    ]
    parts = {"missing": missing, "left over": left_over, "of another shape": wrong}
    if any(parts.values()):
        got = "; ".join(f"{len(names)} {what}: {some(names)}" for what, names in parts.items() if names)
        raise WeightsError(
            f"{where}: {got}",
            expected=f"the {len(wanted)} tensors of a BERT encoder with {config['num_hidden_layers']} layers",
            fix="Take weights and config.json from the same place.",
        )


def some(names: Iterable[str]) -> str:
    """Returns the first few names, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(listed[:8]) + more if listed else "none"


def assign(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Fills the variables of TFBertModel inside `model`, one array at a time.

    Args:
        model: A model that holds a TFBertModel; its other variables are left as they are.
        arrays: Arrays in PyTorch's names and layout; a pooler that the model has no place for is passed over.

    Raises:
        WeightsError: The error lists what is missing, what is left over or what has another shape.
    """
    variables = _variables(model)
    missing = sorted(set(variables) - set(arrays))
    left_over = sorted(name for name in set(arrays) - set(variables) if not name.startswith("pooler."))
    if missing or left_over or not variables:
        raise WeightsError(
            f"missing: {some(missing)}; left over: {some(left_over)}",
            expected=f"one array for each of the {len(variables)} variables of TFBertModel",
            fix="Build the network from the configuration that belongs to the weights.",
        )
    for name, variable in variables.items():
        array = as_variable(name, arrays[name])
        if tuple(variable.shape) != array.shape:
            raise WeightsError(
                f"{name} has shape {list(array.shape)} (as {variable.name})",
                expected=f"{list(variable.shape)}",
                fix="Build the network from the configuration that belongs to the weights.",
            )
        variable.assign(array)


def as_variable(name: str, array: np.ndarray) -> np.ndarray:
    """Returns an array as TFBertModel holds it: dense kernels are `[in, out]` there and `[out, in]` in PyTorch."""
    row = _row(name)
    return np.ascontiguousarray(array.T) if row is not None and row.transposed else array


def extract(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the arrays of the TFBertModel inside `model`, in PyTorch's names and layout: the reverse of `assign`."""
    arrays = {}
    for name, variable in _variables(model).items():
        # Transposing twice is no transposing, so the same function serves both ways.
        arrays[name] = as_variable(name, np.asarray(variable.numpy(), np.float32))
    return arrays


def lazy(model: keras.Model) -> LazyArrays:
    """Returns the arrays of the TFBertModel inside `model` as `extract` does, each copied when it is asked for."""
    variables = _variables(model)
    rows = {name: _row(name) for name in variables}
    shapes = {
        name: tuple(variable.shape)[::-1] if (row := rows[name]) and row.transposed else tuple(variable.shape)
        for name, variable in variables.items()
    }
    return LazyArrays(shapes, lambda name: as_variable(name, np.asarray(variables[name].numpy(), np.float32)))


def _variables(model: keras.Model) -> dict[str, Any]:
    named = [(torch_name(variable.name), variable) for variable in model.weights]
    return {name: variable for name, variable in named if name is not None}
