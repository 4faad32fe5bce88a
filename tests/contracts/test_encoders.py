"""What holds for every encoder: what it builds, that its files rebuild it, and that its parts can be told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.pretrained.checkpoints import checkpoint
from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.encoders import INPUTS, Encoder, blocks
from tfxl.encoders.bert import network
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import write_checkpoint
from tfxl.text.tokenizer import from_files


@pytest.fixture(params=registry.names("encoders"))
def encoder(request, tmp_path):
    """Every encoder; those that need weights get a random checkpoint."""
    part = registry.find("encoders", request.param)
    needs_weights = "weights" in part.Settings.model_fields
    folder = write_checkpoint(tmp_path / "model", checkpoint()) if needs_weights else None
    return part(**({"weights": str(folder)} if needs_weights else {}))


def encode(encoder, texts, length=32):
    encoded = encoder.tokenizer().encode(tf.constant(texts), max_length=length)
    return {name: encoded[name] for name in INPUTS}


def test_it_is_an_encoder_whose_settings_round_trip(encoder):
    assert isinstance(encoder, Encoder)
    assert registry.build("encoders", encoder.spec()).settings == encoder.settings


def test_it_builds_a_functional_model_over_the_named_inputs(encoder):
    model = encoder.build()
    assert isinstance(model, keras.Model)
    assert {(name, value.dtype) for name, value in model.input.items()} == {(name, tf.int32) for name in INPUTS}
    hidden = json.loads(encoder.files()["config.json"])["hidden_size"]
    assert model.output.shape.as_list() == [None, None, hidden]


def test_one_vector_a_token_for_every_script(encoder, multilingual_texts):
    encoded = encode(encoder, multilingual_texts)
    output = encoder.build()(encoded)
    assert output.shape[:2] == encoded["input_ids"].shape
    assert np.isfinite(output.numpy()).all()


def test_padding_does_not_matter(encoder):
    model, encoded = encoder.build(), encode(encoder, ["the room was clean"])
    longer = {name: np.pad(value.numpy(), [(0, 0), (0, 5)]) for name, value in encoded.items()}
    assert np.abs(model(longer)[:, :-5] - model(encoded)).max() < 1e-5


def test_every_build_has_new_variables_with_the_same_values(encoder):
    one, two = encoder.build(), encoder.build()
    assert not {id(variable) for variable in one.weights} & {id(variable) for variable in two.weights}
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def test_the_tokenizer_fits_the_embeddings(encoder):
    table = blocks(encoder.build()).embeddings.weight
    assert encoder.tokenizer().size <= table.shape[0]


def test_its_files_rebuild_it(encoder, multilingual_texts):
    files = encoder.files()
    model, tokenizer = network(json.loads(files["config.json"])), from_files(files)
    families.assign(model, families.extract(encoder.build()))
    encoded = tokenizer.encode(tf.constant(multilingual_texts), max_length=32)
    wanted = encode(encoder, multilingual_texts)
    assert all(np.array_equal(encoded[name], wanted[name]) for name in INPUTS)
    assert np.array_equal(model(wanted), encoder.build()(wanted))


def test_its_blocks_hold_all_of_its_variables(encoder):
    model = encoder.build()
    found = blocks(model)
    parts = [*found.embeddings.weights, *(variable for layer in found.layers for variable in layer.weights)]
    assert {id(variable) for variable in parts} == {id(variable) for variable in model.weights}


def test_it_learns(encoder):
    model, encoded = encoder.build(), encode(encoder, ["the room was clean", "комната была чистой", "房间 很 干净"])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    target = np.random.default_rng(0).normal(size=model(encoded).shape).astype(np.float32)
    losses = model.fit(encoded, target, epochs=5, batch_size=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
