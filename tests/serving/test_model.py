from __future__ import annotations

import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import keras
from tfxl.errors import ModelError
from tfxl.serving import manifest, model
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.export import Contents, Settings, export
from tfxl.serving.model import Model, load


@pytest.fixture(scope="module")
def loaded(tiny_model_folder: Path) -> Model:
    return load(tiny_model_folder)


def test_it_knows_what_it_is(loaded: Model, tiny_model_folder: Path) -> None:
    assert (loaded.name, loaded.version) == ("tiny", 1)
    assert loaded.labels == ("negative", "neutral", "positive")
    assert loaded.recipe == {"name": "tiny"}
    assert repr(loaded) == f"Model('{tiny_model_folder}', task='classification')"


def test_it_answers_as_the_keras_model(loaded: Model, tiny_answerer: Answerer, multilingual_texts: list[str]) -> None:
    found = loaded.predict(multilingual_texts, batch_size=4)
    scores = np.array([[prediction.scores[label] for label in loaded.labels] for prediction in found])
    eager = tiny_answerer.layer_by_layer(text=multilingual_texts)
    assert np.max(np.abs(scores - eager["scores"])) <= 1e-6
    assert [prediction.label.encode() for prediction in found] == eager["label"].numpy().tolist()


def test_long_right_to_left_and_emoji(loaded: Model) -> None:
    long, arabic, emoji = loaded.predict(["слово " * 5000, "\u202eالغرفة نظيفة\u202c 123", "👩‍👩‍👧🇩🇪" * 20])
    assert long.truncated
    assert not arabic.truncated
    for prediction in (long, arabic, emoji):
        assert sum(prediction.scores.values()) == pytest.approx(1)


def test_no_texts_no_answers(loaded: Model) -> None:
    assert loaded.predict([]) == []


def test_second_texts_for_a_model_of_single_texts_are_refused(loaded: Model) -> None:
    with pytest.raises(ModelError, match="text and second_text for tiny"):
        loaded.predict(["a"], ["b"])


def test_a_single_string_is_refused(loaded: Model) -> None:
    with pytest.raises(ModelError, match="text = 'ab'"):
        loaded.predict("ab")


def test_the_rebuilt_model_has_the_same_weights_and_answers(loaded: Model, tiny_answerer: Answerer) -> None:
    rebuilt = loaded.rebuild()
    for ours, theirs in zip(rebuilt.model.variables, tiny_answerer.model_variables, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    assert rebuilt.tokenizer.vocabulary() == tiny_answerer.parts.tokenizer.vocabulary()
    scores = Answerer(*rebuilt).text(text=["这家酒店很吵"])["scores"]
    assert np.max(np.abs(scores - tiny_answerer.text(text=["这家酒店很吵"])["scores"])) <= 1e-6


def test_frozen_layers_are_rebuilt_too(tmp_path: Path) -> None:
    """Freezing changes the order of a Keras model's variables."""
    encoder, head = registry.build("encoders", "tiny"), registry.build("heads", {"kind": "pooled", "transform": "tanh"})
    task = registry.build("tasks", "classification", labels=["a", "b"])
    keras_model = task.model(encoder.build(), head)
    main = next(layer for layer in keras_model._flatten_layers() if hasattr(layer, "encoder"))
    main.embeddings.trainable = False
    answerer = Answerer(keras_model, task, encoder.tokenizer())
    assert "embeddings" not in answerer.model_variables[0].name
    folder = export(answerer, tmp_path, contents=Contents(encoder.spec(), head.spec(), encoder.files()))
    rebuilt = {variable.name: variable.numpy() for variable in load(folder).rebuild().model.variables}
    for variable in answerer.model_variables:
        assert np.array_equal(rebuilt[variable.name], variable.numpy())


def test_a_head_that_does_not_fit_is_refused(loaded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    other = loaded.manifest.model_copy(update={"head": {"kind": "pooled", "transform": "tanh"}})
    monkeypatch.setattr(loaded, "manifest", other)
    with pytest.raises(ModelError, match="nothing was saved for head/"):
        loaded.rebuild()


def test_contents_lead_to_the_same_export_again(loaded: Model, tiny_contents: Contents, tmp_path: Path) -> None:
    contents = loaded.contents()
    assert contents.encoder_files == tiny_contents.encoder_files
    assert contents.files == tiny_contents.files
    again = load(export(Answerer(*loaded.rebuild()), tmp_path / "again", contents=contents))
    assert again.manifest.head == loaded.manifest.head
    assert again.recipe == loaded.recipe
    assert again.predict(["كيف"])[0].scores == pytest.approx(loaded.predict(["كيف"])[0].scores, abs=1e-6)


def test_a_model_of_tokens_answers_texts_too(
    loaded: Model, tiny_answerer: Answerer, tiny_contents: Contents, tmp_path: Path
) -> None:
    folder = export(tiny_answerer, tmp_path, contents=tiny_contents, settings=Settings(tokens_only=True, warmup=False))
    texts = ["Das Zimmer war groß.", "слово " * 500]
    found, expected = load(folder).predict(texts), loaded.predict(texts)
    assert [prediction.truncated for prediction in found] == [False, True]
    for one, other in zip(found, expected, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_a_model_of_tokens_answers_the_first_window_of_each_text(tmp_path: Path, tiny_contents: Contents) -> None:
    task = registry.build("tasks", "classification", labels=["a", "b", "c"], max_length=16, stride=4)
    encoder = registry.build("encoders", "tiny")
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    folder = export(answerer, tmp_path, contents=tiny_contents, settings=Settings(tokens_only=True, warmup=False))
    found = load(folder).predict(["слово " * 50, "Das Zimmer", "gut"])
    assert [prediction.truncated for prediction in found] == [True, False, False]
    for one, text in zip(found[1:], ["Das Zimmer", "gut"], strict=True):
        assert list(one.scores.values()) == pytest.approx(answerer.text(text=[text])["scores"][0].numpy(), abs=1e-6)


def test_a_model_of_tokens_answers_with_places_in_texts(tmp_path: Path) -> None:
    """They cannot be told from tokens, so the network is rebuilt, and reads all windows."""
    keras.utils.set_random_seed(0)  # of all weights, some find no spans at all
    told = {"max_length": 16, "stride": 4}
    tags = {"kind": "token_classification", "labels": ["O", "B-X", "I-X", "B-Y", "I-Y"], **told}
    mood = {"kind": "classification", "labels": ["negative", "positive"], **told}
    encoder = registry.build("encoders", "tiny")
    task = registry.build("tasks", "joint", tasks={"mood": mood, "tags": tags}, **told)
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), registry.build("heads", "pooled").spec(), encoder.files())
    folder = export(answerer, tmp_path, contents=contents, settings=Settings(tokens_only=True, warmup=False))
    texts = {"text": ["这家酒店很吵", "الغرفة نظيفة " * 9, "x"]}
    found, expected = load(folder).predict(texts["text"]), predict(answerer.text, task, texts)
    assert any(len(each.tasks["tags"].spans) > 1 for each in expected)
    for one, other in zip(found, expected, strict=True):
        assert [span.text for span in one.tasks["tags"].spans] == [span.text for span in other.tasks["tags"].spans]
        assert one.tasks["mood"].scores == pytest.approx(other.tasks["mood"].scores, abs=1e-5)


@pytest.mark.slow
def test_one_task_of_several_is_asked_alone(tmp_path: Path) -> None:
    alone = {"kind": "classification", "labels": ["negative", "positive"]}
    tasks = {"mood": alone, "fits": {**alone, "second_text": True}, "find": {"kind": "retrieval"}}
    encoder, task = registry.build("encoders", "tiny"), registry.build("tasks", "joint", tasks=tasks, max_length=24)
    answerer = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
    contents = Contents(encoder.spec(), {}, encoder.files())
    found = load(export(answerer, tmp_path / "several", contents=contents, settings=Settings(warmup=False)))
    texts = ["这家酒店很吵", "الغرفة نظيفة"]
    (together, *_), (mood, *_) = found.predict(texts, texts[::-1]), found.predict(texts, task="mood")
    assert together.tasks["mood"].scores == pytest.approx(mood.scores, abs=1e-5)
    with pytest.raises(ModelError, match="text and second_text"):
        found.predict(texts, task="fits")
    for wrong in ("moo", "find_second_text", "serving_default"):
        with pytest.raises(ModelError) as error:
            found.predict(texts, task=wrong)
        assert error.value.expected == "one of mood, fits, find"


def test_a_model_of_one_task_has_no_others(loaded: Model) -> None:
    with pytest.raises(ModelError, match="task 'mood'"):
        loaded.predict(["gut"], task="mood")


def test_the_latest_version_is_found_by_number(tmp_path: Path) -> None:
    for name in ("2", "10", "training", ".unfinished-x"):
        (tmp_path / name).mkdir()
    assert model.find(tmp_path) == tmp_path / "10"
    assert model.find(tmp_path / "2") == tmp_path / "2"


@pytest.mark.parametrize("name", ["absent", "a_file", "empty", "foreign"])
def test_what_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign" / "1").mkdir(parents=True)
    (tmp_path / "foreign" / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is not there|is a file|has no assets\.extra/manifest\.json"):
        load(tmp_path / name)


def test_a_flipped_bit_in_any_file_is_found(tiny_model_folder: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    copy = shutil.copytree(tiny_model_folder, tmp_path / "1")
    paths = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(paths) >= 10
    for path in paths:
        before = path.read_bytes()
        changed = bytearray(before)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ModelError, match="is damaged"):
            load(copy)
        path.write_bytes(before)
    assert manifest.verify(copy).name == "tiny"


def test_a_lost_file_is_found(tiny_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model_folder, tmp_path / "1")
    (copy / "variables" / "variables.index").unlink()
    with pytest.raises(ModelError, match=r"missing: variables/variables\.index"):
        load(copy)


def test_answering_needs_no_transformers(tiny_model_folder: Path) -> None:
    program = """
        import sys, tfxl
        print(tfxl.load(sys.argv[1]).predict(["a"])[0].label)
        assert "transformers" not in sys.modules
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tiny_model_folder.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() in (
        "negative",
        "neutral",
        "positive",
    )
