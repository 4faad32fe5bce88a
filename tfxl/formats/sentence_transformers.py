"""Folders of the library sentence-transformers: encoders of texts, with how their vectors are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from safetensors.numpy import save

from tfxl import registry
from tfxl.backend import keras
from tfxl.errors import ModelError, WeightsError
from tfxl.formats import Format, Portable
from tfxl.formats._card import model_card
from tfxl.pretrained import families, layout, selftest
from tfxl.pretrained.checkpoint import Checkpoint, damage_reported, write_checkpoint
from tfxl.pretrained.configuration import as_family, parse_json
from tfxl.pretrained.families import FAMILIES
from tfxl.pretrained.folder import READERS, TOKENIZER_FILES, open_folder, weights_files
from tfxl.pretrained.network import load
from tfxl.pretrained.source import find_folder
from tfxl.text.tokenizer import from_files

MODULES, PROMPTS, LENGTHS = "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"
POOLING = {"mean": "mean_tokens", "first": "cls_token", "max": "max_tokens"}
"""What the library calls each kind of pooling, after `pooling_mode_`."""
OTHER_POOLING = ("mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
ACTIVATIONS = {"tanh": "torch.nn.modules.activation.Tanh", "none": "torch.nn.modules.linear.Identity"}
QUERY, PASSAGE = ("query",), ("passage", "document", "corpus")
"""Names of prompts for texts that search, and for texts that are found."""
TYPE = "sentence_transformers.models."


class _Dense(NamedTuple):
    """A dense layer behind pooling: weight `[out, in]`."""

    weight: np.ndarray
    bias: np.ndarray
    activation: str


class SentenceTransformers(Format):
    """What `SentenceTransformer.save` writes: Transformer, Pooling and, if they are there, Dense and Normalize.

    Both layouts are read: the encoder in a numbered folder of its own, or beside `modules.json`. The model becomes a
    `retrieval` model whose prompts are the task's prefixes. Its vectors always have length 1.

    Example:
        >>> model = SentenceTransformers().read("sentence-transformers/LaBSE")
        >>> SentenceTransformers().write(Portable.of(tfxl.load("saved_models/search")), "search-encoder")
    """

    class Settings(Format.Settings):
        """What the files do not say, or say otherwise."""

        prefix: str | None = None
        """Read: put before each text, instead of the prompt for queries."""
        second_prefix: str | None = None
        """Read: put before each text that is to be found, instead of the prompt for passages."""
        max_length: int = Field(default=0, ge=0)
        """Read: tokens that are read at once; 0 for what the folder says."""

    settings: Settings

    def read(self, path: str) -> Portable:
        """Returns the model in a folder, or of a Hub name; see the contract."""
        folder = find_folder(path, [MODULES, PROMPTS, LENGTHS, "*/config.json", f"*/{LENGTHS}"])
        modules = _modules(folder)
        inner = modules["Transformer"]
        files = [f"{inner}/{name}".lstrip("/") for name in ("config.json", LENGTHS, *TOKENIZER_FILES, *_weights())]
        dense = [f"{modules['Dense']}/{name}" for name in _weights()] if "Dense" in modules else []
        folder = find_folder(path, [*files, *dense])
        checkpoint = open_folder(folder / inner)
        tokenizer = from_files(checkpoint.tokenizer_files)
        report = selftest.check(checkpoint.config, checkpoint.arrays, tokenizer, where=path)
        projection = _dense(folder / modules["Dense"]) if "Dense" in modules else None
        head = registry.build("heads", _head(folder, modules, projection))
        task = registry.build("tasks", self._task(folder, inner, checkpoint, lowers=_lowers(tokenizer)))

        def build() -> keras.Model:
            model = task.model(load(checkpoint.config, checkpoint.arrays), head)
            if projection is not None:
                _fill(model, projection, where=path)
            return model

        return Portable(
            name=Path(path.partition("@")[0]).name,
            build=build,
            task=task,
            head=head,
            tokenizer=tokenizer,
            config=checkpoint.config,
            encoder={"kind": "bert", "weights": path},
            remarks=report.remarks,
        )

    def _task(self, folder: Path, inner: str, checkpoint: Checkpoint, *, lowers: bool) -> dict[str, Any]:
        lengths = _optional(folder / inner / LENGTHS)
        if lengths.get("do_lower_case") and not lowers:
            raise WeightsError(
                f"{folder / inner / LENGTHS}: do_lower_case is true, and the tokenizer does not lower-case",
                expected="a tokenizer that does it itself",
                fix="Set do_lower_case in tokenizer_config.json, if the tokenizer is BERT's.",
            )
        positions = checkpoint.config["max_position_embeddings"]
        tokenizer = parse_json(checkpoint.tokenizer_files.get("tokenizer_config.json", b"{}"), where=checkpoint.name)
        # Version 5 of the library says the length with the tokenizer only.
        length = self.settings.max_length or lengths.get("max_seq_length") or tokenizer.get("model_max_length") or 512
        prefix, second = self._prefixes(folder)
        spec: dict[str, Any] = {"kind": "retrieval", "max_length": min(int(length), positions), "prefix": prefix}
        return spec if second is None else {**spec, "second_prefix": second}

    def _prefixes(self, folder: Path) -> tuple[str, str | None]:
        told = _optional(folder / PROMPTS)
        prompts = told.get("prompts") or {}
        usual = str(prompts.get(told.get("default_prompt_name"), ""))
        query = next((str(prompts[name]) for name in QUERY if prompts.get(name)), usual)
        passage = next((str(prompts[name]) for name in PASSAGE if prompts.get(name)), usual)
        first = query if self.settings.prefix is None else self.settings.prefix
        second = passage if self.settings.second_prefix is None else self.settings.second_prefix
        return first, None if second == first else second

    def write(self, model: Portable, path: str | Path) -> Path:
        """Writes the flat layout; see the contract."""
        if model.head.kind != "embedding":
            raise ModelError(
                f"{model.name}: a model with the head {model.head.kind}, to be written for sentence-transformers",
                expected="the head embedding, as retrieval and similarity have it",
                fix="Write it with the format huggingface.",
            )
        values = as_family({**model.config, "pad_token_id": model.tokenizer.special.pad}, "bert")
        arrays = layout.restore(families.lazy(model.model), FAMILIES["bert"])
        card = model_card(model, "SentenceTransformer", library="sentence-transformers")
        files = {**model.tokenizer.files(), **_parts(model), "README.md": card}
        tokenizer = {**json.loads(files["tokenizer_config.json"]), "model_max_length": model.task.settings.max_length}
        files["tokenizer_config.json"] = json.dumps(tokenizer, ensure_ascii=False, indent=2).encode()
        checkpoint = Checkpoint(model.name, {**values, "architectures": ["BertModel"]}, arrays, files)
        return write_checkpoint(path, checkpoint)


def _weights() -> list[str]:
    return [name for kind in weights_files() for name in (kind, f"{kind}.index.json")]


def _modules(folder: Path) -> dict[str, str]:
    """Returns the folder of each kind of module, and checks that the kinds and their order are known."""
    path = folder / MODULES
    with damage_reported(path):
        listed = json.loads(path.read_bytes())
        found = [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in listed]
    kinds = [kind for kind, _ in found]
    known = ["Transformer", "Pooling", "Dense", "Normalize"]
    if kinds[:2] != known[:2] or kinds != [kind for kind in known if kind in kinds]:
        raise WeightsError(
            f"{path}: the modules {', '.join(kinds)}",
            expected="Transformer, Pooling and, optionally, one Dense and Normalize, in this order",
            fix="Choose a model that is made of these.",
        )
    for _, place in found:
        if place.startswith("/") or ".." in PurePosixPath(place).parts or "\\" in place:
            raise WeightsError(
                f"{path} names the folder {place[:200]!r}",
                expected="folders beside it",
                fix="Do not use this model unless you know who wrote it: such a list can read other files.",
            )
    return dict(found)


def _optional(path: Path) -> dict[str, Any]:
    """The content of a JSON file that may be absent."""
    if not path.is_file():
        return {}
    with damage_reported(path):
        return parse_json(path.read_bytes(), where=str(path))


def _head(folder: Path, modules: Mapping[str, str], projection: _Dense | None) -> dict[str, Any]:
    config = _optional(folder / modules["Pooling"] / "config.json")
    modes = config.get("pooling_mode", [kind for kind, name in POOLING.items() if config.get(f"pooling_mode_{name}")])
    modes = ["first" if mode == "cls" else mode for mode in ([modes] if isinstance(modes, str) else modes)]
    modes += [name for name in OTHER_POOLING if config.get(f"pooling_mode_{name}")]
    if len(modes) != 1 or modes[0] not in POOLING or not config.get("include_prompt", True):
        raise WeightsError(
            f"{folder / modules['Pooling']}: pooling {', '.join(map(str, modes)) or 'of no kind'}"
            + ("" if config.get("include_prompt", True) else " without the prompt's tokens"),
            expected=f"one of {', '.join(POOLING)}, over all tokens",
            fix="Choose a model that pools in one of these ways.",
        )
    spec: dict[str, Any] = {"kind": "embedding", "pooling": modes[0], "normalize": "Normalize" in modules}
    if projection is None:
        return spec
    return {**spec, "projection": len(projection.bias), "activation": projection.activation}


def _dense(folder: Path) -> _Dense:
    config = _optional(folder / "config.json")
    name = str(config.get("activation_function", ACTIVATIONS["tanh"])).rpartition(".")[2]
    activation = next((ours for ours, theirs in ACTIVATIONS.items() if theirs.endswith(f".{name}")), "")
    path = next((folder / name for name in weights_files() if (folder / name).is_file()), None)
    if path is None or not activation:
        raise WeightsError(
            f"{folder}: {'no weights' if path is None else f'the activation {name}'}",
            expected=f"{' or '.join(weights_files())}, and Tanh or Identity as activation",
            fix="Copy the folder again, or choose another model.",
        )
    with damage_reported(path):
        arrays = {key: read() for key, (_, read) in READERS[path.suffix](path).items()}
        weight = arrays["linear.weight"]
        return _Dense(weight, arrays.get("linear.bias", np.zeros(len(weight), np.float32)), activation)


def _fill(model: Any, projection: _Dense, *, where: str) -> None:
    layer = model.get_layer("head").dense
    if tuple(layer.kernel.shape) != projection.weight.T.shape:
        raise WeightsError(
            f"{where}: the dense layer has shape {list(projection.weight.shape)}",
            expected=f"{list(layer.kernel.shape[::-1])}",
            fix="Copy the folder again.",
        )
    layer.kernel.assign(projection.weight.T)
    layer.bias.assign(projection.bias)


def _lowers(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "lower_case", False))


def _parts(model: Portable) -> dict[str, bytes]:
    """The files beside the encoder's."""
    told: Any = model.head.settings
    task: Any = model.task.settings
    width = int(model.config["hidden_size"])
    pooling = {f"pooling_mode_{name}": kind == told.pooling for kind, name in POOLING.items()}
    pooling |= {f"pooling_mode_{name}": False for name in OTHER_POOLING}
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling")]
    files: dict[str, Any] = {"1_Pooling/config.json": {"word_embedding_dimension": width, **pooling}}
    dense = model.model.get_layer("head").dense
    if dense is not None:
        kinds.append(("Dense", "2_Dense"))
        sizes = {"in_features": width, "out_features": int(dense.kernel.shape[-1]), "bias": True}
        files["2_Dense/config.json"] = {**sizes, "activation_function": ACTIVATIONS[told.activation]}
        arrays = {"linear.weight": np.ascontiguousarray(dense.kernel.numpy().T), "linear.bias": dense.bias.numpy()}
        files["2_Dense/model.safetensors"] = save(arrays, metadata={"format": "pt"})
    kinds.append(("Normalize", f"{len(kinds)}_Normalize"))  # tfxl's vectors always have length 1
    second = task.prefix if task.second_prefix is None else task.second_prefix
    prompts = {"query": task.prefix, "passage": second} if task.prefix or second else {}
    files[PROMPTS] = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    files[LENGTHS] = {"max_seq_length": task.max_length, "do_lower_case": False}
    files[MODULES] = [
        {"idx": place, "name": str(place), "path": folder, "type": f"{TYPE}{kind}"}
        for place, (kind, folder) in enumerate(kinds)
    ]
    return {
        name: value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, indent=2).encode()
        for name, value in files.items()
    }
