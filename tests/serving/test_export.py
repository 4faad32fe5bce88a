from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import tf
from tfxl.errors import ModelError
from tfxl.progress import Progress
from tfxl.serving import export as exporting
from tfxl.serving import manifest, publish
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, Settings, export
from tfxl.serving.model import load
from tfxl.text.parity import Kind, Parity
from tfxl.text.tokenizer import Tokenizer, from_files

EXPORT_ANOTHER = """
    import sys
    from tfxl import registry
    from tfxl.serving import export as exporting
    from tfxl.serving.answer import Answerer
    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", "pooled")
    task = registry.build("tasks", "classification", labels=["a", "b"])
    answerer = Answerer(task.model(encoder.build(), head), task, encoder.tokenizer())
    contents = exporting.Contents(encoder.spec(), head.spec(), encoder.files())
    print("ready", flush=True)
    {wait}
    print(exporting.export(answerer, sys.argv[1], contents=contents), flush=True)
"""


def start(directory: Path, wait: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(EXPORT_ANOTHER).format(wait=wait)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program, str(directory)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_folder_is_what_a_server_reads(tiny_model_folder: Path) -> None:
    found = {path.relative_to(tiny_model_folder).as_posix() for path in tiny_model_folder.rglob("*") if path.is_file()}
    assert tiny_model_folder.name == "1"
    assert {"saved_model.pb", "fingerprint.pb", "variables/variables.index"} <= found
    extra = {name.removeprefix("assets.extra/") for name in found if name.startswith("assets.extra/")}
    names = ("manifest.json", "run.toml", "report.json", "parity.json", "tf_serving_warmup_requests")
    assert extra >= {*names, "encoder/config.json"}
    assert tomllib.loads((tiny_model_folder / "assets.extra" / "run.toml").read_text()) == {"name": "tiny"}


def test_the_manifest_tells_what_the_model_is_made_of(tiny_model_folder: Path, tiny_answerer: Answerer) -> None:
    found = manifest.verify(tiny_model_folder)
    assert found.name == "tiny"
    assert found.task["kind"] == "classification"
    assert found.head["kind"] == "pooled"
    assert found.encoder["kind"] == "tiny"
    assert [variable.name for variable in found.variables][-2:] == ["head/logits/kernel", "head/logits/bias"]
    assert {variable.dtype for variable in found.variables} == {"float32"}
    assert found.signatures["tokens"]["inputs"]["input_ids"] == {"dtype": "int32", "shape": (-1, -1)}
    assert found.signatures["serving_default"]["outputs"]["scores"] == {"dtype": "float32", "shape": (-1, 3)}
    assert found.signatures["classify"]["outputs"].keys() == {"classes", "scores"}


def test_the_checkpoint_holds_the_variables_in_the_manifests_order(
    tiny_model_folder: Path, tiny_answerer: Answerer
) -> None:
    reader = tf.train.load_checkpoint(str(tiny_model_folder / "variables" / "variables"))
    for place, variable in enumerate(tiny_answerer.model_variables):
        stored = reader.get_tensor(f"model_variables/{place}/.ATTRIBUTES/VARIABLE_VALUE")
        assert np.array_equal(stored, variable.numpy())
    assert sum("model_variables" in key for key in reader.get_variable_to_shape_map()) == len(
        tiny_answerer.model_variables
    )


def test_parity_is_written_beside(tiny_model_folder: Path) -> None:
    found = json.loads((tiny_model_folder / "assets.extra" / "parity.json").read_text(encoding="utf-8"))
    assert found["text_against_tokens"] == {"largest": 0.0, "other_answers": 0}
    assert found["saved_model_against_keras"]["largest"] <= 1e-6
    assert found["batch_against_single"]["largest"] <= 1e-6
    assert found["tokenizer"]["texts"] >= 1000


def test_the_graph_runs_where_tfxl_is_not(tiny_model_folder: Path, tiny_answerer: Answerer) -> None:
    program = """
        import json, sys
        import tensorflow as tf, tensorflow_text
        saved = tf.saved_model.load(sys.argv[1])
        answer = saved.signatures["serving_default"](text=tf.constant(["这家酒店很吵", "שלום", "👍🏽"]))
        assert not [name for name in sys.modules if name.split(".")[0] in ("tfxl", "transformers")]
        print(json.dumps(answer["scores"].numpy().tolist()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tiny_model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    there = np.array(json.loads(done.stdout.splitlines()[-1]))
    here = tiny_answerer.text(text=["这家酒店很吵", "שלום", "👍🏽"])["scores"].numpy()
    assert np.max(np.abs(here - there)) <= 1e-6


def test_two_exports_at_once_get_two_versions(tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents) -> None:
    other = start(tmp_path / "name", "sys.stdin.readline()")
    assert other.stdin is not None
    assert other.stdout is not None
    print("go", file=other.stdin, flush=True)
    mine = export(tiny_answerer, tmp_path / "name", contents=tiny_contents)
    theirs = Path(other.stdout.readline().strip())
    assert other.wait() == 0
    assert {mine.name, theirs.name} == {"1", "2"}
    assert len(manifest.verify(mine).task["labels"]) == 3
    assert len(manifest.verify(theirs).task["labels"]) == 2


def test_a_killed_export_publishes_nothing(tmp_path: Path) -> None:
    """Killed at the last moment: everything but the manifest is written."""
    process = start(tmp_path, "import os; exporting.manifest.write = lambda *a, **k: os.kill(os.getpid(), 9)")
    assert process.wait() == -signal.SIGKILL
    assert publish.versions(tmp_path) == []


def test_a_failed_check_publishes_nothing(
    tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: str, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"label": tf.fill([len(text)], "negative"), "scores": tf.zeros([len(text), 3])}

    monkeypatch.setattr(tiny_answerer, "layer_by_layer", wrong)
    with pytest.raises(ModelError, match="saved model against keras: scores differ by 0"):
        export(tiny_answerer, tmp_path, contents=tiny_contents)
    assert list(tmp_path.iterdir()) == []


def test_released_variables_are_gone_and_the_version_is_whole(
    tmp_path: Path, tiny_model_folder: Path, tiny_contents: Contents
) -> None:
    loaded = load(tiny_model_folder)
    answerer = Answerer(*loaded.rebuild())
    folder = export(answerer, tmp_path / "name", contents=tiny_contents, release=True)
    assert load(folder).predict(["这家酒店很吵"]) == loaded.predict(["这家酒店很吵"])
    assert loaded.rebuild().model.count_params() == sum(np.prod(each.shape) for each in answerer.model_variables)
    assert not any(each.numpy().size for each in answerer.model_variables)


def test_no_place_to_write_is_said_before_the_work(
    tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting.tf.saved_model, "save", lambda *args, **options: pytest.fail("the work began"))
    (tmp_path / "name").write_text("a file")
    with pytest.raises(ModelError, match="cannot be written"):
        export(tiny_answerer, tmp_path / "name", contents=tiny_contents)


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "sentencepiece":
        return registry.build("encoders", "tiny").tokenizer()
    files = registry.build("encoders", {"kind": "tiny", "vocabulary": "wordpiece"}).files()
    config = json.loads(files["tokenizer_config.json"]) | {"do_lower_case": kind == "lower"}
    return from_files({**files, "tokenizer_config.json": json.dumps(config).encode()})


def differing(count: int) -> Parity:
    return Parity(2000, count, 0, {"U+09FD": Kind(count, (("x", ("x",), ("##x",)),))} if count else {})


@pytest.mark.parametrize(("kind", "count"), [("sentencepiece", 1), ("cased", 21)])
def test_a_tokenizer_that_differs_from_its_library_is_refused(
    kind: str, count: int, tmp_path: Path, tiny_contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting.text_parity, "compare", lambda *_: differing(count))
    monkeypatch.setattr(exporting.tf.saved_model, "save", lambda *_, **__: pytest.fail("the work began"))
    task = registry.build("tasks", "classification", labels=["a", "b"])
    answerer = Answerer(task.model(registry.build("encoders", "tiny").build()), task, tokenizer_of(kind))
    with pytest.raises(ModelError) as caught:
        export(answerer, tmp_path, contents=tiny_contents)
    assert f"{count} of 2000 generated texts" in caught.value.got and f"U+09FD ({count})" in caught.value.got
    assert caught.value.expected.startswith(
        "no difference" if kind == "sentencepiece" else "a difference on at most 1%"
    )
    assert "weights" in caught.value.fix and list(tmp_path.iterdir()) == []


def test_a_cased_wordpiece_may_differ_a_little_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    encoder = registry.build("encoders", {"kind": "tiny", "vocabulary": "wordpiece"})
    task, told = registry.build("tasks", "classification", labels=["a", "b"]), Told()
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), registry.build("heads", "pooled").spec(), encoder.files())
    monkeypatch.setattr(exporting.text_parity, "compare", lambda *_: differing(20))
    folder = export(answerer, tmp_path, contents=contents, settings=Settings(warmup=False), progress=told)
    assert any("(1.00%) otherwise than its library: U+09FD (20)" in line for line in told.lines)
    found = json.loads((folder / "assets.extra" / "parity.json").read_text(encoding="utf-8"))["tokenizer"]
    assert found["kinds"]["U+09FD"]["texts"] == 20 and not [one for one in recwarn if one.category is UserWarning]


@pytest.mark.parametrize("count", [0, 100])
def test_a_lower_casing_wordpiece_warns_with_the_rate(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(exporting.text_parity, "compare", lambda *_: differing(count))
    with pytest.warns(UserWarning, match=rf"lower-cases is not exact.*{count} of 2000.*\({count / 20:.2f}%\)"):
        exporting.check_tokenizer(tokenizer_of("lower"), told)
    assert len(told.lines) == 1 and "lower-cases" in told.lines[0]


def test_what_ships_passes_the_comparison() -> None:
    for kind, most in (("sentencepiece", 0.0), ("cased", 0.01)):
        assert exporting.check_tokenizer(tokenizer_of(kind), Told()).rate <= most


def test_many_kinds_are_shortened() -> None:
    kinds = {f"kind {number}": Kind(1, ()) for number in range(7)}
    assert exporting._kinds(Parity(9, 7, 0, kinds)).endswith("kind 4 (1); 2 more kinds")


def test_a_name_outside_the_folder_is_refused(tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents) -> None:
    with pytest.raises(ModelError, match=r"'\.\./report\.json'"):
        export(tiny_answerer, tmp_path, contents=dataclasses.replace(tiny_contents, files={"../report.json": b""}))


def test_tokens_alone_are_compared_with_tokens(tmp_path: Path) -> None:
    encoder = registry.build("encoders", "tiny")
    task = registry.build("tasks", "question_answering", max_length=32, stride=8)
    model = task.model(encoder.build())
    contents = Contents(encoder.spec(), registry.build("heads", task.default_head).spec(), encoder.files())
    settings = Settings(tokens_only=True, warmup=False)
    folder = export(Answerer(model, task, encoder.tokenizer()), tmp_path, contents=contents, settings=settings)
    found = json.loads((folder / "assets.extra" / "parity.json").read_text(encoding="utf-8"))
    assert found["saved_model_against_keras"]["largest"] < 1e-6


def test_tokens_alone_need_no_text_ops(tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents) -> None:
    settings = Settings(tokens_only=True, warmup=False)
    folder = export(tiny_answerer, tmp_path, contents=tiny_contents, settings=settings)
    assert not (folder / "assets.extra" / "tf_serving_warmup_requests").exists()
    program = """
        import sys
        import tensorflow as tf
        saved = tf.saved_model.load(sys.argv[1])
        one = tf.constant([[1, 2, 3]])
        print(saved.signatures["serving_default"](input_ids=one, token_type_ids=0 * one, attention_mask=one // one))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(folder)], check=True, capture_output=True)


def test_a_process_that_trains_in_bfloat16_exports_float32(
    tmp_path: Path, tiny_answerer: Answerer, tiny_contents: Contents
) -> None:
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    try:
        folder = export(tiny_answerer, tmp_path, contents=tiny_contents)
        assert tf.config.optimizer.get_experimental_options()["auto_mixed_precision_onednn_bfloat16"]
    finally:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False, **before})
    found = json.loads((folder / "assets.extra" / "parity.json").read_text(encoding="utf-8"))
    assert found["saved_model_against_keras"]["largest"] <= 1e-6


def test_variables_of_sixteen_bits_are_refused(tmp_path: Path, tiny_contents: Contents) -> None:
    from tfxl.backend import keras

    class Half:
        model_variables = (tf.Variable(tf.zeros([2], tf.bfloat16), name="half"),)

    assert keras.backend.floatx() == "float32"
    with pytest.raises(ModelError, match="1 variables that are not float32, such as half:0"):
        export(Half(), tmp_path, contents=tiny_contents)  # type: ignore[arg-type]
