"""Bert: weights are opened once, its settings reach the network, and nothing is printed."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tests.pretrained.checkpoints import CONFIG, INPUTS, arrays, checkpoint, write_folder
from tfxl.backend import tf
from tfxl.encoders import bert as module
from tfxl.encoders.bert import Bert, network
from tfxl.errors import RecipeError, WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import write_checkpoint


@pytest.fixture
def folder(tmp_path):
    return str(write_checkpoint(tmp_path / "model", checkpoint()))


def test_weights_are_required():
    with pytest.raises(RecipeError, match=r"bert\.weights is not set"):
        Bert()


def test_the_weights_are_those_of_the_folder(folder):
    built = families.extract(Bert(weights=folder).build())
    assert all(np.array_equal(built[name], arrays()[name]) for name in built)


def test_the_checkpoint_is_opened_once(folder, monkeypatch):
    opened = []
    original = module.open_checkpoint
    monkeypatch.setattr(module, "open_checkpoint", lambda weights: (opened.append(weights), original(weights))[1])
    encoder = Bert(weights=folder)
    assert opened == []
    encoder.tokenizer(), encoder.build(), encoder.files(), encoder.build()
    assert opened == [folder]


def test_dropout_is_the_checkpoints_unless_set(folder):
    def dropouts(encoder):
        config = json.loads(encoder.files()["config.json"])
        return config["hidden_dropout_prob"], config["attention_probs_dropout_prob"]

    assert dropouts(Bert(weights=folder)) == (0.0, 0.0)
    changed = Bert(weights=folder, hidden_dropout=0.5, attention_dropout=0.25)
    assert dropouts(changed) == (0.5, 0.25)
    tf.random.set_seed(0)
    model = changed.build()
    once, twice = model(INPUTS, training=True), model(INPUTS, training=True)
    assert not np.allclose(once, twice)
    assert np.array_equal(model(INPUTS), model(INPUTS))


def test_files_rebuild_the_encoder(folder):
    encoder = Bert(weights=folder)
    model = network(json.loads(encoder.files()["config.json"]))
    families.assign(model, arrays())
    assert np.array_equal(model(INPUTS), encoder.build()(INPUTS))


def test_weights_beside_another_vocabulary_are_refused(tmp_path):
    folder = write_folder(tmp_path, arrays())
    for name in ("sentencepiece.bpe.model", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe", encoding="utf-8")
    with pytest.raises(WeightsError, match="becomes unknown"):
        Bert(weights=str(folder)).build()


def test_what_the_self_test_remarks_is_a_warning(tmp_path):
    write_folder(tmp_path, arrays(), pad_token_id=0)
    encoder = Bert(weights=str(tmp_path))
    with pytest.warns(UserWarning, match="pad_token_id 0"):
        encoder.tokenizer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.build()
    assert len(encoder.report().remarks) == 1


def test_nothing_is_printed(folder):
    program = f"from tfxl.encoders.bert import Bert; Bert(weights={folder!r}).build()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours = [line for line in done.stderr.splitlines() if "TensorFlow and JAX classes" in line or "transformers" in line]
    assert (done.stdout, ours) == ("", [])


def test_the_configuration_of_the_fixture_is_what_the_network_reads(folder):
    assert json.loads(Bert(weights=folder).files()["config.json"]) == CONFIG
