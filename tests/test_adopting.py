"""A published checkpoint becomes a saved model with a certificate, or nothing is written and the layer is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from tests.pretrained.published import publish, rows, tokenizer_size, torch_model
from tfxl import adopting, registry
from tfxl.errors import ModelError, TfxlError
from tfxl.formats._heads import SEQUENCE, TOKEN
from tfxl.formats.huggingface import Huggingface
from tfxl.pretrained import reference

pytestmark = pytest.mark.torch
NAMES = {"id2label": {0: "schlecht", 1: "gut"}}


@pytest.fixture(autouse=True)
def _torch() -> None:
    pytest.importorskip("torch", reason="makes checkpoints with PyTorch's classes")


def source(folder: Path, family: str = "xlm-roberta", kind: str = SEQUENCE, **values: Any) -> str:
    positions = {"max_position_embeddings": 80}
    return str(publish(torch_model(family, kind, **{**NAMES, **positions, **values}), folder))


def to(path: Path, *more: str) -> list[str]:
    return [f"output={json.dumps(str(path))}", "export.warmup=false", *more]


def test_a_checkpoint_becomes_a_served_model(tmp_path: Path) -> None:
    path = source(tmp_path / "lab" / "a model!")
    model = adopting.adopt(path, *to(tmp_path / "saved", 'languages=["de", "zh"]'))
    assert (model.name, model.version, model.task.kind) == ("a-model-", 1, "classification")
    assert model.predict(["das Zimmer war gut", "这家酒店很吵"])[0].label in ("schlecht", "gut")
    assert set(model.signatures) == {"serving_default", "tokens", "classify"}
    certificate = json.loads((model.folder / "assets.extra" / adopting.CERTIFICATE).read_text(encoding="utf-8"))
    assert len(certificate["texts"]) >= 14 and certificate["rows"] == 2 * len(certificate["texts"])
    assert certificate["logits"] < 1e-5 and certificate["allowed"] == adopting.LARGEST
    assert certificate["architecture"] == "XLMRobertaForSequenceClassification" and "torch" in certificate["library"]
    assert certificate["other_ids"] == [] and certificate["labels"] == ["schlecht", "gut"]
    assert model.recipe["data"]["languages"] == ["de", "zh"] and model.recipe["training"]["epochs"] == 0
    again = model.rebuild()
    assert np.array_equal(again.model(rows(9)), Huggingface().read(path).model(rows(9)))


def test_check_writes_nothing(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "distilbert", TOKEN, id2label={0: "O", 1: "B-X", 2: "I-X"})
    before = sorted(tmp_path.rglob("*"))
    certificate = adopting.check(path, *to(tmp_path / "saved"))
    assert certificate.logits < 1e-5 and len(certificate.hidden) == 4
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("broken", "named"), [(None, "the head"), (0, "the embeddings"), (2, "layer 2 of 3")])
def test_another_answer_is_refused_with_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int | None, named: str
) -> None:
    original = reference.outputs

    def other(*arguments: Any, **options: Any) -> reference.Outputs:
        found = original(*arguments, **options)
        if broken is None:
            return found._replace(logits=found.logits + 0.01)
        hidden = [each + 0.01 * (place >= broken) for place, each in enumerate(found.hidden)]
        return found._replace(hidden=hidden)

    monkeypatch.setattr(reference, "outputs", other)
    with pytest.raises(ModelError, match=named):
        adopting.adopt(source(tmp_path / "in"), *to(tmp_path / "saved"))
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("family", ["xlm-roberta", "distilbert", "bert"])
def test_without_pytorch_tensorflows_class_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    path = source(tmp_path, family)
    monkeypatch.setattr(reference, "has_torch", lambda: False)
    certificate = adopting.check(path)
    assert "tensorflow" in certificate.library and certificate.logits < 1e-5


def test_a_tokenizer_that_no_op_can_run_is_said_and_served_as_tokens(tmp_path: Path) -> None:
    path = Path(source(tmp_path / "in", "roberta"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*special, *alphabet, *(f"x{number}" for number in range(tokenizer_size() - 5 - len(alphabet)))]
    library = tokenizers.Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    library.add_special_tokens(special)
    for name in ("sentencepiece.bpe.model", "tokenizer_config.json"):
        (path / name).unlink()
    (path / "tokenizer.json").write_text(library.to_str(), encoding="utf-8")
    model = adopting.adopt(str(path), *to(tmp_path / "saved"))
    assert set(model.signatures) == {"serving_default", "tokens"}
    certificate = json.loads((model.folder / "assets.extra" / adopting.CERTIFICATE).read_text(encoding="utf-8"))
    assert not certificate["reads_text"] and "byte-level BPE" in certificate["remarks"][-1]
    assert model.predict(["gut"])[0].label in ("schlecht", "gut")


@pytest.mark.parametrize(
    ("override", "got"), [("nam='x'", "nam"), ("format='onnx'", "format"), ("read.sides=2", "sides")]
)
def test_wrong_settings_are_named(tmp_path: Path, override: str, got: str) -> None:
    with pytest.raises(TfxlError, match=got):
        adopting.adopt(source(tmp_path), override)


def test_every_format_can_be_built() -> None:
    assert registry.names("formats") == ["huggingface", "sentence_transformers"]


@pytest.mark.parametrize(
    ("name", "safe"), [("a/b c", "a-b-c"), ("..", "adopted"), ("模型", "adopted"), ("x_1.b", "x_1.b")]
)
def test_names_of_models(name: str, safe: str) -> None:
    assert adopting.safe_name(name) == safe
