"""Hub names, without a network: what is in the Hub's cache opens, anything else says what to do."""

from __future__ import annotations

import shutil

import huggingface_hub
import pytest

from tests.pretrained.checkpoints import arrays, same, write_folder, write_shards
from tfxl.errors import WeightsError
from tfxl.pretrained import hub
from tfxl.pretrained.source import open_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of one snapshot in an empty cache of the Hub, which cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, **k: huggingface_hub.snapshot_download(name, cache_dir=tmp_path, **k)
    )
    repository = tmp_path / "models--lab--random"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return repository / "snapshots" / COMMIT


@pytest.mark.parametrize("name", ["lab/random", f"lab/random@{COMMIT}", "lab/random@main"])
def test_weights_in_the_cache_open_without_a_network(cache, name):
    write_folder(cache, arrays())
    opened = open_checkpoint(name)
    assert (opened.name, same(opened.arrays, arrays())) == (name, True)


def test_shards_in_the_cache(cache):
    write_shards(cache, arrays())
    assert same(open_checkpoint("lab/random").arrays, arrays())


def test_weights_that_are_not_there_name_the_way_out(cache):
    with pytest.raises(WeightsError, match="cannot be reached") as caught:
        open_checkpoint("lab/another")
    assert "offline:multilingual-e5-small" in caught.value.fix


def test_a_snapshot_without_weights(cache):
    write_folder(cache, None)
    with pytest.raises(WeightsError, match="no weights"):
        open_checkpoint("lab/random")


def test_only_what_is_needed_is_fetched(tmp_path, monkeypatch):
    """A stand-in for the Hub, with files that nobody needs."""
    remote = write_shards(tmp_path / "remote", arrays())
    for name in ("pytorch_model.bin", "flax_model.msgpack", "model.onnx", "tf_model.h5"):
        (remote / name).write_bytes(b"large")
    local, fetched = tmp_path / "local", set()
    local.mkdir()

    def download(name, *, revision, allow_patterns):
        for path in remote.iterdir():
            if path.name in allow_patterns:
                fetched.add(path.name)
                shutil.copy(path, local)
        return str(local)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert same(open_checkpoint("lab/random").arrays, arrays())
    assert fetched == {path.name for path in remote.iterdir()} - {
        "pytorch_model.bin",
        "flax_model.msgpack",
        "model.onnx",
        "tf_model.h5",
    }


def test_an_unknown_name(monkeypatch):
    def download(*_, **__):
        raise huggingface_hub.errors.RevisionNotFoundError("404", response=_Response())

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(WeightsError, match="no such weights"):
        open_checkpoint("lab/random@nowhere")


class _Response:
    """What the Hub's errors look at."""

    headers: dict = {}  # noqa: RUF012
    request = None
    status_code = 404
