"""The straight path on a tiny encoder: files in, a measured and saved model out, the same again from its own recipe."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfxl import run
from tfxl.backend import tf
from tfxl.encoders import INPUTS, blocks
from tfxl.errors import DataError, ModelError, RecipeError
from tfxl.evaluation.record import Evaluation
from tfxl.recipe import assemble, resolve
from tfxl.serving.model import load
from tfxl.tuners.gradual import thaw

TEXTS = {
    "negative": {"en": "bad and dirty room", "zh": "房间又脏又差", "ar": "الغرفة سيئة", "hi": "कमरा गंदा था"},
    "positive": {"en": "good and clean room", "zh": "房间又好又干净", "ar": "الغرفة جيدة", "hi": "कमरा अच्छा था"},
}
RECIPE = """
name = "tiny"
seed = 3
[data]
reader = {kind = "jsonl", domain = "domain"}
train = "DATA/{language}.jsonl"
validation = "DATA/{language}.jsonl"
test = "DATA/{language}.jsonl"
languages = ["en", "zh"]
test_languages = ["en", "zh", "ar", "hi"]
cleaners = ["unicode", "duplicates"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["negative", "positive"]
max_length = 32
[training]
epochs = 2
batch_size = 4
learning_rate = 0.01
precision = "float32"
[evaluation]
samples = 20
[export]
warmup_batch_sizes = [1]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for language in ("en", "zh", "ar", "hi"):
        rows = [
            {"text": f"{TEXTS[label][language]} {number}", "label": label, "domain": "hotel"}
            for number in range(6)
            for label in TEXTS
        ]
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{language}.jsonl").write_text(lines + "\n", encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("DATA", str(folder)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    return run.train(recipe, f'output="{tmp_path_factory.mktemp("models")}"')


def weights(model):
    return [variable.numpy() for variable in model.rebuild().model.variables]


def test_the_model_is_published_with_its_report(trained):
    assert trained.folder.name == "1"
    evaluation = Evaluation.read(trained.folder / "assets.extra" / "report.json")
    assert list(evaluation.by("language")) == ["en", "zh", "ar", "hi"]
    assert evaluation.trained_languages == ("en", "zh")
    assert evaluation.transfer_gap is not None
    training = trained.folder.parent / "training"
    assert (training / "report.html").exists()
    assert list(training.rglob("events.out.tfevents.*"))


def test_the_saved_recipe_repeats_the_run_bit_for_bit(trained, tmp_path):
    again = run.train(trained.folder / "assets.extra" / "run.toml", f'output="{tmp_path}"')
    for one, other in zip(weights(trained), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_another_seed_is_another_run(trained, recipe, tmp_path):
    other = run.train(recipe, f'output="{tmp_path}"', "seed=4", "training.epochs=1", 'data.test=""')
    assert any((one != two).any() for one, two in zip(weights(trained), weights(other), strict=True))


def test_evaluate_scores_the_saved_model_as_training_did(trained):
    again = run.evaluate(trained.folder)
    first = Evaluation.read(trained.folder / "assets.extra" / "report.json")
    assert [str(score) for score in again.scores] == [str(score) for score in first.scores]
    assert (trained.folder.parent / "training" / "evaluation-1" / "report.html").exists()


def test_compare_takes_models_and_reports(trained):
    comparison = run.compare(trained.folder, trained.folder.parent / "training" / "report.json")
    assert comparison.overall.value == 0


def test_export_again_for_tokens_only(trained, tmp_path):
    folder = run.export(trained.folder, "export.tokens_only=true", f'output="{tmp_path}"')
    texts = ["good and clean room", "房间又脏又差"]
    again = load(folder)
    assert set(again.signatures) == {"serving_default", "tokens"}
    assert "input_ids" in again.manifest.signatures["serving_default"]["inputs"]
    for one, other in zip(trained.predict(texts), again.predict(texts), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_training_goes_on_from_a_saved_model(trained, recipe, tmp_path):
    model = run.train(
        recipe,
        "encoder.kind=bert",
        f'encoder.weights="{trained.folder}"',
        f'output="{tmp_path}"',
        "training.epochs=1",
    )
    assert model.predict(["good and clean room"])[0].label in model.labels


@pytest.mark.slow
def test_training_goes_on_from_a_saved_model_and_its_head(trained, recipe, tmp_path):
    before = shutil.copytree(trained.folder, tmp_path / "before" / "1")
    start = [f'start="{before}"', f'output="{tmp_path}"', "export.warmup=false", "evaluation.before=false"]
    texts = ["good and clean room", "房间又脏又差", ""]
    same = run.train(recipe, *start, "training.epochs=0")
    assert [each.scores for each in same.predict(texts)] == [each.scores for each in trained.predict(texts)]
    assert same.manifest.head == trained.manifest.head
    further = run.train(recipe, *start, "training.epochs=1")
    assert [each.scores for each in further.predict(texts)] != [each.scores for each in trained.predict(texts)]
    shutil.rmtree(before)
    assert run.evaluate(further.folder).by("language"), "the model that it started from is not needed any more"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('task.labels=["positive", "negative"]', "labels"),
        ('task.kind="multilabel"', "multilabel"),
        ('head={pooling="max"}', "head"),
        ('start="nowhere"', "nowhere"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(trained, recipe, tmp_path, override, message):
    with pytest.raises((RecipeError, ModelError), match=message):
        run.train(recipe, f'start="{trained.folder}"', f'output="{tmp_path}/out"', override)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("task.labels=['negative', 'neutral']", DataError),
        ("data.languages=['en', 'fr']", DataError),
        ("training.epoch=3", RecipeError),
        ("tuner.kind=lorra", RecipeError),
        ("output='FILE/models'", ModelError),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(recipe, tmp_path, override, error):
    (tmp_path / "file").touch()
    output = f'output="{tmp_path / "models"}"'
    with pytest.raises(error):
        run.train(recipe, output, override.replace("FILE", str(tmp_path / "file")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_defaults_are_written_out(recipe):
    resolved = resolve(recipe).as_toml()
    assert resolved["training"]["weight_decay"] == 0.01
    assert resolved["tuner"] == {"kind": "full"}


def write_rows(path: Path, rows) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


ONLY_TRAINING = ('data.validation=""', 'data.test=""', "data.languages=['en']", "data.test_languages=[]")


def mixed_rows():
    """Two languages of the recipe, one that it does not name, and a label that it does not know."""
    rows = [
        {"text": f"{TEXTS[label][language]} {number}", "label": label, "lang": language}
        for number in range(3)
        for label in TEXTS
        for language in ("en", "zh")
    ]
    return [*rows, {"text": "mauvais", "label": "negative", "lang": "fr"}, {"text": "x", "label": "?", "lang": "en"}]


def test_rows_that_cannot_be_used_are_counted_and_told(recipe, tmp_path):
    path = write_rows(tmp_path / "mixed.jsonl", mixed_rows())
    said = Said()
    model = run.train(
        recipe,
        f'data.train="{path}"',
        'data.reader={kind="jsonl", language="lang", on_error="skip"}',
        'data.cleaners=["unicode", "html"]',
        'data.validation=""',
        'data.test=""',
        f'output="{tmp_path / "models"}"',
        "training.epochs=1",
        progress=said,
    )
    report = json.loads((model.folder / "assets.extra" / "data.json").read_text(encoding="utf-8"))["train"]
    assert report["rows"] == {"en": 6, "zh": 6}
    assert report["other_languages"] == {"fr": 1}
    assert [(row["line"], row["reason"]) for row in report["skipped"]] == [(14, f"{path}:14: label '?'")]
    assert any("1 rows skipped, 12 used" in line for line in said.lines)
    assert any("fr 1" in line for line in said.lines)
    assert {each["cleaner"] for each in report["cleaning"]} == {"unicode", "html"}


class Said(run.Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_wrong_label_is_named_by_file_and_line_also_where_rows_have_names(recipe, tmp_path):
    path = write_rows(tmp_path / "named.jsonl", [{"text": "x", "label": "?", "id": "first"}])
    with pytest.raises(DataError, match=r"named\.jsonl:1: label '\?'"):
        run.train(recipe, f'data.train="{path}"', "data.reader={kind='jsonl', id='id'}", *ONLY_TRAINING)


def test_one_file_for_several_languages_has_to_name_them(recipe, tmp_path):
    path = write_rows(tmp_path / "mixed.jsonl", mixed_rows())
    with pytest.raises(RecipeError, match="no column that names them"):
        run.train(recipe, f'data.train="{path}"')


def test_what_was_trained_on_does_not_change_with_other_test_data(trained):
    evaluation = run.evaluate(trained.folder, "data.languages=['ar', 'en']", "data.test_languages=[]")
    assert list(evaluation.by("language")) == ["ar", "en"]
    assert [evaluation.is_trained(code) for code in ("ar", "en")] == [False, True]


def test_what_would_need_training_is_refused_for_a_saved_model(trained):
    for verb in (run.evaluate, run.export):
        with pytest.raises(RecipeError, match="a model that is trained"):
            verb(trained.folder, "task.max_length=16")


def test_a_copied_model_is_exported_beside_itself(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "copy" / "1")
    assert run.export(tmp_path / "copy", "export.warmup=false") == tmp_path / "copy" / "2"


def test_tensorboard_gets_the_scores_of_every_language_and_the_recipe(trained):
    folder = next((trained.folder.parent / "training" / "logs").iterdir())
    tags = EventAccumulator(str(folder / "test")).Reload().Tags()["tensors"]
    assert {f"test/accuracy/language/{language}" for language in ("en", "zh", "ar", "hi")} <= set(tags)


def test_weights_are_copied_by_place_where_a_tuner_froze_other_layers(recipe):
    """`get_weights` lists what trains first, so its order differs between the two."""
    parts = assemble(resolve(recipe, "tuner.kind=gradual"))
    model, copy = run.build_model(parts), run.build_model(parts)
    thaw(blocks(model), layers=1)
    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    inputs = {name: np.ones([2, 5], np.int32) for name in INPUTS}
    expected = model(inputs).numpy()
    assert (copy(inputs).numpy() != expected).any()
    run.copy_weights(model, copy)
    np.testing.assert_array_equal(copy(inputs).numpy(), expected)
    thaw(blocks(copy), layers=1)
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


MIRRORED = """
import sys
from tfxl.backend import tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.distribute.MirroredStrategy = lambda make=tf.distribute.MirroredStrategy: make(["CPU:0", "CPU:1"])

from tfxl import run
from tfxl.backend import tf

run.train(*sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("cluster", "task", "folder"),
    [
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0), ""),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 0), "worker-1"),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 1), "worker-2"),
        ({"worker": ["b:1", "c:1"]}, ("worker", 0), ""),
        ({"worker": ["b:1", "c:1"]}, ("worker", 1), "worker-1"),
    ],
)
def test_one_host_publishes(recipe, cluster, task, folder):
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type=task[0], task_id=task[1]
    )
    placed = run.placed(resolve(recipe), SimpleNamespace(cluster_resolver=resolver))
    assert Path(placed.output).name == (folder or Path(resolve(recipe).output).name)


@pytest.mark.slow
def test_two_devices_train_what_one_does(recipe, tmp_path):
    overrides = [
        "training.epochs=3",
        "training.optimizer=sgd",
        "training.batch_size=5",  # which two devices cannot share evenly
        "tuner.kind=gradual",
        "tuner.layers_per_epoch=1",
        'head={kind="pooled", dropout=0.0}',  # each device draws its own
        "evaluation.before=false",
    ]
    one = run.train(recipe, *overrides, f'output="{tmp_path / "one"}"')
    command = [sys.executable, "-c", MIRRORED, str(recipe), *overrides]
    command += ["training.strategy=mirrored", f'output="{tmp_path / "two"}"']
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    two = load(tmp_path / "two" / "tiny")
    for expected, found in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_early_stopping_without_validation_is_refused_before_anything_is_read(recipe, tmp_path):
    with pytest.raises(RecipeError, match="without validation data"):
        run.train(recipe, f'output="{tmp_path}"', 'data.validation=""', "training.early_stopping=worst")
    assert not list(tmp_path.iterdir())
