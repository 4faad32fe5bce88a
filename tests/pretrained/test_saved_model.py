"""The encoder inside a model that tfxl saved."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.pretrained.checkpoints import INPUTS, same
from tfxl.encoders.tiny import Tiny
from tfxl.errors import WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.network import load
from tfxl.pretrained.saved_model import EXTRA, MANIFEST
from tfxl.pretrained.source import open_checkpoint


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """A copy of version 1, at tiny/1."""
    return shutil.copytree(tiny_model_folder, tmp_path / "tiny" / "1")


def edit(folder, change):
    """Changes the manifest."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_the_encoder_comes_back(folder):
    opened = open_checkpoint(str(folder))
    assert same(opened.arrays, families.extract(Tiny().build()))
    assert opened.config == json.loads(Tiny().files()["config.json"])
    assert opened.tokenizer_files == {n: c for n, c in Tiny().files().items() if n != "config.json"}
    assert np.array_equal(load(opened.config, opened.arrays)(INPUTS), Tiny().build()(INPUTS))


def test_a_models_folder_means_its_newest_version(folder):
    shutil.copytree(folder, folder.with_name("10"))
    (folder.with_name("11")).mkdir()  # not finished
    assert open_checkpoint(str(folder.parent)).name.endswith("10")


@pytest.mark.parametrize("place", ["variables/variables.index", "variables/variables.data-00000-of-00001"])
@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: bytes([c[0] ^ 1]) + c[1:], lambda c: b""])
def test_damaged_variables(folder, place, damage):
    (folder / place).write_bytes(damage((folder / place).read_bytes()))
    with pytest.raises(WeightsError, match="variables"):
        open_checkpoint(str(folder))


def test_a_changed_encoder_file(folder):
    path = folder / EXTRA / "encoder" / "config.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"encoder/config\.json"):
        open_checkpoint(str(folder))
    path.unlink()
    with pytest.raises(WeightsError, match=r"encoder/config\.json"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("variables"),
        lambda manifest: manifest.update(files=3),
        lambda manifest: manifest["variables"].reverse(),
        lambda manifest: manifest["variables"][0].update(shape=[1, 8]),
        lambda manifest: manifest["variables"][0].update(name="bert/encoder/layer_._0/adapter/kernel:0"),
        lambda manifest: manifest["variables"].append(manifest["variables"][0]),
        lambda manifest: manifest["files"].update({"assets.extra/encoder/../../../../etc/hostname": {"sha256": ""}}),
    ],
)
def test_a_manifest_that_does_not_fit(folder, change):
    edit(folder, change)
    try:
        opened = open_checkpoint(str(folder))
    except WeightsError:
        return
    assert set(opened.tokenizer_files) <= set(Tiny().files())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"files": {"a": 1}, "variables": []}'])
def test_a_manifest_that_is_none(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(WeightsError):
        open_checkpoint(str(folder))
