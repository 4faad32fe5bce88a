from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, TFBertForSequenceClassification, TFBertModel

from tests.pretrained.checkpoints import CONFIG, INPUTS, arrays, write_folder
from tfxl.backend import tf
from tfxl.errors import WeightsError
from tfxl.pretrained import families, reference

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "das", "gut"]


def test_a_tokenizer_of_the_folders_own_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, marker = tmp_path / "folder", tmp_path / "ran"
    folder.mkdir()
    config = {"tokenizer_class": "MyTok", "auto_map": {"AutoTokenizer": ["evil.MyTok", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    code = f"""
from transformers import BertTokenizer
open({str(marker)!r}, "w").close()
class MyTok(BertTokenizer):
    pass
"""
    (folder / "evil.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    answers = io.StringIO("y\n" * 10)  # what someone would type who is asked
    monkeypatch.setattr(sys, "stdin", answers)
    found = reference.tokenize(folder, ["das gut"])
    assert found is None or found == [[2, 5, 6, 3]]
    assert not marker.exists() and answers.tell() == 0


@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("shard_size", ["10GB", "9KB"])
def test_weights_that_tensorflow_wrote_are_those_that_answer(
    tmp_path: Path, safetensors: bool, shard_size: str
) -> None:
    model = TFBertForSequenceClassification(BertConfig(**CONFIG))
    model.build_in_name_scope()
    families.assign(model.bert, arrays())
    model.save_pretrained(tmp_path, safe_serialization=safetensors, max_shard_size=shard_size)
    found = reference.outputs(tmp_path, "BertForSequenceClassification", INPUTS, token_types=True)
    wanted = model({name: tf.constant(value) for name, value in INPUTS.items()}, training=False).logits
    np.testing.assert_allclose(found.logits, wanted, atol=1e-6)
    assert "tensorflow" in found.library


@pytest.mark.parametrize("named", ["pytorch", "tensorflow"])
def test_weights_that_would_be_random_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setattr(reference, "has_torch", lambda: False)
    if named == "pytorch":
        write_folder(tmp_path, {f"bert.{name}": value for name, value in arrays(pooler=False).items()})
    else:
        model = TFBertModel(BertConfig(**CONFIG))
        model.build_in_name_scope()
        model.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="qa_outputs"):
        reference.outputs(tmp_path, "BertForQuestionAnswering", INPUTS, token_types=True)
    assert reference.outputs(tmp_path, "BertModel", INPUTS, token_types=True).logits is None
