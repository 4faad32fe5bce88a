"""Folders in every layout that libraries write; damage and tricks end in a WeightsError, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, TFBertForSequenceClassification, TFBertModel

from tests.pretrained.checkpoints import CONFIG, FILES, arrays, same, write_folder, write_shards
from tfxl.errors import WeightsError
from tfxl.pretrained import families, tensors
from tfxl.pretrained.folder import open_folder, shard_names


def read_all(folder):
    """Opens a folder and reads every tensor."""
    return {name: array.copy() for name, array in open_folder(folder).arrays.items()}


def test_whole_safetensors(tmp_path):
    opened = open_folder(write_folder(tmp_path, arrays()))
    assert same(opened.arrays, arrays())
    assert (opened.config, opened.tokenizer_files) == (CONFIG, FILES)


def test_shards(tmp_path):
    assert same(read_all(write_shards(tmp_path, arrays())), arrays())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_read_as_float32(tmp_path, dtype):
    stored = {name: array.astype(dtype) for name, array in arrays().items()}
    found = read_all(write_folder(tmp_path, stored))
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    assert same(found, {name: array.astype(np.float32) for name, array in stored.items()})


@pytest.mark.parametrize("model_class", [TFBertModel, TFBertForSequenceClassification])
@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("shard_size", ["10GB", "9KB"])
def test_tensorflow_layouts(tmp_path, model_class, safetensors, shard_size):
    model = model_class(BertConfig(**CONFIG))
    model.build_in_name_scope()
    families.assign(model.bert, arrays())
    model.save_pretrained(tmp_path, safe_serialization=safetensors, max_shard_size=shard_size)
    assert any(path.name.endswith(".index.json") for path in tmp_path.iterdir()) == (shard_size == "9KB")
    found = read_all(tmp_path)
    assert same(found, arrays())


@pytest.mark.torch
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForTokenClassification"])
def test_folders_that_pytorch_wrote(tmp_path, head):
    pytest.importorskip("torch")
    import transformers

    model = getattr(transformers, head)(BertConfig(**CONFIG))
    model.save_pretrained(tmp_path)
    wanted = {
        name.removeprefix("bert."): value.numpy()
        for name, value in model.state_dict().items()
        if name.removeprefix("bert.").startswith(("embeddings.", "encoder.", "pooler."))
    }
    found = read_all(tmp_path)
    assert same(found, {name: wanted[name] for name in found})
    assert set(families.expected_shapes(CONFIG)) <= set(found)


def test_a_pickle_is_not_opened_without_pytorch(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "reads_torch", lambda: False)
    folder = write_folder(tmp_path, None)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.")
    with pytest.raises(WeightsError, match="pickle") as caught:
        open_folder(folder)
    assert "save_pretrained" in caught.value.fix


@pytest.mark.parametrize("version", ["2.5.1", "1.13.1+cu117", "nightly"])
def test_an_old_pytorch_counts_as_none(monkeypatch, version):
    monkeypatch.setattr(tensors.metadata, "version", lambda name: version)
    assert not tensors.reads_torch()


@pytest.mark.torch
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_in_a_pickle_are_read_by_pytorch(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    folder = write_folder(tmp_path, None)
    state = {f"bert.{name}": torch.from_numpy(array).half() for name, array in arrays().items()}
    state["bert.embeddings.position_ids"] = torch.arange(40)
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert same(read_all(folder), {name: array.astype(np.float16).astype("f4") for name, array in arrays().items()})


@pytest.mark.torch
def test_shards_of_pickles(tmp_path):
    torch = pytest.importorskip("torch")
    folder = write_folder(tmp_path, None)
    names = sorted(arrays())
    places = {name: f"pytorch_model-0000{1 + (name > names[9])}-of-00002.bin" for name in names}
    for file in set(places.values()):
        part = {name: torch.from_numpy(arrays()[name]) for name in names if places[name] == file}
        torch.save(part, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert same(read_all(folder), arrays())
    with pytest.raises(WeightsError, match="names the file"):
        shard_names(b'{"weight_map": {"a": "x.safetensors"}}', where="pytorch_model.bin.index.json")


@pytest.mark.torch
@pytest.mark.parametrize("protocol", [0, 2])
def test_a_program_in_a_pickle_is_not_run(tmp_path, protocol):
    torch = pytest.importorskip("torch")

    class Program:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "was run"),))

    folder = write_folder(tmp_path, None)
    for content in ({"a": Program()}, Program(), [1, 2]):
        torch.save(content, folder / "pytorch_model.bin", pickle_protocol=protocol)
        with pytest.raises(WeightsError, match="cannot be read"):
            open_folder(folder)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.")
    with pytest.raises(WeightsError, match="cannot be read"):
        open_folder(folder)
    assert not (tmp_path / "was run").exists()


def test_nothing_there(tmp_path):
    with pytest.raises(WeightsError, match=r"no config\.json"):
        open_folder(tmp_path)
    with pytest.raises(WeightsError, match="no weights"):
        open_folder(write_folder(tmp_path, None))


def test_weights_of_another_configuration(tmp_path):
    with pytest.raises(WeightsError, match=r"16 left over: encoder\.layer\.1\."):
        open_folder(write_folder(tmp_path, arrays(), num_hidden_layers=1))
    with pytest.raises(WeightsError, match="model_type is 'gpt2'"):
        open_folder(write_folder(tmp_path, arrays(), model_type="gpt2"))


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x.safetensors", "c:x.h5", "x.bin", "x\0.h5"],
)
def test_an_index_cannot_name_files_elsewhere(tmp_path, name):
    folder = write_folder(tmp_path / "model", None)
    write_folder(tmp_path, arrays())
    (tmp_path / "model.safetensors").rename(tmp_path / "secret.safetensors")
    index = {"weight_map": dict.fromkeys(arrays(), name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(WeightsError, match="names the file"):
        open_folder(folder)


def test_a_missing_shard_is_named(tmp_path):
    write_shards(tmp_path, arrays())
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match="model-00002-of-00002"):
        open_folder(tmp_path)


@pytest.mark.parametrize("index", [b"[]", b"{}", b'{"weight_map": {}}', b'{"weight_map": 3}', b"\xff"])
def test_a_damaged_index(index):
    with pytest.raises(WeightsError):
        shard_names(index, where="index")


def test_hdf5_that_reads_another_file_is_refused(tmp_path):
    folder = write_folder(tmp_path, None)
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset("bert/x", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
    with pytest.raises(WeightsError, match="another file"):
        open_folder(folder)


def test_hdf5_names_that_are_no_text_are_refused(tmp_path):
    folder = write_folder(tmp_path, None)
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset(b"bert/\xff", (4,), "f4")
    with pytest.raises(WeightsError, match="no name of a tensor"):
        open_folder(folder)


def test_truncated_safetensors(tmp_path):
    folder = write_folder(tmp_path, arrays())
    content = (folder / "model.safetensors").read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        (folder / "model.safetensors").write_bytes(content[:length])
        with pytest.raises(WeightsError):
            open_folder(folder)


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    folder = write_folder(tmp_path, arrays())
    opened = open_folder(folder)
    os.truncate(folder / "model.safetensors", 3000)
    with pytest.raises(WeightsError):
        dict(opened.arrays)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of each kind of file, and what is in it."""
    places = {}
    for name in ("model.safetensors", "tf_model.h5"):
        folder = write_folder(tmp_path_factory.mktemp("whole"), None)
        if name == "tf_model.h5":
            model = TFBertModel(BertConfig(**CONFIG))
            model.build_in_name_scope()
            model.save_pretrained(folder, safe_serialization=False)
        else:
            write_folder(folder, arrays())
        places[name] = (folder, (folder / name).read_bytes())
    return places


@pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_ends_in_a_weights_error(whole, name, data):
    folder, content = whole[name]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, min(4000, len(content) - 1)))] ^= data.draw(st.integers(1, 255))
    damaged = damaged[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    (folder / name).write_bytes(bytes(damaged))
    with contextlib.suppress(WeightsError):
        assert all(array.dtype == np.float32 for array in read_all(folder).values())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=60))
def test_any_header_ends_in_a_weights_error(tmp_path, header):
    folder = write_folder(tmp_path, None)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError):
        open_folder(folder)
