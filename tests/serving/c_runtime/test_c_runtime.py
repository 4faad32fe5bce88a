"""Runs an export in TensorFlow's C runtime, which the stock server embeds, and compares it with Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.contracts.task_cases import MIXED, USUAL, WITH_MASKS, Case
from tests.formats.test_huggingface import CASES
from tests.pretrained.published import publish, torch_model
from tfxl import adopting, registry
from tfxl import certificate as certificates
from tfxl.backend import tf
from tfxl.data import texts_of
from tfxl.formats._heads import ENCODER
from tfxl.formats._masked import MASKED
from tfxl.pretrained.families import FAMILIES
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, Settings, export
from tfxl.serving.model import load
from tfxl.serving.parity import probe_texts

ADOPTED = {**CASES, "masks": (MASKED, {}, "fill_mask"), "vectors": (ENCODER, {}, "retrieval")}
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


class Signature(NamedTuple):
    """The names in the graph of a signature's inputs and outputs, by their own names."""

    inputs: dict[str, str]
    outputs: dict[str, str]


def signatures(folder: Path) -> dict[str, Signature]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]
    return {
        name: Signature(*({key: tensor.name for key, tensor in side.items()} for side in (one.inputs, one.outputs)))
        for name, one in graph.signature_def.items()
        if not name.startswith("__")
    }


Texts = dict[str, list]
"""A request: columns of texts by the signature's inputs; choices are lists of texts."""


def ask(
    program: Path, folder: Path, requests: dict[str, Texts], libraries: list[Path]
) -> subprocess.CompletedProcess[str]:
    """Runs the program on a request for each of some signatures, all in one process."""
    known, place, lines = signatures(folder), folder.parent / "requests", []
    for signature, texts in requests.items():
        found = known[signature]
        for name, column in texts.items():
            width = len(column[0]) if column and isinstance(column[0], list | tuple) else 0
            flat = [text for row in column for text in row] if width else column
            path = folder.parent / f"request.{signature}.{name}"
            path.write_text("".join(f"{text}\n" for text in flat), encoding="utf-8")
            lines.append(f"input {found.inputs[name]} {width} {path}")
        lines += [*(f"output {tensor}" for tensor in found.outputs.values()), "run"]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return subprocess.run([program, folder, place, *libraries], capture_output=True, text=True)


def outputs(folder: Path, printed: str, requests: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Returns what the program printed, by signature and output."""
    lines, known = iter(printed.splitlines()), signatures(folder)
    read = {"string": bytes.fromhex, "float": float, "int": int, "bool": lambda text: bool(int(text))}
    answers: dict[str, dict[str, np.ndarray]] = {}
    for signature in requests:
        answers[signature] = {}
        for name in known[signature].outputs:
            kind, _, *shape = next(lines).split()
            sizes = [int(size) for size in shape]
            values = [read[kind](next(lines)) for _ in range(int(np.prod(sizes)))]
            answers[signature][name] = np.array(values, object if kind == "string" else None).reshape(sizes)
    return answers


def compare(folder: Path, program: Path, requests: dict[str, Texts], libraries: list[Path]) -> None:
    """Holds every output of some signatures against what Python gives."""
    done = ask(program, folder, requests, libraries)
    assert done.returncode == 0, done.stderr
    found, model = outputs(folder, done.stdout, requests), load(folder)
    for signature, texts in requests.items():
        expected = model.signatures[signature](**{name: tf.constant(column) for name, column in texts.items()})
        assert set(found[signature]) == set(expected)
        for name, value in expected.items():
            answer, message = found[signature][name], f"{signature}, {name}"
            if value.dtype.is_floating:
                np.testing.assert_allclose(answer, value.numpy(), atol=1e-6, err_msg=message)
            else:
                np.testing.assert_array_equal(answer, value.numpy(), err_msg=message)


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
    compare(folder, program, {"serving_default": {"text": texts}}, text_ops)


@pytest.mark.parametrize(
    "case", [*USUAL, *(pytest.param(case, marks=pytest.mark.slow) for case in (MIXED, WITH_MASKS))], ids=str
)
def test_every_task_answers_in_the_c_runtime_as_in_python(
    program: Path, text_ops: list[Path], tmp_path: Path, case: Case
) -> None:
    task = registry.find("tasks", case.kind)(**case.settings)
    for example in case.examples:
        task.observe(example)
    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", task.default_head)
    answerer = Answerer(task.model(encoder.build(), head), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), head.spec(), encoder.files())
    folder = export(answerer, tmp_path / "name", contents=contents, settings=Settings(warmup_batch_sizes=(1,)))
    examples = [task.completed(example) for example in case.examples]
    parts = {"serving_default": task, **task.tasks}
    compare(folder, program, {name: texts_of(examples, part) for name, part in parts.items()}, text_ops)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("case", ADOPTED)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_adopted_answers_in_the_c_runtime_as_in_python(
    program: Path, text_ops: list[Path], tmp_path: Path, family: str, case: str
) -> None:
    pytest.importorskip("torch", reason="makes checkpoints with PyTorch's classes")
    kind, values, _ = ADOPTED[case]
    original = torch_model(family, kind, **{"max_position_embeddings": 80, **values})
    path, saved = publish(original, tmp_path / "in"), f"output={json.dumps(str(tmp_path / 'saved'))}"
    model = adopting.adopt(str(path), saved, "export.warmup=false")
    certificate = json.loads((model.folder / "assets.extra" / certificates.FILE).read_text(encoding="utf-8"))
    assert certificate["logits"] < 1e-5 and certificate["architecture"].endswith(kind)
    requests = {}
    for name, part in {"serving_default": model.task, **model.task.tasks}.items():
        columns = {key: column[:12] for key, column in probe_texts(part).items()}
        if kind == MASKED:
            columns = {key: [f"{text} <mask>" for text in column] for key, column in columns.items()}
        requests[name] = columns
    compare(model.folder, program, requests, text_ops)


def test_the_checks_in_the_graph_reach_a_c_client(
    program: Path, text_ops: list[Path], tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model_folder, tmp_path / "1")
    done = ask(program, folder, {"serving_default": {"text": []}}, text_ops)
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
