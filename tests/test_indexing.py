"""A retrieval model without training, its index inside and beside it, and searches in both."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tfxl import indexing, run
from tfxl.cli import main
from tfxl.errors import DataError, InstallationError, ModelError, RecipeError
from tfxl.evaluation.record import Evaluation
from tfxl.serving import neighbours, warmup
from tfxl.serving.model import load

RECIPE = """
name = "tiny"
[data]
reader = {kind = "csv", text = "text", second_text = "other", label = ""}
test = "DATA/{language}.csv"
languages = ["de", "zh"]
[encoder]
kind = "tiny"
[task]
kind = "retrieval"
max_length = 32
second_prefix = "passage: "
matches = 3
[training]
epochs = 0
[evaluation]
samples = 20
[export]
warmup_batch_sizes = [1]
"""
ROWS = {
    "de": [("das Zimmer war gut", "das Zimmer war gut"), ("schlecht", "bad"), ("👍", "great")],
    "zh": [("房间很干净", "the room was clean"), ("很吵", "很吵")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for language, rows in ROWS.items():
        lines = [f"{text},{other}\n" for text, other in [("text", "other"), *rows]]
        (folder / f"{language}.csv").write_text("".join(lines), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE.replace("DATA", str(folder)), encoding="utf-8")
    rows = [{"answer": f"{word} {number}", "name": f"n{number}"} for number in range(20) for word in ("Zimmer", "吵")]
    lines = [json.dumps(row, ensure_ascii=False) for row in [*rows, rows[0]]]
    (folder / "answers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    return run.train(folder / "recipe.toml", f'output="{tmp_path_factory.mktemp("models")}"')


@pytest.fixture(scope="module")
def indexed(model, folder):
    """The second version, with an exact index."""
    return load(indexing.index(model.folder, folder / "answers.jsonl", "text=answer", "id=name"))


@pytest.fixture(scope="module")
def beside(model, folder):
    """An approximate index of the first version."""
    return indexing.index(model.folder, folder / "answers.jsonl", "text=answer", "id=name", "kind=approximate")


def test_nothing_is_trained_and_all_is_measured(model, folder):
    report = Evaluation.read(model.folder / "assets.extra" / "report.json")
    assert report.trained_languages == ()
    assert {score.rows for score in report.by("language").values()} == {3, 2}
    assert run.evaluate(model.folder).by("language")["de"].value == report.by("language")["de"].value
    assert model.manifest.signatures.keys() == {"serving_default", "second_text", "tokens"}
    signatures = {record.predict_log.request.model_spec.signature_name for record in warmed(model)}
    assert signatures == {"serving_default", "second_text", "tokens"}


def warmed(model):
    return list(warmup.read(model.folder / "assets.extra" / warmup.FILE))


def test_training_needs_data(folder):
    with pytest.raises(RecipeError, match=r"data\.train is not set"):
        run.train(folder / "recipe.toml", "training.epochs=1")


def test_an_exact_index_answers_inside_the_model(model, indexed):
    assert indexed.version == model.version + 1
    (prediction,) = indexed.predict(["das Zimmer war laut"])
    assert [len(prediction.matches), len({match.text for match in prediction.matches})] == [3, 3]
    vectors = {
        text: np.array(model.function("second_text")(second_text=[text])["embedding"][0])
        for text in {match.text for match in prediction.matches}
    }
    for match in prediction.matches:
        assert match.id == f"n{match.text.split()[-1]}"
        assert match.score == pytest.approx(vectors[match.text] @ np.asarray(prediction.vector), abs=1e-5)


@pytest.mark.slow
def test_an_index_outlives_another_export_and_can_be_replaced(indexed, folder, tmp_path):
    again = load(run.export(indexed.folder, f'output="{tmp_path}"'))
    expected = indexed.predict(["schlecht"])[0].matches
    assert again.predict(["schlecht"])[0].matches == expected
    (tmp_path / "new.txt").write_text("eins\nzwei\n", encoding="utf-8")
    output = f'output="{tmp_path / "other"}"'
    replaced = load(indexing.index(again.folder, tmp_path / "new.txt", "matches=1", output))
    (match,) = replaced.predict(["zwei"])[0].matches
    assert (match.text in ("eins", "zwei"), match.id) == (True, "")


def test_the_approximate_index_finds_what_the_exact_one_finds(indexed, beside):
    texts = ["das Zimmer war laut", "很吵", "👍"]
    approximate = indexing.search(indexed.folder.parent, texts, most=3)
    exact = [prediction.matches for prediction in indexed.predict(texts)]
    for one, other in zip(approximate, exact, strict=True):
        assert [match.score for match in one] == pytest.approx([match.score for match in other], abs=1e-5)
    assert indexing.search(indexed.folder.parent, texts, most=3, index=beside) == approximate


def test_vectors_of_another_model_are_refused(indexed, beside):
    with pytest.raises(ModelError, match="was made with tiny, version 1"):
        indexing.search(indexed.folder, ["gut"], index=beside)
    with pytest.raises(ModelError, match=r"\[queries, 8\]"):
        neighbours.load(beside).search(np.zeros((1, 4)))


@pytest.mark.parametrize("name", [neighbours.VECTORS, neighbours.TEXTS, neighbours.PLACES])
def test_damage_is_found(beside, tmp_path, name):
    copy = tmp_path / "1"
    copy.mkdir()
    for path in beside.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    neighbours.load(tmp_path)
    damaged = bytearray((copy / name).read_bytes())
    damaged[-1] ^= 1
    (copy / name).write_bytes(damaged)
    with pytest.raises(ModelError, match=f"{name} missing or changed"):
        neighbours.load(tmp_path)
    (copy / neighbours.MANIFEST).write_text("{")
    with pytest.raises(ModelError, match="holds no index"):
        neighbours.load(tmp_path)


def test_without_faiss_an_exact_index_still_works(model, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InstallationError, match="faiss is absent"):
        indexing.index(model.folder, folder / "answers.jsonl", "text=answer", "kind=approximate")


def test_what_cannot_be_indexed_is_refused(model, tiny_model_folder, folder, tmp_path):
    with pytest.raises(ModelError, match="answers classification"):
        indexing.index(tiny_model_folder, folder / "answers.jsonl")
    with pytest.raises(DataError, match=r"files that end in '\.toml'"):
        indexing.index(model.folder, folder / "recipe.toml")
    with pytest.raises(DataError, match="no column 'text'"):
        indexing.index(model.folder, folder / "answers.jsonl")
    with pytest.raises(RecipeError, match="there is no such setting"):
        indexing.index(model.folder, folder / "answers.jsonl", "ids=name")
    shutil.copytree(model.folder, tmp_path / "name" / "1")
    with pytest.raises(ModelError, match="has no index"):
        indexing.search(tmp_path / "name", ["gut"])


def test_recall_of_the_approximate_search(tmp_path):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(50, 32))
    vectors = centres[generator.integers(0, 50, 3000)] + 0.5 * generator.normal(size=(3000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = (neighbours.Entry(str(row), "", vector) for row, vector in enumerate(vectors))
    made_by = {"name": "none", "version": 1, "manifest_sha256": ""}
    index = neighbours.load(neighbours.build(entries, tmp_path, model=made_by))
    assert (index.texts, index.dimensions) == (3000, 32)
    exact = np.argsort(-(vectors[:100] @ vectors.T), axis=1)[:, :10]
    found = [{int(match.text) for match in matches} for matches in index.search(vectors[:100])]
    assert np.mean([len(one & set(other.tolist())) / 10 for one, other in zip(found, exact, strict=True)]) > 0.95


def test_the_command_line(indexed, beside, folder, capsys):
    assert main(["search", str(indexed.folder.parent), "schlecht", "👍", "--most", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["schlecht", "👍"]
    assert [len(line["matches"]) for line in lines] == [2, 2]
    assert main(["search", str(indexed.folder.parent), "schlecht", "--format", "table"]) == 0
    assert "schlecht" in capsys.readouterr().out
    assert main(["index", str(indexed.folder), str(folder / "answers.jsonl"), "text=answre"]) == 2
    assert "answre" in capsys.readouterr().err
    assert main(["search", str(indexed.folder.parent), "schlecht", "--format", "jsonn"]) == 2
    assert "did you mean 'jsonl'?" in capsys.readouterr().err


@pytest.mark.parametrize("style", ["jsonl", "table"])
def test_searches_read_standard_input_as_predictions_do(indexed, beside, capsys, monkeypatch, style):
    def search(content: bytes) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return main(["search", str(indexed.folder.parent), "-", "--format", style, "--most", "1"]), *capsys.readouterr()

    assert search(b"")[:2] == (0, "")
    code, shown, said = search("\ufeffeins\u2028eins\n".encode() + b"\xff\n" + "吵\n".encode())
    assert code == 2 and "1 of 3 texts could not be answered" in said
    assert "line 2: byte 0 is not UTF-8" in shown
    if style == "jsonl":
        lines = [json.loads(line) for line in shown.split("\n")[:-1]]
        assert [line["text"] for line in lines] == ["eins\u2028eins", "\ufffd", "吵"]
        assert ["error" in line for line in lines] == [False, True, False]


def test_no_texts_find_nothing(indexed, beside):
    assert indexing.search(indexed.folder.parent, [], index=beside) == []
    assert indexing.search(indexed.folder.parent, []) == []
