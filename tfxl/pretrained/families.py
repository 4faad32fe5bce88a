"""Names and shapes: how the tensors of a checkpoint map onto the variables of TFBertModel.

`TABLE` is the one list of BERT's tensors: PyTorch's name, the variable's name in TFBertModel, the shape in words of the
configuration. `FAMILIES` says how other files name the same tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
_ANCHOR = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Family:
    """How checkpoints of one `model_type` differ from `TABLE`.

    Attributes:
        renamed: Parts of tensor names, theirs and ours, replaced in this order.
        ignored: Ends of the names of tensors that hold no weights.
    """

    renamed: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()


FAMILIES = {
    "bert": Family(
        # Checkpoints converted from the first TensorFlow release keep its names for LayerNorm.
        renamed=((".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias")),
        ignored=(".position_ids", ".token_type_ids"),
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


def canonical(arrays: LazyArrays, family: Family, *, where: str) -> LazyArrays:
    """Returns a file's tensors under BERT's PyTorch names and in PyTorch's layout; heads are left out.

    Names of PyTorch (under any prefix, such as `bert.`) and of TensorFlow (`…/bert/…:0`) are understood.

    Raises:
        WeightsError: There are no word embeddings, or more than one encoder.
    """
    of_tensorflow = any("/" in name for name in arrays)
    found = _from_variables(arrays) if of_tensorflow else _from_torch(arrays, family, where)
    if _ANCHOR not in found:
        raise _no_encoder(where, arrays)
    shapes = {name: arrays.shapes[source] for name, source in found.items()}
    transposed = {name for name in found if of_tensorflow and (row := _row(name)) and row.transposed}
    shapes.update({name: shapes[name][::-1] for name in transposed})

    def read(name: str) -> np.ndarray:
        array = arrays[found[name]]
        return array.T if name in transposed else array

    return LazyArrays(shapes, read)


def _from_torch(arrays: Iterable[str], family: Family, where: str) -> dict[str, str]:
    renamed = {}
    for source in arrays:
        name = source
        for theirs, ours in family.renamed:
            name = name.replace(theirs, ours)
        renamed[name] = source
    prefixes = [name.removesuffix(_ANCHOR) for name in renamed if name.endswith(_ANCHOR)]
    prefixes = [prefix for prefix in prefixes if prefix == "" or prefix.endswith(".")]
    if len(prefixes) > 1:
        raise WeightsError(
            f"{where} holds {len(prefixes)} encoders: {', '.join(sorted(prefixes))}",
            expected="one encoder",
            fix="Save one of them alone.",
        )
    prefix = prefixes[0] if prefixes else ""
    kept = {name.removeprefix(prefix): source for name, source in renamed.items() if name.startswith(prefix)}
    return {
        name: source
        for name, source in kept.items()
        if name.startswith(("embeddings.", "encoder.", "pooler.")) and not name.endswith(family.ignored)
    }


def _from_variables(arrays: Iterable[str]) -> dict[str, str]:
    """What is inside TFBertModel but not in the table (an adapter) keeps its name, and is then listed as left over."""
    return {torch_name(source) or source: source for source in arrays if is_of_encoder(source)}


def _no_encoder(where: str, names: Iterable[str]) -> WeightsError:
    return WeightsError(
        f"{where} holds no word embeddings; its tensors are {_some(names)}",
        expected=f"a tensor whose name ends in {_ANCHOR}",
        fix="Choose the weights of a BERT encoder.",
    )


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
        got = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in parts.items() if names)
        raise WeightsError(
            f"{where}: {got}",
            expected=f"the {len(wanted)} tensors of a BERT encoder with {config['num_hidden_layers']} layers",
            fix="Take weights and config.json from the same place.",
        )


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
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
            f"missing: {_some(missing)}; left over: {_some(left_over)}",
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


def _variables(model: keras.Model) -> dict[str, Any]:
    named = [(torch_name(variable.name), variable) for variable in model.weights]
    return {name: variable for name, variable in named if name is not None}
