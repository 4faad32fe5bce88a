"""A configuration is checked before anything is built from it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pretrained.checkpoints import CONFIG
from tfxl.errors import WeightsError
from tfxl.pretrained.configuration import check_config, parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def test_published_configurations_pass_and_lose_what_the_network_does_not_read():
    published = {**CONFIG, "architectures": ["BertModel"], "transformers_version": "4.30.2", "id2label": {"0": "a"}}
    assert check_config(published, where="config.json") == CONFIG


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_attention_heads", 3, "divides"),
        ("hidden_act", "snake", "gelu_new"),
        ("position_embedding_type", "relative_key", "absolute"),
        ("is_decoder", True, "False"),
        ("vocab_size", "464", "integer"),
        ("num_hidden_layers", 10**9, "1000"),
        ("hidden_dropout_prob", 1.0, "less than 1"),
    ],
)
def test_what_the_network_cannot_do_is_refused(key, value, told):
    with pytest.raises(WeightsError, match=told):
        check_config({**CONFIG, key: value}, where="config.json")


def test_a_missing_value_is_named():
    with pytest.raises(WeightsError, match=r"config\.json: hidden_size is missing"):
        check_config({key: value for key, value in CONFIG.items() if key != "hidden_size"}, where="config.json")


@given(st.dictionaries(st.sampled_from(sorted(CONFIG)), JSON, max_size=3))
def test_any_value_is_accepted_or_refused_with_a_weights_error(values):
    with contextlib.suppress(WeightsError):
        assert set(check_config({**CONFIG, **values}, where="config.json")) == set(CONFIG)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_a_weights_error(content):
    with contextlib.suppress(WeightsError):
        assert isinstance(parse_json(content, where="config.json"), dict)


def test_deep_nesting_is_refused():
    with pytest.raises(WeightsError):
        parse_json(b"[" * 100_000, where="config.json")
