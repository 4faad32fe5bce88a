"""The transfer matrix and the consistency of a model over languages, on a tiny encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfxl import crosslingual, registry, run
from tfxl.data import DataReport, read
from tfxl.errors import DataError, ModelError, RecipeError
from tfxl.evaluation.transfer import Transfer
from tfxl.progress import SILENT
from tfxl.recipe import assemble, resolve

TEXTS = {
    "negative": {"en": "bad and dirty room", "zh": "房间又脏又差", "ar": "الغرفة سيئة"},
    "positive": {"en": "good and clean room", "zh": "房间又好又干净", "ar": "الغرفة جيدة"},
}
RECIPE = """
name = "tiny"
[data]
reader = {kind = "jsonl", id = "id"}
train = "DATA/{language}.jsonl"
test = "DATA/{language}.jsonl"
languages = ["en", "zh"]
test_languages = ["en", "zh", "ar"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["negative", "positive"]
max_length = 32
[training]
epochs = 1
batch_size = 4
learning_rate = 0.01
precision = "float32"
[evaluation]
samples = 10
[export]
warmup = false
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for language in ("en", "zh", "ar"):
        rows = [
            {"text": f"{TEXTS[label][language]} {number}", "label": label, "id": f"{label}-{number}"}
            for number in range(5)
            for label in TEXTS
        ]
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{language}.jsonl").write_text(lines + "\n", encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("DATA", str(folder)), encoding="utf-8")
    return path


def test_matrix_trains_each_language_a_few_examples_and_all(recipe, tmp_path):
    found = crosslingual.matrix(recipe, f'output="{tmp_path}"', shots=[2])
    assert [(setting.kind, setting.name) for setting in found.scores] == [
        ("zero-shot", "en"),
        ("zero-shot", "zh"),
        ("few-shot", "en + 2 each"),
        ("joint", "en + zh"),
    ]
    assert found.tested == ("en", "zh", "ar")
    assert all(score.rows == 10 for scores in found.scores.values() for score in scores)
    folder = tmp_path / "tiny" / "training"
    assert Transfer.read(folder / "matrix.json").as_json() == found.as_json()
    assert "transfer" in (folder / "matrix.html").read_text(encoding="utf-8")
    assert not (tmp_path / "tiny" / "1").exists()


def test_few_shot_rows_are_drawn_by_the_seed(recipe):
    told = ("data.few_shot=2", 'data.few_shot_languages=["ar"]', 'data.languages=["en"]')

    def drawn(seed):
        resolved = resolve(recipe, *told, f"seed={seed}")
        rows = list(read(resolved, assemble(resolved), "train", report=DataReport(), progress=SILENT))
        assert [row.language for row in rows].count("en") == 10
        return [row.id for row in rows if row.language == "ar"]

    assert len(drawn(1)) == 2
    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1


def test_a_matrix_without_files_for_few_shots_is_refused_before_anything_is_trained(recipe, tmp_path):
    told = [f'output="{tmp_path}"', 'data.test_languages=["en", "hi"]', f'data.test="{recipe.parent}/en.jsonl"']
    with pytest.raises((DataError, RecipeError)):
        crosslingual.matrix(recipe, *told, shots=[2])
    assert not list(tmp_path.iterdir())


def test_consistency_needs_no_labels(recipe, tmp_path):
    model = run.train(recipe, f'output="{tmp_path}"')
    reader = 'data.reader={kind="jsonl", id="id", label=""}'
    found = crosslingual.consistency(model.folder, reader)
    assert found.languages == ("en", "zh", "ar")
    assert set(found.pairs) == {("en", "zh"), ("en", "ar"), ("zh", "ar")}
    assert all(score.rows == 10 for score in found.pairs.values())
    written = tmp_path / "tiny" / "training" / "evaluation-1"
    assert json.loads((written / "consistency.json").read_text(encoding="utf-8")) == found.as_json()
    assert (written / "consistency.html").exists()


@pytest.mark.parametrize("kind", ["question_answering", "retrieval", "regression"])
def test_answers_that_depend_on_the_language_are_not_compared(kind):
    with pytest.raises(ModelError, match=kind):
        crosslingual._check_gives_labels(registry.build("tasks", kind))
