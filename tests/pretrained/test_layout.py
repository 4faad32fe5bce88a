"""Every family, from every kind of file, gives the hidden states of transformers' own classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import transformers

from tests.pretrained.checkpoints import arrays, write_folder
from tests.pretrained.published import (
    VALUES,
    largest_difference,
    publish,
    rows,
    tokenizer_size,
    torch_model,
    torch_output,
)
from tfxl.encoders.bert import Bert
from tfxl.errors import WeightsError
from tfxl.pretrained import families, layout
from tfxl.pretrained.checkpoint import LazyArrays
from tfxl.pretrained.configuration import as_bert, as_family
from tfxl.pretrained.families import FAMILIES
from tfxl.pretrained.folder import open_folder
from tfxl.pretrained.network import load

EXACT = 1e-5


@pytest.mark.torch
@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_pytorch(tmp_path, family):
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model(family)
    opened = open_folder(publish(original, tmp_path))
    model = load(opened.config, opened.arrays)
    for length in (1, 2, 7, 40):
        batch = rows(length)
        theirs = torch_output(original, batch).last_hidden_state
        assert largest_difference(model(batch), theirs, batch["attention_mask"]) < EXACT


@pytest.mark.torch
@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
def test_token_types_are_read(tmp_path, family):
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model(family, type_vocab_size=2)
    opened = open_folder(publish(original, tmp_path))
    batch = rows(9, types=True)
    theirs = torch_output(original, batch, types=True).last_hidden_state
    assert largest_difference(load(opened.config, opened.arrays)(batch), theirs, batch["attention_mask"]) < EXACT


@pytest.mark.torch
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{"safe_serialization": False}, {"max_shard_size": "9KB"}], ids=["bin", "shards"])
def test_other_files_of_pytorch_hold_the_same(tmp_path, family, options):
    pytest.importorskip("torch", reason="reads and writes PyTorch's files")
    original = torch_model(family, "ForTokenClassification")
    whole = open_folder(publish(original, tmp_path / "whole"))
    other = open_folder(publish(original, tmp_path / "other", **options))
    for found, wanted in ((other.arrays, whole.arrays), (other.heads, whole.heads)):
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in wanted.items()
        }
    assert set(whole.heads) >= {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_tensorflow_classes(tmp_path, family, safetensors):
    config = transformers.AutoConfig.for_model(family, vocab_size=tokenizer_size(), **VALUES[family])
    original = getattr(transformers, f"TF{FAMILIES[family].architectures}ForTokenClassification")(config)
    original.build_in_name_scope()
    opened = open_folder(publish(original, tmp_path, safe_serialization=safetensors))
    assert {name: array.shape for name, array in opened.heads.items()} == {
        "classifier.weight": (2, 16),
        "classifier.bias": (2,),
    }
    batch = rows(11)
    known = {name: value for name, value in batch.items() if family != "distilbert" or name != "token_type_ids"}
    theirs = getattr(original, FAMILIES[family].base)(known).last_hidden_state
    assert largest_difference(load(opened.config, opened.arrays)(batch), theirs, batch["attention_mask"]) < EXACT


@pytest.mark.torch
@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_to_train_on_starts_from_any_family(tmp_path, family):
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    original = torch_model(family, "ForMaskedLM")
    encoder = Bert(weights=str(publish(original, tmp_path)))
    assert json.loads(encoder.files()["config.json"])["model_type"] == "bert"
    batch = rows(5)
    theirs = torch_output(getattr(original, FAMILIES[family].base), batch).last_hidden_state
    assert largest_difference(encoder.build()(batch), theirs, batch["attention_mask"]) < EXACT


@pytest.mark.torch
@pytest.mark.parametrize("written", FAMILIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_as_a_family_is_read_back(tmp_path, family, written):
    pytest.importorskip("torch", reason="compares with PyTorch's classes")
    one_type = {} if family in ("bert", "distilbert") else {"type_vocab_size": 1}
    opened = open_folder(publish(torch_model(family, **one_type), tmp_path))
    values, kind = as_family(opened.config, written), FAMILIES[written]
    first = layout.first_position(values, kind)
    if (family, written) == ("bert", "distilbert"):
        return  # its token types differ: see below
    theirs = layout.restore(opened.arrays, kind, first=first, prefix=f"{kind.base}.")
    again = layout.split(theirs, kind, first=first, where="test").encoder
    config = as_bert(values, kind, where="test")
    families.check_shapes(config, again.shapes, where="test")
    if written != "distilbert":
        assert {name: again[name].tobytes() for name in again} == {n: a.tobytes() for n, a in opened.arrays.items()}
        return
    # What token types add is added to the positions instead: a sum in another order, so the last bits differ.
    same = load(config, again)(rows(8)) - load(opened.config, opened.arrays)(rows(8))
    assert np.abs(same).max() < 10 * EXACT


def test_different_token_types_cannot_become_none(tmp_path):
    opened = open_folder(write_folder(tmp_path, arrays()))
    with pytest.raises(WeightsError, match="2 different token types"):
        layout.restore(opened.arrays, FAMILIES["distilbert"])


def test_a_projection_of_embeddings_is_refused():
    small = {**VALUES["electra"], "vocab_size": 9, "embedding_size": 8}
    unsaid = {key: value for key, value in small.items() if key != "embedding_size"}
    for values in (small, unsaid):
        with pytest.raises(WeightsError, match="embedding_size"):
            as_bert(values, FAMILIES["electra"], where="config.json")


def test_too_few_positions_are_refused():
    values = {**VALUES["xlm-roberta"], "vocab_size": 9, "max_position_embeddings": 2}
    with pytest.raises(WeightsError, match="max_position_embeddings is 2"):
        as_bert(values, FAMILIES["xlm-roberta"], where="config.json")


@pytest.mark.parametrize(("name", "same"), [("gelu_python", "gelu"), ("gelu_pytorch_tanh", "gelu_new")])
def test_activations_by_pytorchs_names(name, same):
    values = {**VALUES["bert"], "vocab_size": 9, "hidden_act": name}
    assert as_bert(values, FAMILIES["bert"], where="config.json")["hidden_act"] == same


@pytest.mark.parametrize(
    ("variable", "base", "name"),
    [
        (
            "tf_bert_model_3/bert/encoder/layer_._11/output/dense/kernel:0",
            "bert",
            "bert.encoder.layer.11.output.dense.weight",
        ),
        ("classifier/tf_x_for_y/classifier/out_proj/kernel:0", "roberta", "classifier.out_proj.weight"),
        ("tf_x_for_y_1/qa_outputs/bias", "bert", "qa_outputs.bias"),
        (
            "a/distilbert/transformer/layer_._0/ffn/lin1/bias:0",
            "distilbert",
            "distilbert.transformer.layer.0.ffn.lin1.bias",
        ),
        ("bert/bert/embeddings/LayerNorm/gamma:0", "bert", "bert.embeddings.LayerNorm.weight"),
    ],
)
def test_names_of_tensorflow(variable, base, name):
    assert layout._of_variable(variable, base)[0] == name


def test_nothing_is_read_while_names_are_sorted():
    def read(name):
        raise AssertionError(name)

    shapes = families.expected_shapes({**VALUES["bert"], "vocab_size": 9, "type_vocab_size": 2})
    lazy = LazyArrays({f"bert.{name}": shape for name, shape in shapes.items()}, read)
    assert layout.split(lazy, FAMILIES["bert"], where="test").encoder.shapes == shapes
