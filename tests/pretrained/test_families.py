"""Names: every tensor of BERT has one variable and the reverse, and what does not fit is listed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.pretrained.checkpoints import CONFIG, arrays, same
from tfxl.errors import WeightsError
from tfxl.pretrained import families, layout
from tfxl.pretrained.checkpoint import LazyArrays, shapes_of
from tfxl.pretrained.network import network


@pytest.fixture(scope="module")
def model():
    return network(CONFIG)


def lazy(tensors):
    return LazyArrays(shapes_of(tensors), tensors.__getitem__)


def canonical(tensors):
    return layout.split(lazy(tensors), families.FAMILIES["bert"], where="test").encoder


def test_each_variable_has_the_name_of_one_tensor(model):
    assert sorted(families.torch_name(v.name) for v in model.weights) == sorted(families.expected_shapes(CONFIG))


def test_assign_then_extract_gives_the_arrays_back(model):
    families.assign(model, arrays())
    assert same(families.extract(model), arrays(pooler=False))


def test_lazy_arrays_are_the_extracted_ones(model):
    families.assign(model, arrays(2))
    found = families.lazy(model)
    assert same(found, arrays(2, pooler=False))
    assert found.shapes == families.expected_shapes(CONFIG)


def test_assign_works_inside_a_larger_model(model):
    inner = network(CONFIG)
    outer = type(model)(inner.inputs, inner.output * 2.0)
    families.assign(outer, arrays(3))
    assert same(families.extract(inner), arrays(3, pooler=False))


def test_assign_lists_missing_and_left_over(model):
    wrong = arrays()
    wrong["encoder.layer.7.output.dense.bias"] = wrong.pop("encoder.layer.1.output.dense.bias")
    with pytest.raises(WeightsError, match=r"missing: encoder\.layer\.1\..*left over: encoder\.layer\.7\."):
        families.assign(model, wrong)


def test_assign_names_a_wrong_shape(model):
    wrong = {**arrays(), "embeddings.word_embeddings.weight": np.zeros((3, 8), np.float32)}
    with pytest.raises(WeightsError, match=r"word_embeddings.*\[3, 8\]"):
        families.assign(model, wrong)


def test_check_shapes_lists_everything_at_once():
    shapes = shapes_of(arrays(pooler=False))
    del shapes["encoder.layer.0.attention.self.key.bias"]
    shapes["encoder.layer.2.adapter.weight"] = (8, 8)
    shapes["embeddings.LayerNorm.bias"] = (9,)
    told = (
        r"1 missing: encoder\.layer\.0\..*1 left over: encoder\.layer\.2\..*1 of another shape: embeddings\.LayerNorm"
    )
    with pytest.raises(WeightsError, match=told):
        families.check_shapes(CONFIG, shapes, where="test")


def test_a_long_list_is_cut():
    with pytest.raises(WeightsError, match="and 29 more"):
        families.check_shapes(CONFIG, {}, where="test")


@pytest.mark.parametrize("prefix", ["", "bert.", "model.encoder.bert.", "0.auto_model."])
def test_any_prefix_is_taken_off_and_heads_are_left_out(prefix):
    tensors = {f"{prefix}{name}": array for name, array in arrays().items()}
    tensors["classifier.weight"] = np.zeros((2, 8), np.float32)
    tensors["cls.predictions.bias"] = np.zeros(9, np.float32)
    tensors[f"{prefix}embeddings.position_ids"] = np.zeros((1, 40), np.float32)
    assert same(canonical(tensors), arrays())


def test_the_old_names_of_layer_norm_are_read():
    old = {re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name): array for name, array in arrays().items()}
    old = {re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name): array for name, array in old.items()}
    assert same(canonical({f"bert.{name}": array for name, array in old.items()}), arrays())


def test_two_encoders_are_refused():
    tensors = {f"{tower}.{name}": array for name, array in arrays().items() for tower in ("query", "passage")}
    with pytest.raises(WeightsError, match=r"2 encoders: passage\., query\."):
        canonical(tensors)


def test_no_encoder_is_refused():
    with pytest.raises(WeightsError, match="no word embeddings"):
        canonical({"transformer.h.0.attn.weight": np.zeros((2, 2), np.float32)})


def test_an_unknown_family_is_refused_with_the_known_ones():
    for model_type in ("gpt2", None, ["bert"]):
        with pytest.raises(WeightsError, match="one of bert"):
            families.find_family(model_type, where="config.json")


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("bert/embeddings/word_embeddings/weight:0", "embeddings.word_embeddings.weight"),
        ("a/b/bert/encoder/layer_._11/output/LayerNorm/gamma", "encoder.layer.11.output.LayerNorm.weight"),
        ("bert/tf_bert_model/bert/pooler/dense/kernel:0", "pooler.dense.weight"),
        ("pooled/kernel:0", None),
        ("encoder/bert/encoder/layer_._0/adapter/kernel:0", None),
    ],
)
def test_torch_name(variable, name):
    assert families.torch_name(variable) == name
