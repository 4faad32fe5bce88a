"""Folders of sentence-transformers: read in both layouts, written so that the same vectors come out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.pretrained.checkpoints import CONFIG, arrays, write_folder
from tests.pretrained.published import rows
from tfxl.errors import ModelError, WeightsError
from tfxl.formats.sentence_transformers import SentenceTransformers
from tfxl.pretrained.network import load

WIDTH = CONFIG["hidden_size"]


def published(
    folder: Path, *, pooling: str = "mean_tokens", dense: str = "", numbered: bool = False, **more: Any
) -> str:
    """Writes a model as the library does."""
    inner = folder / "0_Transformer" if numbered else folder
    write_folder(inner, dict(arrays().items()))
    kinds = [("Transformer", "0_Transformer" if numbered else ""), ("Pooling", "1_Pooling")]
    files: dict[str, Any] = {"1_Pooling/config.json": {f"pooling_mode_{pooling}": True, **more.pop("pool", {})}}
    if dense:
        kinds.append(("Dense", "2_Dense"))
        files["2_Dense/config.json"] = {"activation_function": f"torch.nn.modules.activation.{dense}"}
    kinds += [] if more.pop("plain", False) else [("Normalize", f"{len(kinds)}_Normalize")]
    listed = [
        {"idx": i, "path": place, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, place) in enumerate(kinds)
    ]
    files = {"modules.json": more.pop("modules", listed), **files, **more}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    if dense:
        draw = np.random.default_rng(0)
        weight = draw.normal(size=(5, WIDTH)).astype(np.float32)
        save_file(
            {"linear.weight": weight, "linear.bias": weight[:, 0].copy()}, folder / "2_Dense" / "model.safetensors"
        )
    return str(folder)


def expected(pooling: str, dense: str) -> np.ndarray:
    batch = rows(7)
    hidden, mask = load(CONFIG, arrays())(batch).numpy(), batch["attention_mask"][:, :, None]
    vector = {
        "mean_tokens": (hidden * mask).sum(1) / mask.sum(1),
        "cls_token": hidden[:, 0],
        "max_tokens": np.where(mask, hidden, -np.inf).max(1),
    }[pooling]
    if dense:
        weight = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
        vector = vector @ weight.T + weight[:, 0]
        vector = np.tanh(vector) if dense == "Tanh" else vector
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "max_tokens"])
@pytest.mark.parametrize("dense", ["", "Tanh", "Identity"])
def test_vectors_in_both_directions(tmp_path: Path, pooling: str, dense: str, numbered: bool) -> None:
    read = SentenceTransformers().read(published(tmp_path / "in", pooling=pooling, dense=dense, numbered=numbered))
    assert read.task.kind == "retrieval"
    assert np.abs(read.model(rows(7)).numpy() - expected(pooling, dense)).max() < 1e-5
    written = SentenceTransformers().write(read, tmp_path / "out")
    again = SentenceTransformers().read(str(written))
    assert np.array_equal(again.model(rows(7)), read.model(rows(7)))
    assert again.head.spec() == read.head.spec() and again.task.spec() == read.task.spec()


def test_a_model_that_does_not_normalise(tmp_path: Path) -> None:
    read = SentenceTransformers().read(published(tmp_path, plain=True))
    vectors = read.model(rows(7)).numpy()
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-3
    served = read.task.decode(vectors, rows(7))["embedding"].numpy()
    assert np.abs(served - expected("mean_tokens", "")).max() < 1e-5


@pytest.mark.parametrize(
    ("prompts", "prefixes"),
    [
        ({}, ("", None)),
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, ("query: ", "passage: ")),
        ({"prompts": {"query": "q ", "document": ""}}, ("q ", "")),
        ({"prompts": {"x": "x: "}, "default_prompt_name": "x"}, ("x: ", None)),
        ({"prompts": {"x": "x: "}, "default_prompt_name": None}, ("", None)),
    ],
)
def test_prompts_are_prefixes(tmp_path: Path, prompts: dict[str, Any], prefixes: tuple[str, str | None]) -> None:
    path = published(tmp_path, **{"config_sentence_transformers.json": prompts})
    task = SentenceTransformers().read(path).task
    assert (task.settings.prefix, task.settings.second_prefix) == prefixes
    told = SentenceTransformers(prefix="a", second_prefix="b", max_length=9).read(path).task.settings
    assert (told.prefix, told.second_prefix, told.max_length) == ("a", "b", 9)


def test_the_longest_row(tmp_path: Path) -> None:
    path = published(tmp_path, **{"sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False}})
    read = SentenceTransformers().read(path)
    assert read.task.settings.max_length == 12
    written = SentenceTransformers().write(read, tmp_path / "out")
    (written / "sentence_bert_config.json").unlink()  # version 5 says it with the tokenizer only
    assert SentenceTransformers().read(str(written)).task.settings.max_length == 12
    shutil.rmtree(tmp_path)
    path = published(tmp_path, **{"sentence_bert_config.json": {"do_lower_case": True}})
    with pytest.raises(WeightsError, match="do_lower_case"):
        SentenceTransformers().read(path)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        ({"pooling": "lasttoken"}, "lasttoken"),
        ({"pool": {"pooling_mode_cls_token": True}}, "mean, first"),
        ({"pool": {"include_prompt": False}}, "without the prompt"),
        ({"dense": "ReLU"}, "activation ReLU"),
        ({"modules": [{"type": "x.Transformer", "path": ""}, {"type": "x.WordWeights", "path": "1"}]}, "WordWeights"),
        (
            {"modules": [{"type": "x.Transformer", "path": "../.."}, {"type": "x.Pooling", "path": "1"}]},
            "names the fold",
        ),
        (
            {"modules": [{"type": "x.Transformer", "path": "/etc"}, {"type": "x.Pooling", "path": "1"}]},
            "names the fold",
        ),
        ({"modules": {"a": 1}}, "cannot be read"),
    ],
)
def test_what_cannot_be_mapped_is_refused(tmp_path: Path, wrong: dict[str, Any], got: str) -> None:
    with pytest.raises(WeightsError, match=got):
        SentenceTransformers().read(published(tmp_path, **wrong))


def test_a_folder_without_modules(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"modules\.json"):
        SentenceTransformers().read(str(tmp_path))


def test_other_heads_are_not_written(tmp_path: Path, tiny_model_folder: Path) -> None:
    from tfxl.formats import Portable
    from tfxl.serving.model import load as load_model

    with pytest.raises(ModelError, match="the head pooled"):
        SentenceTransformers().write(Portable.of(load_model(tiny_model_folder)), tmp_path / "out")
