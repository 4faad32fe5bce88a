from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfxl.backend import tf
from tfxl.errors import ModelError
from tfxl.serving import warmup


@pytest.fixture(scope="module")
def signatures(tiny_model_folder: Path) -> dict:
    import tensorflow_text  # noqa: F401

    saved = tf.saved_model.load(str(tiny_model_folder))
    return {**saved.signatures, "keeps it alive": saved}


def warmup_file(folder: Path) -> Path:
    return folder / "assets.extra" / warmup.FILE


def test_an_export_warms_every_signature_with_every_size(tiny_model_folder: Path) -> None:
    found = []
    for record in warmup.read(warmup_file(tiny_model_folder)):
        if record.HasField("classify_log"):
            request = record.classify_log.request
            size = len(request.input.example_list.examples)
        else:
            request = record.predict_log.request
            size = next(iter(request.inputs.values())).tensor_shape.dim[0].size
        found.append((request.model_spec.name, request.model_spec.signature_name, size))
    names = ("serving_default", "tokens", "classify")
    assert sorted(found) == sorted(("tiny", name, size) for name in names for size in (1, 8, 32))


def test_only_the_smallest_requests_have_a_text_as_long_as_the_encoder_reads(tiny_model_folder: Path) -> None:
    """In a batch of 32 it would keep a server from answering for long."""
    shapes = {}
    for record in warmup.read(warmup_file(tiny_model_folder)):
        request = record.predict_log.request
        if request.model_spec.signature_name == "tokens":
            rows, length = (each.size for each in request.inputs["input_ids"].tensor_shape.dim)
            shapes[rows] = length
    assert shapes[1] > 1.5 * max(shapes[8], shapes[32])


def test_every_record_is_answered(tiny_model_folder: Path, signatures: dict) -> None:
    assert warmup.replay(warmup_file(tiny_model_folder), signatures) == 9


def test_a_record_that_the_model_refuses_is_found(tmp_path: Path, signatures: dict) -> None:
    path = tmp_path / warmup.FILE
    good = warmup.predict_record("tiny", "serving_default", {"text": np.array([b"a"])})
    tokens = {name: np.zeros([1, 2], np.int32) for name in ("input_ids", "token_type_ids", "attention_mask")}
    warmup.write(path, [good, warmup.predict_record("tiny", "tokens", tokens)])
    with pytest.raises(ModelError, match=r"(?s)record 2, for 'tokens'.*attention_mask is 0 for a whole row"):
        warmup.replay(path, signatures)


@pytest.mark.parametrize(("signature", "input_name"), [("absent", "text"), ("serving_default", "texts")])
def test_a_record_that_names_what_is_not_there_is_found(
    tmp_path: Path, signatures: dict, signature: str, input_name: str
) -> None:
    warmup.write(tmp_path / "w", [warmup.predict_record("tiny", signature, {input_name: np.array([b"a"])})])
    with pytest.raises(ModelError, match=f"record 1, for '{signature}'"):
        warmup.replay(tmp_path / "w", signatures)


def test_a_flipped_bit_is_found(tmp_path: Path, tiny_model_folder: Path) -> None:
    data = bytearray(warmup_file(tiny_model_folder).read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(ModelError):
        list(warmup.read(tmp_path / "w"))


def test_more_records_than_a_server_reads_are_refused(tmp_path: Path) -> None:
    record = warmup.classify_record("tiny", "classify", {"text": ["a", "سلام"]})
    with pytest.raises(ModelError, match="1001 warm-up records"):
        warmup.write(tmp_path / "w", [record] * 1001)
    assert not (tmp_path / "w").exists()
