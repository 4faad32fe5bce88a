"""Broken recipes, data, weights and models: each is refused in words, with exit code 2 and with nothing written.

Every case is one line in a table: the command, what stderr must name, and how the place is broken first. In all of them
`HERE` stands for a folder with a recipe, its data, pretrained weights and a saved model that are right.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.evaluation.toy_answers import evaluated
from tfxl.cli import main

if TYPE_CHECKING:
    from tfxl.serving.answer import Answerer
    from tfxl.serving.export import Contents

RECIPE = """
name = "broken"
output = "HERE/out"
[data]
train = "HERE/{language}.jsonl"
validation = "HERE/{language}.jsonl"
test = "HERE/{language}.jsonl"
languages = ["en", "zh"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["bad", "good"]
max_length = 16
[training]
epochs = 1
"""
ROWS = {"en": ("bad room", "good room"), "zh": ("房间不好", "房间很好")}
BERT = 'encoder={kind="bert", weights="HERE/weights"}'
SAVED = """
name = "model"
[data]
train = "HERE/en.jsonl"
languages = ["en"]
[encoder]
kind = "tiny"
[task]
kind = "classification"
labels = ["negative", "neutral", "positive"]
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, tiny_answerer: Answerer, tiny_contents: Contents) -> Path:
    """A folder in which everything is right. Do not write in it; copy it."""
    from tfxl.encoders.tiny import Tiny
    from tfxl.pretrained import families
    from tfxl.pretrained.checkpoint import Checkpoint, write_checkpoint
    from tfxl.serving.export import export

    folder = tmp_path_factory.mktemp("sound") / "HERE"
    folder.mkdir()
    for language, sides in ROWS.items():
        rows = [{"text": f"{sides[n % 2]} {n}", "label": ("bad", "good")[n % 2]} for n in range(4)]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    encoder = Tiny(vocabulary="wordpiece")
    files = encoder.files()
    config = json.loads(files.pop("config.json"))
    write_checkpoint(folder / "weights", Checkpoint("tiny", config, families.extract(encoder.build()), files))
    export(tiny_answerer, folder / "model", contents=dataclasses.replace(tiny_contents, run_toml=SAVED))
    evaluated().write(folder / "a.json")
    first, *others = evaluated().rows
    dataclasses.replace(evaluated(), rows=tuple(others)).write(folder / "fewer.json")
    other = dataclasses.replace(first, digest="another text")
    dataclasses.replace(evaluated(), rows=(other, *others)).write(folder / "other.json")
    return folder


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound folder, to be broken."""
    folder = Path(shutil.copytree(sound, tmp_path / "HERE"))
    (folder / "recipe.toml").write_text(RECIPE.replace("HERE", str(folder)), encoding="utf-8")
    return folder


class Broken(NamedTuple):
    """What is done, what stderr must say (`|` between alternatives of one place), and how the place is broken first."""

    words: list[str]
    said: list[str]
    breaking: Callable[[Path], object] | None = None


def training(override: str, *said: str, breaking: Callable[[Path], object] | None = None) -> Broken:
    """A recipe that cannot be trained."""
    return Broken(["train", "HERE/recipe.toml", override], list(said), breaking)


def data(name: str, content: bytes, *said: str, override: str = "seed=1") -> Broken:
    """A data file that cannot be read."""
    return training(override, *said, breaking=lambda here: (here / name).write_bytes(content))


def weights(breaking: Callable[[Path], object], *said: str) -> Broken:
    """Pretrained weights that cannot be used."""
    return training(BERT, *said, breaking=lambda here: breaking(here / "weights"))


def model(breaking: Callable[[Path], object], *said: str, verb: str = "predict") -> Broken:
    """A saved model that cannot be used."""
    words = [verb, "HERE/model", *(["a text"] if verb == "predict" else [])]
    return Broken(words, list(said), lambda here: breaking(here / "model" / "1"))


def change(name: str, edit: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], object]:
    """Returns a function that edits the arrays of a safetensors file."""

    def breaking(folder: Path) -> None:
        arrays = load_file(folder / name)
        edit(arrays)
        save_file(arrays, folder / name)

    return breaking


def configure(**values: object) -> Callable[[Path], object]:
    """Returns a function that changes the configuration of weights."""

    def breaking(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return breaking


def cut(name: str, keep: float = 0.5) -> Callable[[Path], object]:
    """Returns a function that cuts a file off."""

    def breaking(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return breaking


def remove(*names: str) -> Callable[[Path], object]:
    """Returns a function that removes files."""
    return lambda folder: [(folder / name).unlink() for name in names]


def flip(name: str) -> Callable[[Path], object]:
    """Returns a function that changes one byte in the middle of a file."""

    def breaking(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return breaking


def foreign(folder: Path) -> None:
    """Puts a SavedModel of other origin in place of tfxl's."""
    shutil.rmtree(folder / "assets.extra")


ROW = b'{"text": "bad room", "label": "bad"}\n'
TABLE = 'data.reader={kind="csv"}'

CASES = {
    # Recipes
    "unknown key": training("training.epoch=3", "training.epoch: there is no such setting", "did you mean 'epochs'?"),
    "unknown section": training("trainin.epochs=3", "trainin", "did you mean 'training'?"),
    "text for a number": training("training.epochs='three'", "training.epochs = 'three' (str)", "integer"),
    "quoted number": training("training.learning_rate='1e-4'", "training.learning_rate = '1e-4' (str)", "number"),
    "number for a text": training("name=3", "name = 3 (int)", "string"),
    "name of a folder elsewhere": training("name='../broken'", "name = '../broken'"),
    "endless clipping": training("training.clip_norm=inf", "training.clip_norm = inf", "finite"),
    "seed of 33 bits": training("seed=4294967296", "seed = 4294967296", "less than 4294967296"),
    "negative epochs": training("training.epochs=-1", "training.epochs = -1", "greater than or equal to 0"),
    "no rows a step": training("training.batch_size=0", "training.batch_size = 0"),
    "unknown tuner": training("tuner.kind=frosen", "tuners: kind = 'frosen'", "did you mean 'frozen'?"),
    "unknown encoder": training("encoder={kind='birt'}", "encoders: kind = 'birt'", "did you mean 'bert'?"),
    "part without kind": training("task={labels=['a', 'b']}", "has no kind", "classification"),
    "part of an absent package": training("encoder={kind='mylab.poetry'}", "there is no module mylab", "PYTHONPATH"),
    "unknown setting of a part": training(
        "data.sampler={kind='capped', limt=3}", "capped.limt", "did you mean 'limit'?"
    ),
    "sampler with a wrong exponent": training(
        "data.sampler={kind='temperature', alpha=1.5}", "temperature.alpha = 1.5"
    ),
    "one label": training("task.labels=['good']", "classification.labels", "at least 2"),
    "a label twice": training("task.labels=['good', 'good']", "labels that differ from each other"),
    "weight of no label": training("task.class_weights={godo=2.0}", "'godo'", "bad, good"),
    "sigmoid of three": training(
        "task={kind='classification', labels=['a','b','c'], activation='sigmoid'}", "two labels"
    ),
    "no languages": training("data.languages=[]", "data.languages", "at least 1"),
    "bad language tag": training("data.languages=['english']", "language 'english'", "did you mean 'en'"),
    "bad language tag of a test": training("data.test_languages=['e']", "language 'e'", "BCP 47"),
    "unknown cleaner": training("data.cleaners=['unicod']", "cleaners: kind = 'unicod'", "did you mean 'unicode'?"),
    "text too long for the encoder": training("task.max_length=513", "max_length = 513", "512 positions"),
    "workers that are not named": training("training.strategy=multi_worker", "TF_CONFIG names no workers", "mirrored"),
    "override without value": training("training.epochs", "override 'training.epochs'", "section.setting=value"),
    "override inside a value": training("data.languages.x=1", "data.languages.x", "Override languages as a whole."),
    "no such recipe": Broken(["train", "sentimant"], ["recipe 'sentimant'", "did you mean 'sentiment'?"]),
    "no TOML": Broken(
        ["check", "HERE/recipe.toml"],
        ["recipe.toml", "line 2"],
        lambda here: put(here, "recipe.toml", b"seed = 1\n[data\n"),
    ),
    "recipe that is no UTF-8": Broken(
        ["check", "HERE/recipe.toml"], ["recipe.toml", "UTF-8"], lambda here: put(here, "recipe.toml", b'name = "\xe9"')
    ),
    "recipe that is a folder": Broken(["check", "HERE"], ["recipe 'HERE'"]),
    # Data
    "missing file": training("data.train='HERE/{language}.json'", "en.json", "did you mean|en.jsonl|Correct"),
    "unknown placeholder": training("data.train='HERE/{lang}.jsonl'", "{lang}", "{language}"),
    "unknown sample": training("data.train='sample:nothing/{language}.jsonl'", "nothing"),
    "missing column": training("data.reader={kind='jsonl', text='review'}", "line 1: no column 'review'", "'text'"),
    "missing column of a table": data(
        "en.jsonl", b"text,lable\na,bad\n", "no column 'label'", "'lable'", override=TABLE
    ),
    "label not listed": data("en.jsonl", ROW + b'{"text": "x", "label": "godo"}', "'godo'", "did you mean 'good'?"),
    "no label": data("en.jsonl", ROW + b'{"text": "x", "label": null}', "line 2|:2", "None", "bad, good"),
    "row that is no JSON": data("zh.jsonl", ROW + b"bad room\n", "zh.jsonl, line 2: no JSON", "Correct the row"),
    "null text": data("zh.jsonl", ROW + b'{"text": null, "label": "bad"}', "line 2: column 'text' is null"),
    "empty file": data("en.jsonl", b"", "en.jsonl holds no rows"),
    "blank file": data("en.jsonl", b"\n \n", "en.jsonl holds no rows"),
    "wrong encoding": data("en.jsonl", '{"text": "süß", "label": "bad"}'.encode("cp1252"), "is not UTF-8", "iconv"),
    "UTF-16": data("en.jsonl", ROW.decode().encode("utf-16"), "UTF-16", "iconv"),
    "table with a field too many": data("en.jsonl", b"text,label\na,b,bad\n", "line 2: 3 fields", override=TABLE),
    "quote that is never closed": data("en.jsonl", b'text,label\n"a,bad\n', "never closed", override=TABLE),
    "gzip cut off": training(
        "data.train='HERE/en.jsonl.gz'",
        "en.jsonl.gz",
        breaking=lambda here: put(here, "en.jsonl.gz", gzip.compress(ROW * 999)[:-9]),
    ),
    "folder for a file": training("data.train='HERE'", "HERE"),
    # Weights
    "no such weights": weights(shutil.rmtree, "weights", "no such folder"),
    "unknown offline weights": training("encoder={kind='bert', weights='offline:e5'}", "offline:e5"),
    "weights without tokenizer": weights(remove("vocab.txt"), "vocab.txt|tokenizer"),
    "weights without configuration": weights(remove("config.json"), "config.json"),
    "weights that are missing": weights(remove("model.safetensors"), "model.safetensors"),
    "weights that are cut off": weights(cut("model.safetensors"), "model.safetensors"),
    "weights with a broken header": weights(cut("model.safetensors", keep=0.001), "model.safetensors"),
    "configuration that is no JSON": weights(cut("config.json"), "config.json"),
    "weights of another family": weights(configure(model_type="gpt2"), "gpt2", "bert"),
    "weights of another size": weights(configure(hidden_size=16, intermediate_size=64), "[8] instead of [16]"),
    "weights with a layer too few": weights(
        change("model.safetensors", lambda arrays: [arrays.pop(n) for n in [*arrays] if "layer.1.attention" in n]),
        "encoder.layer.1.attention",
    ),
    "tokenizer of other weights": weights(cut("vocab.txt"), "vocabulary|tokenizer|vocab"),
    "weights as a pickle alone": weights(
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "pytorch_model.bin|safetensors",
    ),
    # Output
    "file in place of the output folder": training("output='HERE/en.jsonl'", "cannot be written", "Set output"),
    "file in place of the model's folder": training(
        "output='HERE'", "cannot be written", breaking=lambda h: put(h, "broken")
    ),
    "copy over a file": Broken(["copy", "sentiment", "HERE/recipe.toml"], ["recipe.toml exists"]),
    "answers into no folder": Broken(
        ["predict", "HERE/model", "x", "--output", "HERE/no/x"], ["--output", "Make the folder"]
    ),
    # Saved models
    "no model": Broken(["predict", "HERE/modell", "a text"], ["modell is not there", "model"]),
    "file for a model": Broken(["predict", "HERE/en.jsonl", "a text"], ["en.jsonl is a file"]),
    "model of other origin": model(foreign, "has no assets.extra/manifest.json"),
    "model with other weights": model(flip("variables/variables.data-00000-of-00001"), "is damaged", "variables"),
    "model cut off": model(cut("saved_model.pb"), "is damaged", "saved_model.pb"),
    "model without variables": model(remove("variables/variables.index"), "missing: variables/variables.index"),
    "model with a changed manifest": model(flip("assets.extra/manifest.json"), "manifest.json was changed"),
    "model with a file too many": model(lambda folder: put(folder, "note.txt"), "unknown: note.txt"),
    "evaluating a damaged model": model(cut("saved_model.pb"), "is damaged", verb="evaluate"),
    "exporting a damaged model": model(cut("saved_model.pb"), "is damaged", verb="export"),
    "evaluating without data": Broken(["evaluate", "HERE/model"], ["data.test is not set"]),
    "evaluating a missing file": Broken(["evaluate", "HERE/model", "data.test='HERE/none.jsonl'"], ["none.jsonl"]),
    "evaluating other labels": Broken(["evaluate", "HERE/model", "data.test='HERE/en.jsonl'"], ["en.jsonl", "'bad'"]),
    "evaluating with other training": Broken(["evaluate", "HERE/model", "training.epochs=9"], ["training.epochs=9"]),
    "exporting with an unknown setting": Broken(
        ["export", "HERE/model", "export.tokens=true"], ["export.tokens", "did you mean 'tokens_only'?"]
    ),
    # Comparing and trimming
    "comparing fewer rows": Broken(
        ["compare", "HERE/a.json", "HERE/fewer.json"], ["1 of 144 rows are not in the second"]
    ),
    "comparing other rows": Broken(["compare", "HERE/a.json", "HERE/other.json"], ["has another text"]),
    "comparing what is no evaluation": Broken(["compare", "HERE/a.json", "HERE/en.jsonl"], ["en.jsonl"]),
    "comparing a model that was not measured": Broken(["compare", "HERE/a.json", "HERE/model"], ["report.json"]),
    "comparing with nothing": Broken(["compare", "HERE/a.json", "HERE/nothing"], ["nothing is not there"]),
    "trimming without texts": Broken(["trim", "HERE/weights", "output='HERE/small'"], ["texts is not set"]),
    "trimming into a folder that is there": Broken(
        ["trim", "HERE/weights", "output='HERE'", "texts='HERE/en.jsonl'", "languages=['en']"], ["exists already"]
    ),
    "trimming nothing": Broken(
        ["trim", "HERE/none", "output='HERE/small'", "texts='HERE/en.jsonl'", "languages=['en']"], ["none"]
    ),
}


def put(folder: Path, name: str, content: bytes = b"") -> None:
    """Writes a file."""
    (folder / name).write_bytes(content)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Returns every file and folder."""
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_words_with_nothing_written(
    name: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here.parent)
    words, said, breaking = CASES[name]
    if breaking is not None:
        breaking(here)
    before = snapshot(here.parent)
    capsys.readouterr()
    code = main([word.replace("HERE", str(here)) if "'" in word or '"' in word else word for word in words])
    error = capsys.readouterr().err
    assert code == 2, error
    answers = [line for line in error.splitlines() if line.startswith(("got: ", "expected: ", "fix: "))]
    assert [answer.partition(":")[0] for answer in answers] == ["got", "expected", "fix"]
    assert all(answer.partition(":")[2].strip() for answer in answers)
    assert "Traceback" not in error
    for one in said:
        assert any(word in error for word in one.split("|")), f"{one!r} is not in:\n{error}"
    assert snapshot(here.parent) == before


def test_what_is_broken_above_works_when_it_is_not_broken(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cases would be refused for another reason than the one that they are about."""
    monkeypatch.chdir(here.parent)
    assert main(["check", "HERE/recipe.toml"]) == 0
    assert main(["train", "HERE/recipe.toml", BERT.replace("HERE", str(here)), "evaluation.samples=10"]) == 0
    assert main(["predict", "HERE/model", "a text"]) == 0
    assert main(["compare", "HERE/a.json", "HERE/a.json"]) == 0
    assert (here / "out" / "broken" / "1" / "saved_model.pb").is_file()
