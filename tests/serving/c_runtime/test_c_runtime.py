"""Runs an export in TensorFlow's C runtime, which the stock server embeds, and compares it with Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tfxl import registry
from tfxl.backend import tf
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, Settings, export
from tfxl.serving.model import load

TEXT_OPS = (
    "_sentencepiece_tokenizer.so",
    "_fast_wordpiece_tokenizer.so",
    "_fast_bert_normalizer.so",
    "_normalize_ops.so",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, built against the installed tensorflow."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    tensorflow = Path(tf.sysconfig.get_lib())
    if not (tensorflow / "libtensorflow_cc.so.2").exists():
        pytest.skip("the installed tensorflow has no libtensorflow_cc.so.2 to build against")
    built = tmp_path_factory.mktemp("c_runtime") / "answer"
    source = Path(__file__).parent / "answer.c"
    libraries = [f"-L{tensorflow}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    linking = [f"-Wl,-rpath,{tensorflow}", "-Wl,--allow-shlib-undefined"]
    subprocess.run(
        [compiler, "-Wall", "-D_GNU_SOURCE", source, "-o", built, f"-I{tensorflow}/include", *libraries, *linking],
        check=True,
    )
    return built


@pytest.fixture(scope="module")
def text_ops() -> list[Path]:
    import tensorflow_text

    folder = Path(tensorflow_text.__file__).parent / "python" / "ops"
    return [folder / name for name in TEXT_OPS]


def tensors(folder: Path, *names: str) -> list[str]:
    """The names in the graph of inputs and outputs of `serving_default`."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]
    signature = graph.signature_def["serving_default"]
    found = {**signature.inputs, **signature.outputs}
    return [found[name].name for name in names]


def run(program: Path, folder: Path, texts: Path, libraries: list[Path]) -> subprocess.CompletedProcess[str]:
    command = [program, folder, texts, *tensors(folder, "text", "label", "scores"), *libraries]
    return subprocess.run(command, capture_output=True, text=True)


def save(folder: Path, *, vocabulary: str, **settings: bool) -> Path:
    encoder = registry.build("encoders", {"kind": "tiny", "vocabulary": vocabulary})
    head = registry.build("heads", "pooled")
    task = registry.build("tasks", "classification", labels=["消极", "neutral", "إيجابي"], max_length=32)
    answerer = Answerer(task.model(encoder.build(), head), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), head.spec(), encoder.files())
    return export(answerer, folder, contents=contents, settings=Settings(**settings))


@pytest.mark.parametrize("vocabulary", ["sentencepiece", "wordpiece"])
def test_the_c_runtime_answers_as_python(
    program: Path, text_ops: list[Path], multilingual_texts: list[str], tmp_path: Path, vocabulary: str
) -> None:
    folder = save(tmp_path / "name", vocabulary=vocabulary)
    texts = [*multilingual_texts, "long " * 200, "שלום עולם", "👩‍👩‍👧🇩🇪", "\u202eعربي\u202c 12"]
    (tmp_path / "texts").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    done = run(program, folder, tmp_path / "texts", text_ops)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    expected = load(folder).predict(texts, batch_size=7)
    assert [row[0] for row in rows] == [prediction.label for prediction in expected]
    for row, prediction in zip(rows, expected, strict=True):
        assert [float(score) for score in row[1:]] == pytest.approx(list(prediction.scores.values()), abs=1e-6)


def test_the_checks_in_the_graph_reach_a_c_client(
    program: Path, text_ops: list[Path], tiny_model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").write_text("")
    done = run(program, tiny_model_folder, tmp_path / "texts", text_ops)
    assert done.returncode == 1
    assert "the batch is empty: send at least one text" in done.stderr


def test_tokens_alone_load_without_the_text_ops_and_text_does_not(
    program: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    refused = subprocess.run([program, tiny_model_folder], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "Op type not registered" in refused.stderr
    tokens_only = save(tmp_path / "name", vocabulary="sentencepiece", tokens_only=True, warmup=False)
    loaded = subprocess.run([program, tokens_only], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
