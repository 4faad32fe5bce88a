"""The reference: what transformers' own class of a checkpoint gives, with the library that its weights are for."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import transformers

from tfxl.errors import WeightsError
from tfxl.pretrained import layout
from tfxl.pretrained.families import some
from tfxl.pretrained.folder import read_tensors

Rows = Mapping[str, np.ndarray]
"""`input_ids`, `token_type_ids` and `attention_mask`, each `[rows, tokens]` int32."""


class Outputs(NamedTuple):
    """What a model gives for some rows.

    Attributes:
        hidden: The hidden states `[rows, tokens, hidden]` after the embeddings and after each layer.
        logits: The logits; None for a bare encoder.
        library: What computed them, with its version.
    """

    hidden: list[np.ndarray]
    logits: np.ndarray | None
    library: str


def outputs(
    folder: Path, architecture: str, rows: Rows, *, token_types: bool, positions: np.ndarray | None = None
) -> Outputs:
    """Returns what transformers' own class gives; the class is gone from memory afterwards.

    It is PyTorch's class, or TensorFlow's where PyTorch is not installed or TensorFlow wrote the weights.

    Args:
        folder: The checkpoint as it was published.
        architecture: The class, such as `XLMRobertaForTokenClassification`.
        rows: What it reads; for …ForMultipleChoice each row is taken as a text with one choice.
        token_types: Whether the class is to see the token types.
        positions: `[rows, positions]`, the tokens whose logits are wanted, for a class that gives each token a logit
            for every piece of the vocabulary: it then answers a row at a time, as all of them would fill the memory.
            -1 stands for none.

    Raises:
        WeightsError: transformers has no such class, or cannot load the folder into it, or weights of it are missing.
    """
    given = {name: array for name, array in rows.items() if token_types or name != "token_type_ids"}
    several = architecture.endswith("ForMultipleChoice")
    if several:
        given = {name: array[:, None] for name, array in given.items()}
    run = _torch if has_torch() and not layout.is_tensorflow(read_tensors(folder)) else _tensorflow
    try:
        with _quiet():
            found = run(folder, architecture, given, positions)
    except (AttributeError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder}: transformers cannot load it as {architecture} ({type(error).__name__}: {error})"[:500],
            expected="a checkpoint of this class",
            fix="Load the folder with transformers alone, and save it again from there with save_pretrained.",
        ) from error
    finally:
        gc.collect()
    return found


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return util.find_spec("torch") is not None


def _torch(folder: Path, architecture: str, rows: Rows, positions: np.ndarray | None) -> Outputs:
    import torch

    kind = getattr(transformers, architecture)
    # Nothing that the folder holds is run: no unrestricted unpickler, and no code of its own.
    safe = {"weights_only": True, "trust_remote_code": False}
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **safe).eval()
    library = f"transformers {transformers.__version__}, torch {metadata.version('torch')}"

    def answers(given: Rows) -> Outputs:
        with torch.no_grad():
            tensors = {name: torch.from_numpy(array.astype(np.int64)) for name, array in given.items()}
            return _collected(model(**tensors, output_hidden_states=True), library)

    return _answered(answers, rows, positions)


def _tensorflow(folder: Path, architecture: str, rows: Rows, positions: np.ndarray | None) -> Outputs:
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    from tfxl.backend import tf

    kind, arrays = getattr(transformers, f"TF{architecture}"), read_tensors(folder)
    if layout.is_tensorflow(arrays):
        # The folder holds safetensors or h5, which are arrays alone; code of its own is not run.
        model, loaded = kind.from_pretrained(folder, output_loading_info=True, trust_remote_code=False)
    else:
        model = kind(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
        model.build_in_name_scope()
        state = {name: arrays[name] for name in arrays}
        told = {"allow_missing_keys": True, "output_loading_info": True}
        model, loaded = load_pytorch_state_dict_in_tf2_model(model, state, **told)
    _check_loaded(folder, architecture, loaded["missing_keys"])
    library = f"transformers {transformers.__version__}, tensorflow {tf.__version__}"

    def answers(given: Rows) -> Outputs:
        tensors = {name: tf.constant(array) for name, array in given.items()}
        return _collected(model(tensors, output_hidden_states=True, training=False), library)

    return _answered(answers, rows, positions)


def _check_loaded(folder: Path, architecture: str, missing: Sequence[str]) -> None:
    """Refuses a class with weights that the files lack: they would be random."""
    if architecture.endswith("Model"):  # its hidden states are compared, which no pooler has a part in
        missing = [name for name in missing if "pooler" not in name]
    if missing:
        raise WeightsError(
            f"{folder}: its files lack {len(missing)} weights of TF{architecture}: {some(missing)}",
            expected="every weight of the class, since it would be random otherwise",
            fix="Load the folder with transformers alone, and save it again from there with save_pretrained.",
        )


def _answered(answers: Callable[[Rows], Outputs], rows: Rows, positions: np.ndarray | None) -> Outputs:
    """Answers all rows at once; with positions a row at a time, of whose logits those at its positions stay."""
    if positions is None:
        return answers(rows)
    found = []
    for place, wanted in enumerate(positions):
        one = answers({name: array[place : place + 1] for name, array in rows.items()})
        found.append(one._replace(logits=None if one.logits is None else one.logits[:, np.maximum(wanted, 0)]))
    hidden = [np.concatenate(states) for states in zip(*(one.hidden for one in found), strict=True)]
    logits = [one.logits for one in found if one.logits is not None]
    return Outputs(hidden, np.concatenate(logits) if logits else None, found[0].library)


def _collected(found: Any, library: str) -> Outputs:
    logits = found.get("logits")
    if "start_logits" in found:
        logits = np.stack([np.asarray(found.start_logits), np.asarray(found.end_logits)], axis=-1)
    hidden = [np.array(each) for each in found.hidden_states]
    return Outputs(hidden, None if logits is None else np.array(logits), library)


def tokenize(folder: Path, texts: Sequence[str]) -> list[list[int]] | None:
    """Returns the ids of texts as transformers' own tokenizer gives them; None if it cannot load the folder."""
    try:
        with _quiet():
            # Unless told not to, transformers asks on the terminal whether to run code that the folder holds.
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception:  # whatever a library of tokenizers does on files that are not its own
        return None
    return [tokenizer(text, truncation=False)["input_ids"] for text in texts]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back transformers' remarks on weights that a class does not use."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
