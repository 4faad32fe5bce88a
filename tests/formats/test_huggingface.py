"""Every family with every head, in both directions: the logits are those of transformers' PyTorch classes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file, save_file

from tests.pretrained.published import largest_difference, publish, rows, torch_model, torch_output
from tfxl import registry
from tfxl.encoders.bert import network
from tfxl.encoders.tiny import Tiny
from tfxl.errors import ModelError, WeightsError
from tfxl.formats import Portable
from tfxl.formats._heads import CHOICE, ENCODER, HEADS, SEQUENCE, SPAN, TOKEN
from tfxl.formats._masked import MASKED
from tfxl.formats.huggingface import Huggingface
from tfxl.pretrained.families import FAMILIES
from tfxl.tasks import POSITIONS
from tfxl.text.tokenizer import from_files, read_json

EXACT = 1e-5
LABELS = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
THREE = {"id2label": {2: "gut", 0: "schlecht", 1: "weder"}}
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "one label": (SEQUENCE, THREE, "classification"),
    "pairs": (SEQUENCE, {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}, "inference"),
    "several labels": (SEQUENCE, {**THREE, "problem_type": "multi_label_classification"}, "multilabel"),
    "a number": (SEQUENCE, {"num_labels": 1}, "regression"),
    "tags": (TOKEN, LABELS, "token_classification"),
    "answers": (SPAN, {}, "question_answering"),
    "choices": (CHOICE, {}, "multiple_choice"),
}


def logits_of(model: Any, batch: dict[str, np.ndarray], kind: str) -> Any:
    """PyTorch's logits in the shape that tfxl's heads give."""
    import torch

    if kind == CHOICE:
        return torch_output(model, {name: value[:, None] for name, value in batch.items()}).logits
    found = torch_output(model, batch)
    return torch.stack([found.start_logits, found.end_logits], dim=-1) if kind == SPAN else found.logits


def compare(ours: Any, model: Any, kind: str) -> float:
    worst = 0.0
    for length in (3, 12):
        batch = rows(length)
        mask = batch["attention_mask"] if kind in (TOKEN, SPAN) else None
        worst = max(worst, largest_difference(ours(batch), logits_of(model, batch, kind), mask))
    return worst


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_pytorch_in_both_directions(tmp_path: Path, family: str, case: str) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    kind, values, task = CASES[case]
    original = torch_model(family, kind, **values)
    read = Huggingface().read(str(publish(original, tmp_path / "in")))
    assert read.task.kind == task
    assert compare(read.model, original, kind) < EXACT
    written = Huggingface(family=family).write(read, tmp_path / "out")
    again = getattr(transformers, f"{FAMILIES[family].architectures}{kind}").from_pretrained(written).eval()
    assert compare(read.model, again, kind) < EXACT
    assert again.config.id2label == original.config.id2label
    assert Huggingface().read(str(written)).task.spec() == read.task.spec()


@pytest.mark.torch
@pytest.mark.parametrize("family", FAMILIES)
def test_bare_encoders(tmp_path: Path, family: str) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model(family)
    read = Huggingface().read(str(publish(original, tmp_path / "in")))
    assert (read.task.kind, read.head.kind) == ("retrieval", "embedding")
    written = Huggingface(family=family).write(read, tmp_path / "out")
    again = transformers.AutoModel.from_pretrained(written).eval()
    batch = rows(9)
    theirs = torch_output(original, batch).last_hidden_state
    assert largest_difference(torch_output(again, batch).last_hidden_state, theirs, batch["attention_mask"]) < EXACT
    mean = theirs.numpy() * batch["attention_mask"][:, :, None]
    mean = mean.sum(1) / np.linalg.norm(mean.sum(1), axis=1, keepdims=True)
    assert np.abs(read.model(batch).numpy() - mean).max() < EXACT


def portable(task: dict[str, Any], head: Any, vocabulary: str = "sentencepiece") -> Portable:
    encoder = Tiny(vocabulary=vocabulary)
    built, chosen = registry.build("tasks", task), registry.build("heads", head)
    config = read_json(encoder.files(), "config.json")
    return Portable(
        "tiny", lambda: built.model(encoder.build(), chosen), built, chosen, encoder.tokenizer(), config, {}
    )


TEXTS = ["das Zimmer war gut", "这家酒店很吵。", "كانت الغرفة نظيفة", "कमरा साफ़ था", ""]


@pytest.mark.torch
@pytest.mark.parametrize("vocabulary", ["sentencepiece", "wordpiece"])
@pytest.mark.parametrize("transform", ["tanh", "relu", "gelu"])
def test_a_trained_model_goes_out_with_its_tokenizer(tmp_path: Path, vocabulary: str, transform: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch's classes")
    head = {"kind": "pooled", "pooling": "first", "transform": transform}
    model = portable({"kind": "multilabel", "labels": ["a", "b", "c"]}, head, vocabulary)
    if transform == "relu":
        types = next(weight for weight in model.model.weights if "token_type_embeddings" in weight.name)
        types.assign(np.repeat(types.numpy()[:1], 2, axis=0))
    written = Huggingface().write(model, tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(written).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(written)
    assert theirs.config.problem_type == "multi_label_classification" and theirs.config.id2label[2] == "c"
    batch = model.tokenizer.encode(TEXTS, max_length=64)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert ("token_type_ids" in encoded) == (vocabulary == "wordpiece" and transform != "relu")
    assert encoded["input_ids"].tolist() == batch["input_ids"].numpy().tolist()
    with torch.no_grad():
        difference = theirs(**encoded).logits.numpy() - model.model({name: batch[name] for name in rows(1)}).numpy()
    assert np.abs(difference).max() < EXACT
    assert b"transformers" in (written / "README.md").read_bytes()


def test_a_tokenizer_that_transformers_saved_again_reads_text(tmp_path: Path) -> None:
    model = portable({"kind": "token_classification", "labels": ["a", "b"]}, "token")
    written = Huggingface().write(model, tmp_path / "out")
    transformers.AutoTokenizer.from_pretrained(written).save_pretrained(tmp_path / "again")
    again = from_files({path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()})
    texts = [*TEXTS, "  das   Zimmer  war gut  ", "这家\u3000\u3000酒店"]
    assert again.in_graph
    ids = [each.encode(texts, max_length=64)["input_ids"].numpy().tolist() for each in (model.tokenizer, again)]
    assert ids[0] == ids[1] == transformers.AutoTokenizer.from_pretrained(written)(texts, padding=True)["input_ids"]


@pytest.mark.torch
def test_one_logit_becomes_two(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch's classes")
    head = {"kind": "pooled", "pooling": "first", "transform": "tanh"}
    model = portable({"kind": "classification", "labels": ["no", "yes"], "activation": "sigmoid"}, head)
    written = Huggingface().write(model, tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(written).eval()
    batch = rows(6)
    with torch.no_grad():
        scores = torch.softmax(torch_output(theirs, batch).logits, dim=-1).numpy()
    ours = model.task.decode(model.model(batch), batch)["scores"].numpy()
    assert np.abs(scores - ours).max() < EXACT


@pytest.mark.torch
def test_tags_that_a_checkpoint_has_not_are_never_chosen(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model("bert", TOKEN, id2label={0: "O", 1: "I-PER", 2: "I-LOC"})
    read = Huggingface().read(str(publish(original, tmp_path)))
    batch = rows(12)
    ours, theirs = read.model(batch).numpy(), torch_output(original, batch).logits
    assert read.task.tags == ("O", "I-PER", "I-LOC", "B-PER", "B-LOC")
    assert largest_difference(ours[:, :, :3], theirs, batch["attention_mask"]) < EXACT
    assert ours[:, :, 3:][batch["attention_mask"] == 1].max() < -1e3


def folder(path: Path, head: str = SEQUENCE, **changed: Any) -> str:
    """A checkpoint whose config.json was changed; None takes an entry away."""
    publish(torch_model("bert", head, id2label={0: "a", 1: "b"} if head in (SEQUENCE, TOKEN) else None), path)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config = {name: value for name, value in {**config, **changed}.items() if value is not None}
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(path)


@pytest.mark.torch
class TestConfigurations:
    """What config.json may say, and what it must not."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="makes checkpoints with PyTorch's classes")

    @pytest.mark.parametrize(
        "labels",
        [
            {"id2label": {"1": "y", "0": "x"}, "label2id": None},
            {"id2label": ["x", "y"], "label2id": None},
            {"id2label": None, "label2id": {"y": 1, "x": 0}},
            {"id2label": None, "label2id": {"y": "1", "x": "0"}},
        ],
    )
    def test_labels_in_any_form(self, tmp_path: Path, labels: dict[str, Any]) -> None:
        read = Huggingface().read(folder(tmp_path, **labels))
        assert read.task.names == ("x", "y") and not read.remarks

    def test_no_labels_are_a_remark_and_can_be_given(self, tmp_path: Path) -> None:
        path = folder(tmp_path, id2label=None, label2id=None)
        read = Huggingface().read(path)
        assert read.task.names == ("LABEL_0", "LABEL_1") and "no names" in read.remarks[0]
        assert Huggingface(labels=["x", "y"]).read(path).task.names == ("x", "y")

    @pytest.mark.parametrize(
        "labels", [{"0": "x"}, {"0": "x", "2": "y"}, {"0": "x", "1": "x"}, {"a": "x"}, {"0": "x", "1": "y", "2": "z"}]
    )
    def test_wrong_labels_are_refused(self, tmp_path: Path, labels: dict[str, str]) -> None:
        with pytest.raises(WeightsError) as caught:
            Huggingface().read(folder(tmp_path, id2label=labels))
        assert "labels" in caught.value.fix

    def test_problem_types(self, tmp_path: Path) -> None:
        path = folder(tmp_path, problem_type="multi_label_classification")
        assert Huggingface().read(path).task.kind == "multilabel"
        assert Huggingface(second_text=True).read(folder(tmp_path, problem_type=None)).task.settings.second_text

    def test_unknown_classes_are_named_with_the_known_ones(self, tmp_path: Path) -> None:
        path = folder(tmp_path, architectures=["BertForNextSentencePrediction"])
        with pytest.raises(WeightsError, match="BertForNextSentencePrediction") as caught:
            Huggingface().read(path)
        assert all(kind in caught.value.expected for kind in (*HEADS, ENCODER))
        assert Huggingface(architecture="Model").read(path).task.kind == "retrieval"
        assert Huggingface(architecture="BertForSequenceClassification").read(path).task.kind == "classification"

    def test_what_is_missing_and_left_over_is_listed(self, tmp_path: Path) -> None:
        path = folder(tmp_path, architectures=["BertForQuestionAnswering"])
        with pytest.raises(WeightsError, match=r"2 missing: qa_outputs.bias, .*2 left over: classifier.bias, "):
            Huggingface().read(path)

    def test_the_longest_row(self, tmp_path: Path) -> None:
        path = folder(tmp_path, SPAN)
        assert Huggingface().read(path).task.settings.max_length == 40
        assert Huggingface(max_length=16).read(path).task.settings.max_length == 16


@pytest.mark.parametrize(
    ("task", "head", "settings", "expected"),
    [
        ({"kind": "classification", "labels": ["a", "b"]}, "pooled", {}, 'pooling = "first"'),
        (
            {"kind": "classification", "labels": ["a", "b"]},
            {"kind": "pooled", "pooling": "first", "transform": "tanh"},
            {"family": "distilbert"},
            "relu",
        ),
        ({"kind": "token_classification", "labels": ["O", "B-X"]}, "crf", {}, "the head token"),
    ],
)
def test_a_model_that_no_class_answers_like_is_not_written(
    tmp_path: Path, task: dict[str, Any], head: Any, settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ModelError) as caught:
        Huggingface(**settings).write(portable(task, head), tmp_path / "out")
    assert expected in caught.value.expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("task", "head", "family"),
    [
        ("classification", {"kind": "pooled", "pooling": "first", "transform": "relu"}, "auto"),
        ("token_classification", "token", "distilbert"),
        ("fill_mask", {"kind": "masked_language", "epsilon": 1e-12}, "distilbert"),
        ("retrieval", "embedding", "distilbert"),
    ],
)
def test_a_family_that_computes_with_another_epsilon_is_refused(
    tmp_path: Path, task: str, head: Any, family: str
) -> None:
    labels = {} if task in ("fill_mask", "retrieval") else {"labels": ["O", "B-X"]}
    model = portable({"kind": task, **labels}, head)
    model = dataclasses.replace(model, config={**model.config, "layer_norm_eps": 1e-5})
    with pytest.raises(ModelError, match="layer_norm_eps = 1e-05, to be written as distilbert") as caught:
        Huggingface(family=family).write(model, tmp_path / "out")
    assert "layer_norm_eps = 1e-12" in caught.value.expected
    assert not list(tmp_path.iterdir())


def test_other_families_keep_the_epsilon(tmp_path: Path) -> None:
    model = portable({"kind": "token_classification", "labels": ["O", "B-X"]}, "token")
    model = dataclasses.replace(model, config={**model.config, "layer_norm_eps": 1e-5})
    for family in set(FAMILIES) - {"distilbert"}:
        written = Huggingface(family=family).write(model, tmp_path / family)
        assert json.loads((written / "config.json").read_bytes())["layer_norm_eps"] == 1e-5


def test_a_saved_model_goes_out(tmp_path: Path, tiny_model_folder: Path) -> None:
    from tfxl.serving.model import load

    model = Portable.of(load(tiny_model_folder))
    with pytest.raises(ModelError, match="pooled"):
        Huggingface().write(model, tmp_path / "out")


@pytest.mark.torch
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_masked_language_models_in_both_directions(tmp_path: Path, family: str, tied: bool) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model(family, MASKED, tie_word_embeddings=tied)
    read = Huggingface().read(str(publish(original, tmp_path / "in")))
    written = Huggingface(family=family).write(read, tmp_path / "out")
    again = getattr(transformers, f"{FAMILIES[family].architectures}{MASKED}").from_pretrained(written).eval()
    batch, positions = rows(12), np.array([[0, 3, 7], [2, 5, -1], [1, -1, -1]], np.int32)
    ours = read.model({**batch, POSITIONS: positions}).numpy()
    for theirs in (original, again):
        every = torch_output(theirs, batch).logits.numpy()
        wanted = np.take_along_axis(every, np.maximum(positions, 0)[:, :, None], axis=1)
        assert np.abs(ours - wanted)[positions >= 0].max() < EXACT
    assert (read.task.kind, read.head.settings.tied) == ("fill_mask", tied)
    assert Huggingface().read(str(written)).head.spec() == read.head.spec()


@pytest.mark.torch
class TestMaskedHeads:
    """What a checkpoint of a masked language model may hold beside what every one holds."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="makes checkpoints with PyTorch's classes")

    def changed(self, path: Path, change: Any, **config: Any) -> str:
        publish(torch_model("bert", MASKED), path)
        tensors = load_file(path / "model.safetensors")
        change(tensors)
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        return folder_with(path, **config)

    def test_a_copy_of_the_embeddings_is_no_other_decoder(self, tmp_path: Path) -> None:
        def copied(tensors: dict[str, Any]) -> None:
            tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].copy()
            tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
            tensors["cls.seq_relationship.weight"] = np.zeros((2, 16), np.float32)

        read = Huggingface().read(self.changed(tmp_path, copied))
        assert read.head.settings.tied and np.abs(read.model.get_layer("head").bias.numpy()).max() > 0

    def test_the_oldest_checkpoints_call_layer_norm_otherwise(self, tmp_path: Path) -> None:
        def renamed(tensors: dict[str, Any]) -> None:
            for name in [name for name in tensors if "LayerNorm" in name]:
                old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
                tensors[old] = tensors.pop(name)

        read = Huggingface().read(self.changed(tmp_path, renamed))
        theirs, batch = torch_model("bert", MASKED), rows(5)
        wanted = torch_output(theirs, batch).logits.numpy()[:, 1]
        assert np.abs(read.model({**batch, POSITIONS: np.ones([3, 1], np.int32)}).numpy()[:, 0] - wanted).max() < EXACT

    def test_another_decoder_under_a_configuration_that_ties_it_is_refused(self, tmp_path: Path) -> None:
        def other(tensors: dict[str, Any]) -> None:
            tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1

        path = self.changed(tmp_path, other)
        read = Huggingface().read(path)
        with pytest.raises(WeightsError, match="differs") as caught:
            _ = read.model
        assert "tie_word_embeddings" in caught.value.fix
        untied = Huggingface().read(folder_with(Path(path), tie_word_embeddings=False))
        head, table = untied.model.get_layer("head"), untied.model.get_layer("encoder").bert.embeddings.weight
        assert np.allclose(head.decoder.numpy(), table.numpy() + 1)

    def test_what_is_missing_or_not_known_is_named(self, tmp_path: Path) -> None:
        path = self.changed(tmp_path, lambda tensors: tensors.pop("cls.predictions.bias"), hidden_act="relu")
        with pytest.raises(WeightsError, match=r"1 missing: cls\.predictions\.bias; 0 left over"):
            Huggingface().read(path)
        path = self.changed(tmp_path / "other", lambda tensors: None, hidden_act="mish")
        with pytest.raises(WeightsError, match="mish"):
            Huggingface().read(path)

    @pytest.mark.parametrize("family", ["auto", "bert", "xlm-roberta"])
    def test_a_new_head_adds_what_the_encoder_adds(self, tmp_path: Path, family: str) -> None:
        model = portable({"kind": "fill_mask"}, "masked_language")
        model = dataclasses.replace(model, config={**model.config, "layer_norm_eps": 0.01})
        model = dataclasses.replace(model, build=lambda: model.task.model(network(model.config), model.head))
        types = next(weight for weight in model.model.weights if "token_type_embeddings" in weight.name)
        types.assign(np.repeat(types.numpy()[:1], 2, axis=0))  # families that leave them out could hold such a model
        written = Huggingface(family=family).write(model, tmp_path / "out")
        batch, positions = rows(12), np.array([[1], [2], [3]], np.int32)
        theirs = transformers.AutoModelForMaskedLM.from_pretrained(written).eval()
        wanted = torch_output(theirs, batch).logits.numpy()[np.arange(3), positions[:, 0]]
        assert np.abs(model.model({**batch, POSITIONS: positions}).numpy()[:, 0] - wanted).max() < EXACT
        assert theirs.config.layer_norm_eps == 0.01

    def test_a_family_without_such_a_head_is_refused(self, tmp_path: Path) -> None:
        model = portable({"kind": "fill_mask"}, {"kind": "masked_language", "activation": "relu"})
        with pytest.raises(ModelError, match="relu"):
            Huggingface(family="xlm-roberta").write(model, tmp_path / "out")


def folder_with(path: Path, **changed: Any) -> str:
    """A checkpoint with other entries in its config.json."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    (path / "config.json").write_text(json.dumps({**config, **changed}), encoding="utf-8")
    return str(path)
