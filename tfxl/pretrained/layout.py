"""Layouts: a file's tensors as those of BERT and those of a head, whatever family and library wrote them; and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfxl.errors import WeightsError
from tfxl.pretrained.checkpoint import LazyArrays, Shape
from tfxl.pretrained.families import Family, some

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
INSIDE = ("embeddings.", "encoder.", "pooler.")
"""How the names of an encoder's tensors begin, once they are BERT's."""
NO_WEIGHTS = (".position_ids", ".token_type_ids")
"""How the names of tensors end that hold numbers for the program's own use."""
NUM_TYPES = 2
# Checkpoints converted from the first TensorFlow release keep its names for LayerNorm.
_OLD = ((".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias"))
_LAST = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}
_LAYER = re.compile(r"layer_\._(\d+)")


class Split(NamedTuple):
    """A file's tensors in PyTorch's layout.

    Attributes:
        encoder: Those of the encoder, under BERT's names.
        heads: All others, under the names of the family's PyTorch classes.
    """

    encoder: LazyArrays
    heads: LazyArrays


class _Source(NamedTuple):
    """Where a tensor is: its name in the file, and whether it is stored as TensorFlow stores a dense kernel."""

    name: str
    transposed: bool = False


def first_position(values: Mapping[str, Any], family: Family) -> int:
    """Returns the row of the position table that the first token gets.

    Args:
        values: The family's own configuration.
        family: The family.
    """
    if not family.positions_after_padding:
        return 0
    padding = values.get("pad_token_id", family.defaults["pad_token_id"])
    return int(padding) + 1 if isinstance(padding, int) and 0 <= padding < 1_000_000 else 0


def split(arrays: LazyArrays, family: Family, *, first: int = 0, where: str) -> Split:
    """Returns a file's tensors sorted into the encoder's and the rest.

    Names of PyTorch (under any prefix, such as `bert.`) and of TensorFlow (`…/bert/…:0`) are understood.

    Args:
        arrays: All tensors of the file.
        family: Whose names they have.
        first: See `first_position`.
        where: The file, for the error.

    Raises:
        WeightsError: There are no word embeddings, or more than one encoder.
    """
    named = {name: source for name, source in _named(arrays, family) if not name.endswith(NO_WEIGHTS)}
    ours = {name: _renamed(name, (*_OLD, *family.renamed)) for name in named}
    prefix = _prefix(ours.values(), where, arrays)
    inner = {name: ours[name].removeprefix(prefix) for name in named if ours[name].startswith(prefix)}
    encoder = {short: named[name] for name, short in inner.items() if short.startswith(INSIDE)}
    outer = {name: source for name, source in named.items() if not inner.get(name, "").startswith(INSIDE)}
    heads = {_renamed(name, _OLD): source for name, source in outer.items()}
    return Split(_as_bert(_lazy(arrays, encoder), family, first), _lazy(arrays, heads))


def is_tensorflow(names: Iterable[str]) -> bool:
    """Returns whether tensors are named as TensorFlow names variables, and not as PyTorch does."""
    return any("/" in name for name in names)


def _named(arrays: Iterable[str], family: Family) -> list[tuple[str, _Source]]:
    names = list(arrays)
    if is_tensorflow(names):
        return [_of_variable(name, family.base) for name in names]
    return [(name, _Source(name)) for name in names]


def _of_variable(variable: str, base: str) -> tuple[str, _Source]:
    """Returns PyTorch's name of a TensorFlow variable; the two libraries' classes differ by rule."""
    path = variable.partition(":")[0]
    if match := re.search(rf"(?:^|/)({base}/(?:embeddings|encoder|transformer|pooler)/.*)$", path):
        path = match[1]
    else:  # what follows the model's own scope, such as tf_bert_for_token_classification_1
        path = re.sub(r"^(?:.*/)?tf\w*_(?:for|model)\w*/", "", path)
    *scopes, last = _LAYER.sub(r"layer/\1", path).split("/")
    return ".".join([*scopes, _LAST.get(last, last)]), _Source(variable, last == "kernel")


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        name = name.replace(old, new)
    return name


def _prefix(names: Iterable[str], where: str, arrays: Iterable[str]) -> str:
    """Returns what stands in front of the encoder's names."""
    found = {name.removesuffix(WORDS) for name in names if name.endswith(WORDS)}
    prefixes = sorted(prefix for prefix in found if prefix == "" or prefix.endswith("."))
    if not prefixes:
        raise WeightsError(
            f"{where} holds no word embeddings; its tensors are {some(arrays)}",
            expected=f"a tensor whose name ends in {WORDS}",
            fix="Choose the weights of a BERT encoder.",
        )
    if len(prefixes) > 1:
        raise WeightsError(
            f"{where} holds {len(prefixes)} encoders: {', '.join(prefixes)}",
            expected="one encoder",
            fix="Save one of them alone.",
        )
    return prefixes[0]


def _lazy(arrays: LazyArrays, sources: Mapping[str, _Source]) -> LazyArrays:
    def shape(source: _Source) -> Shape:
        return arrays.shapes[source.name][::-1] if source.transposed else arrays.shapes[source.name]

    def read(name: str) -> np.ndarray:
        array = arrays[sources[name].name]
        return array.T if sources[name].transposed else array

    return LazyArrays({name: shape(source) for name, source in sources.items()}, read)


def _as_bert(arrays: LazyArrays, family: Family, first: int) -> LazyArrays:
    """Drops the rows of positions that no token gets, and gives each token type a row where there is one or none."""
    shapes = dict(arrays.shapes)
    types = shapes.get(TYPES, ())
    if family.base != "bert" and (types[:1] == (1,) or not (types or family.token_types)):
        shapes[TYPES] = (NUM_TYPES, *shapes[WORDS][1:])
    if first and shapes.get(POSITIONS, (0,))[0] > first:
        shapes[POSITIONS] = (shapes[POSITIONS][0] - first, *shapes[POSITIONS][1:])

    def read(name: str) -> np.ndarray:
        if name == TYPES and shapes[TYPES] != types:
            row = arrays[TYPES] if types else np.zeros((1, *shapes[TYPES][1:]), np.float32)
            return np.repeat(row, NUM_TYPES, axis=0)
        array = arrays[name]
        return array[first:] if name == POSITIONS and len(array) > shapes[POSITIONS][0] else array

    return LazyArrays(shapes, read)


def restore(arrays: LazyArrays, family: Family, *, first: int = 0, prefix: str = "") -> LazyArrays:
    """Returns an encoder's tensors as the family's PyTorch classes name and shape them: the reverse of `split`.

    Args:
        arrays: The tensors under BERT's names, in PyTorch's layout.
        family: Whose classes are to read them.
        first: See `first_position`.
        prefix: What stands in front of the names: in classes with a head the family's `base` and a dot.

    Raises:
        WeightsError: The family has no token types, and those of the weights differ from each other.
    """
    turned = [(ours, theirs) for theirs, ours in family.renamed]
    names = {name: f"{prefix}{_renamed(name, turned)}" for name in arrays}
    shapes = dict(arrays.shapes)
    shapes[POSITIONS] = (shapes[POSITIONS][0] + first, *shapes[POSITIONS][1:])
    if not family.token_types:
        _require_one_type(arrays[TYPES], family)
        del names[TYPES]

    def read(name: str) -> np.ndarray:
        array = arrays[sources[name]]
        if sources[name] == POSITIONS:
            if not family.token_types:  # every token gets one row of each of the two tables, so their sum is enough
                array = array + arrays[TYPES][0]
            array = np.concatenate([np.zeros((first, array.shape[1]), np.float32), array]) if first else array
        return array

    sources = {theirs: ours for ours, theirs in names.items()}
    return LazyArrays({theirs: shapes[ours] for theirs, ours in sources.items()}, read)


def _require_one_type(types: np.ndarray, family: Family) -> None:
    if (types != types[0]).any():
        raise WeightsError(
            f"weights with {len(types)} different token types, to be written as {family.architectures}",
            expected="token types that are alike: this family has none",
            fix="Write the model as another family, such as bert.",
        )
