"""The head of transformers' …ForMaskedLM classes: what each family calls its tensors, and what the head is here."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np

from tfxl.backend import keras
from tfxl.errors import ModelError, WeightsError
from tfxl.formats import Portable
from tfxl.heads.masked_language import Activation
from tfxl.pretrained.checkpoint import Checkpoint
from tfxl.pretrained.configuration import SAME_ACTIVATIONS
from tfxl.pretrained.families import FAMILIES, computed_otherwise, some
from tfxl.pretrained.layout import WORDS

MASKED = "ForMaskedLM"
IGNORED = ("cls.seq_relationship.",)
"""How the names of tensors begin that stand beside the head in checkpoints of BERT and that the class does not read."""
SWISH = "swish"
"""What a configuration may call silu."""


class Names(NamedTuple):
    """What a family calls the parts of its head.

    Attributes:
        dense: The dense layer.
        norm: LayerNorm.
        bias: The bias of the pieces.
        decoder: The last layer, whose weight is tied to the word embeddings and whose bias is that of the pieces.
        activation: The dense layer's activation; empty where it is the encoder's.
        epsilon: What LayerNorm adds to the variance; 0 where it is the encoder's.
    """

    dense: str
    norm: str
    bias: str
    decoder: str
    activation: str = ""
    epsilon: float = 0.0

    @property
    def shapes(self) -> dict[str, str]:
        """The tensors that every checkpoint has, and what this package calls them."""
        return {
            f"{self.dense}.weight": "dense.kernel",
            f"{self.dense}.bias": "dense.bias",
            f"{self.norm}.weight": "norm.gamma",
            f"{self.norm}.bias": "norm.beta",
            self.bias: "bias",
        }


_BERT = "cls.predictions"
_ROBERTA = Names("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder", "gelu")
NAMES = {
    "bert": Names(f"{_BERT}.transform.dense", f"{_BERT}.transform.LayerNorm", f"{_BERT}.bias", f"{_BERT}.decoder"),
    **dict.fromkeys(("xlm-roberta", "roberta", "camembert"), _ROBERTA),
    "electra": Names(
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
        "generator_lm_head",
        "gelu",
    ),
    "distilbert": Names(
        "vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector", epsilon=1e-12
    ),
}


class Found(NamedTuple):
    """The head of a checkpoint: its spec, and its arrays by what this package calls them."""

    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]
    names: Names


def find(checkpoint: Checkpoint) -> Found:
    """Returns the head of a checkpoint.

    Raises:
        WeightsError: A tensor is missing or left over, or the head is one that this package does not have.
    """
    values, where = checkpoint.source_config, checkpoint.name
    family = str(values.get("model_type", "bert"))
    names, heads = NAMES[family], checkpoint.heads
    weight, bias = f"{names.decoder}.weight", f"{names.decoder}.bias"
    tied = bool(values.get("tie_word_embeddings", True))
    places = {theirs: theirs for theirs in names.shapes if theirs in heads}
    if names.bias not in heads and bias in heads:
        places[names.bias] = bias
    wanted = [*names.shapes, *([] if tied else [weight])]
    missing = sorted(set(wanted) - set(places) - set(heads))
    known = {*names.shapes, weight, bias}
    left_over = sorted(name for name in heads if name not in known and not name.startswith(IGNORED))
    if missing or left_over:
        raise WeightsError(
            f"{where}: {len(missing)} missing: {some(missing)}; {len(left_over)} left over: {some(left_over)}",
            expected=f"the tensors of {FAMILIES[family].architectures}{MASKED}: {some(wanted)}",
            fix='If the class is another one, name it, such as architecture = "ForTokenClassification".',
        )
    arrays = {ours: heads[places[theirs]] for theirs, ours in names.shapes.items()}
    if not tied or weight in heads:
        arrays["decoder"] = heads[weight]
    activation = names.activation or _activation(checkpoint.config["hidden_act"], where)
    epsilon = names.epsilon or checkpoint.config["layer_norm_eps"]
    spec = {"kind": "masked_language", "activation": activation, "epsilon": epsilon, "tied": tied}
    return Found(spec, arrays, names)


def _activation(name: str, where: str) -> str:
    found = _known(name)
    if not found:
        raise WeightsError(
            f"{where}: hidden_act is {name!r}",
            expected=f"for a head of {MASKED} one of {', '.join(get_args(Activation))}",
            fix='Take its encoder alone with architecture = "Model".',
        )
    return found


def _known(name: str) -> str:
    """Returns what a head here calls an activation of a configuration; empty if it has none such."""
    name = {SWISH: "silu"}.get(name, SAME_ACTIVATIONS.get(name, name))
    return name if name in get_args(Activation) else ""


def fill(model: keras.Model, found: Found, table: np.ndarray, *, where: str) -> None:
    """Gives the head of a model its weights.

    Args:
        model: The model.
        found: What `find` gave.
        table: The word embeddings.
        where: The checkpoint, for the error.

    Raises:
        WeightsError: An array has another shape, or the configuration ties what is not alike.
    """
    layer = model.get_layer("head")
    arrays = dict(found.arrays)
    if layer.decoder is None and "decoder" in arrays:
        decoder = arrays.pop("decoder")
        if not np.array_equal(decoder, table):
            raise WeightsError(
                f"{where}: {found.names.decoder}.weight differs from {WORDS}, though config.json ties them",
                expected="equal tensors, or tie_word_embeddings = false",
                fix="If the tensor is meant, set tie_word_embeddings to false in config.json; if not, which is how "
                "transformers reads the folder, save it again with transformers.",
            )
    for place, variable in _variables(layer).items():
        array = np.asarray(arrays[place])
        array = array.T if place == "dense.kernel" else array
        if array.shape != tuple(variable.shape):
            raise WeightsError(
                f"{where}: the head's {place} has shape {list(array.shape)}",
                expected=f"{list(variable.shape)}",
                fix="Take weights and config.json from the same place.",
            )
        variable.assign(array)


def take(model: keras.Model, names: Names) -> dict[str, np.ndarray]:
    """Returns the weights of a model's head in PyTorch's names and layout: the reverse of `fill`."""
    layer = model.get_layer("head")
    values = {place: variable.numpy() for place, variable in _variables(layer).items()}
    values["dense.kernel"] = np.ascontiguousarray(values["dense.kernel"].T)
    found = {theirs: values[ours] for theirs, ours in names.shapes.items()}
    return found | ({f"{names.decoder}.weight": values["decoder"]} if layer.decoder is not None else {})


def _variables(layer: Any) -> dict[str, Any]:
    found = {
        "dense.kernel": layer.dense.kernel,
        "dense.bias": layer.dense.bias,
        "norm.gamma": layer.norm.gamma,
        "norm.beta": layer.norm.beta,
        "bias": layer.bias,
    }
    return found | ({"decoder": layer.decoder} if layer.decoder is not None else {})


def family_for(model: Portable, family: str) -> str:
    """Returns the family whose class has the head of a model.

    Args:
        model: What is to be written.
        family: The family that is asked for; `auto` for any, `bert` first.

    Raises:
        ModelError: None has it.
    """
    told, values = model.head.settings, model.config
    head = (told.activation, told.epsilon or values["layer_norm_eps"])
    asked = [name for name in NAMES if not computed_otherwise(values, name)] if family == "auto" else [family]
    for name in asked:
        activation = NAMES[name].activation or _known(values["hidden_act"])
        if head == (activation, NAMES[name].epsilon or values["layer_norm_eps"]):
            return name
    raise ModelError(
        f"{model.name}: a head with {head[0]} and epsilon = {head[1]:g}, to be written for transformers",
        expected="the encoder's own activation and epsilon, or gelu",
        fix="Write it as another family, or train with such a head.",
    )
