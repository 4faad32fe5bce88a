"""What is written is read again by us and by the safetensors library, and appears whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.pretrained.checkpoints import CONFIG, FILES, arrays, checkpoint, same
from tfxl.errors import WeightsError
from tfxl.pretrained.checkpoint import LazyArrays, shapes_of, write_checkpoint
from tfxl.pretrained.source import open_checkpoint


def test_a_written_checkpoint_is_read_again(tmp_path):
    folder = write_checkpoint(tmp_path / "deep" / "model", checkpoint())
    again = open_checkpoint(str(folder))
    assert same(again.arrays, arrays())
    assert (again.config, again.tokenizer_files) == (CONFIG, FILES)


def test_the_safetensors_library_reads_what_is_written(tmp_path):
    folder = write_checkpoint(tmp_path / "model", checkpoint())
    assert same(load_file(folder / "model.safetensors"), arrays())
    assert json.loads((folder / "config.json").read_bytes()) == CONFIG


def test_writing_twice_gives_the_same_bytes(tmp_path):
    one, two = (write_checkpoint(tmp_path / name, checkpoint()) for name in ("one", "two"))
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(WeightsError, match="exists already"):
        write_checkpoint(tmp_path / "model", checkpoint())


def test_a_failure_leaves_nothing_behind(tmp_path):
    def read(name):
        raise OSError("the disk went away")

    broken = LazyArrays(shapes_of(arrays()), read)
    with pytest.raises(OSError, match="went away"):
        write_checkpoint(tmp_path / "model", checkpoint().__class__("broken", CONFIG, broken, FILES))
    assert list(tmp_path.iterdir()) == []


def test_lazy_arrays_read_at_access_and_only_then():
    reads = []
    lazy = LazyArrays({"a": (2,)}, lambda name: (reads.append(name), np.zeros(2))[1])
    assert (dict(lazy.shapes), list(lazy), len(lazy), "b" in lazy) == ({"a": (2,)}, ["a"], 1, False)
    assert reads == []
    assert lazy["a"].shape == (2,)
    assert reads == ["a"]
    with pytest.raises(KeyError):
        lazy["b"]
