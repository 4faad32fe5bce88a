"""A published checkpoint becomes a saved model with a certificate, or nothing is written and the layer is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers
from tokenizers import models, pre_tokenizers, processors

from tests.pretrained.published import publish, rows, tokenizer_size, torch_model
from tfxl import adopting, registry, run
from tfxl import certificate as certificates
from tfxl.cli import main
from tfxl.errors import ModelError, TfxlError
from tfxl.formats._heads import SEQUENCE, TOKEN
from tfxl.formats._masked import MASKED
from tfxl.formats.huggingface import Huggingface
from tfxl.pretrained import reference
from tfxl.serving.answer import Answerer, predict
from tfxl.serving.model import load
from tfxl.text.sentencepiece import proto

pytestmark = pytest.mark.torch
SENTENCES = {"de": ("das Zimmer war gut", "das Essen kam"), "zh": ("房间 很 干净 。", "这家酒店很吵")}
NAMES = {"id2label": {0: "schlecht", 1: "gut"}}


@pytest.fixture(autouse=True)
def _torch() -> None:
    pytest.importorskip("torch", reason="makes checkpoints with PyTorch's classes")


def source(folder: Path, family: str = "xlm-roberta", kind: str = SEQUENCE, **values: Any) -> str:
    positions = {"max_position_embeddings": 80}
    return str(publish(torch_model(family, kind, **{**NAMES, **positions, **values}), folder))


def to(path: Path, *more: str) -> list[str]:
    return [f"output={json.dumps(str(path))}", "export.warmup=false", *more]


def test_a_checkpoint_becomes_a_served_model(tmp_path: Path) -> None:
    path = source(tmp_path / "lab" / "a model!")
    model = adopting.adopt(path, *to(tmp_path / "saved", 'languages=["de", "zh"]'))
    assert (model.name, model.version, model.task.kind) == ("a-model-", 1, "classification")
    assert model.predict(["das Zimmer war gut", "这家酒店很吵"])[0].label in ("schlecht", "gut")
    assert set(model.signatures) == {"serving_default", "tokens", "classify"}
    certificate = json.loads((model.folder / "assets.extra" / certificates.FILE).read_text(encoding="utf-8"))
    assert len(certificate["texts"]) >= 14 and certificate["rows"] == 2 * len(certificate["texts"])
    assert certificate["logits"] < 1e-5 and certificate["allowed"] == certificates.LARGEST
    assert certificate["architecture"] == "XLMRobertaForSequenceClassification" and "torch" in certificate["library"]
    assert certificate["other_ids"] == [] and certificate["labels"] == ["schlecht", "gut"]
    assert model.recipe["data"]["languages"] == ["de", "zh"] and model.recipe["training"]["epochs"] == 0
    again = model.rebuild()
    assert np.array_equal(again.model(rows(9)), Huggingface().read(path).model(rows(9)))


def test_check_writes_nothing(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "distilbert", TOKEN, id2label={0: "O", 1: "B-X", 2: "I-X"})
    before = sorted(tmp_path.rglob("*"))
    certificate = adopting.check(path, *to(tmp_path / "saved"))
    assert certificate.logits < 1e-5 and len(certificate.hidden) == 4
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [0.01, np.nan])
@pytest.mark.parametrize(("broken", "named"), [(None, "the head"), (0, "the embeddings"), (2, "layer 2 of 3")])
def test_another_answer_is_refused_with_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int | None, named: str, error: float
) -> None:
    original = reference.outputs

    def other(*arguments: Any, **options: Any) -> reference.Outputs:
        found = original(*arguments, **options)
        if broken is None:
            return found._replace(logits=found.logits + error)
        hidden = [each + error if place >= broken else each for place, each in enumerate(found.hidden)]
        return found._replace(hidden=hidden)

    monkeypatch.setattr(reference, "outputs", other)
    with pytest.raises(ModelError, match=named):
        adopting.adopt(source(tmp_path / "in"), *to(tmp_path / "saved"))
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("family", ["xlm-roberta", "distilbert", "bert"])
def test_without_pytorch_tensorflows_class_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    path = source(tmp_path, family)
    monkeypatch.setattr(reference, "has_torch", lambda: False)
    certificate = adopting.check(path)
    assert "tensorflow" in certificate.library and certificate.logits < 1e-5


def test_weights_that_tensorflow_wrote_are_compared_with_its_own_class(tmp_path: Path) -> None:
    path = source(tmp_path / "torch", "bert")
    kind = transformers.TFBertForSequenceClassification
    publish(kind.from_pretrained(path, from_pt=True), tmp_path / "in", safe_serialization=False)
    certificate = adopting.check(str(tmp_path / "in"))
    assert "tensorflow" in certificate.library and certificate.logits < 1e-5


def test_a_tokenizer_that_no_op_can_run_is_said_and_served_as_tokens(tmp_path: Path) -> None:
    path = Path(source(tmp_path / "in", "roberta"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*special, *alphabet, *(f"x{number}" for number in range(tokenizer_size() - 5 - len(alphabet)))]
    library = tokenizers.Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    library.add_special_tokens(special)
    for name in ("sentencepiece.bpe.model", "tokenizer_config.json"):
        (path / name).unlink()
    (path / "tokenizer.json").write_text(library.to_str(), encoding="utf-8")
    model = adopting.adopt(str(path), *to(tmp_path / "saved"))
    assert set(model.signatures) == {"serving_default", "tokens"}
    certificate = json.loads((model.folder / "assets.extra" / certificates.FILE).read_text(encoding="utf-8"))
    assert not certificate["reads_text"] and "byte-level BPE" in certificate["remarks"][-1]
    assert model.predict(["gut"])[0].label in ("schlecht", "gut")


def labelled(folder: Path) -> str:
    """Writes labelled files, and returns how a setting names them."""
    folder.mkdir(exist_ok=True)
    for code, texts in SENTENCES.items():
        rows = [{"text": f"{text} {n}", "label": ("schlecht", "gut")[n % 2]} for text in texts for n in range(4)]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{code}.jsonl").write_text("".join(lines), encoding="utf-8")
    return str(folder / "{language}.jsonl")


def command(*words: str) -> None:
    assert main(list(words)) == 0


def test_the_vocabulary_is_trimmed_after_the_comparison(tmp_path: Path) -> None:
    path, texts = source(tmp_path / "in"), labelled(tmp_path / "data")
    command("adopt", path, "--name", "small", "--languages", "de,zh", "--texts", texts, *to(tmp_path / "saved"))
    whole, small = adopting.adopt(path, *to(tmp_path / "saved", "name=whole")), load(tmp_path / "saved" / "small")
    certificate = json.loads((small.folder / "assets.extra" / certificates.FILE).read_text(encoding="utf-8"))
    sizes = [certificate["trimmed"][when]["pieces"] for when in ("before", "after")]
    assert sizes == [whole.tokenizer.size, small.tokenizer.size] and sizes[1] < sizes[0]
    assert certificate["trimmed"]["identical_texts"] > 0 and certificate["logits"] < 1e-5
    assert json.loads((small.folder / "assets.extra" / "trim.json").read_bytes()) == certificate["trimmed"]
    kept = [text for texts in SENTENCES.values() for text in texts]
    assert small.predict(kept) == whole.predict(kept)
    assert small.recipe["data"]["languages"] == ["de", "zh"]
    assert small.rebuild().model.count_params() < whole.rebuild().model.count_params()


@pytest.mark.slow
def test_several_files_are_counted_together(tmp_path: Path) -> None:
    path, texts = source(tmp_path / "in"), labelled(tmp_path / "data")
    sizes = []
    for code, more in (("de", []), ("de,zh", ["--texts", texts.replace("{language}", "zh")])):
        one = texts.replace("{language}", "de")
        command("adopt", path, "--languages", code, "--texts", one, *more, *to(tmp_path / "saved"))
        sizes.append(load(tmp_path / "saved" / "in").tokenizer.size)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["--languages", "de"], "--languages without --texts"),
        (["--texts", "HERE/de.jsonl"], "--texts without --languages"),
        (['texts=["HERE/de.jsonl"]'], "texts without languages"),
        (["keep.min_count=2"], "keep without texts"),
        (["--languages", "de,sw", "--texts", "HERE/{language}.jsonl"], "sw.jsonl"),
        (["--languages", "german", "--texts", "HERE/{language}.jsonl"], "german"),
        (["--languages", "de", "--texts", "HERE/de.jsonl", "keep.scripts=['Xxxx']"], "Xxxx"),
    ],
)
def test_wrong_ways_to_trim_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], got: str
) -> None:
    labelled(tmp_path / "data")
    told = [word.replace("HERE", str(tmp_path / "data")) for word in words]
    assert main(["adopt", source(tmp_path / "in"), *told, *to(tmp_path / "saved")]) == 2
    assert got in capsys.readouterr().err
    assert not (tmp_path / "saved").exists()


@pytest.mark.slow
def test_adopted_models_are_evaluated_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = labelled(tmp_path / "data")
    for seed in range(2):
        path = publish(torch_model("xlm-roberta", SEQUENCE, seed, **NAMES), tmp_path / "in" / f"m{seed}")
        command("adopt", str(path), *to(tmp_path / "saved", 'languages=["de", "zh"]'))
    models = [str(tmp_path / "saved" / f"m{seed}") for seed in range(2)]
    assert main(["compare", *models]) == 2
    assert "m0/1 was not measured yet" in capsys.readouterr().err
    for model in models:
        command("evaluate", model, f'data.test="{data}"', "evaluation.samples=50")
        assert "German" in capsys.readouterr().out
    command("compare", *models, "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert (
        set(found["languages"]) == {"de", "zh"}
        if isinstance(found["languages"], dict)
        else len(found["languages"]) == 2
    )
    assert found["overall"]["rows"] == 16


@pytest.mark.slow
def test_training_goes_on_from_an_adopted_model_and_its_head(tmp_path: Path) -> None:
    adopted = adopting.adopt(source(tmp_path / "in"), *to(tmp_path / "saved", "name=start"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        name = "further"
        output = "{tmp_path}/saved"
        start = "{tmp_path}/saved/start"
        [data]
        train = "{labelled(tmp_path / "data")}"
        languages = ["de", "zh"]
        [task]
        kind = "classification"
        labels = ["schlecht", "gut"]
        max_length = 64
        [training]
        batch_size = 4
        learning_rate = 0.01
        precision = "float32"
        [export]
        warmup = false
        """,
        encoding="utf-8",
    )
    texts = ["das Zimmer war gut", "这家酒店很吵", ""]
    scores = [each.scores for each in adopted.predict(texts)]
    same, further = (run.train(recipe, f"training.epochs={epochs}") for epochs in (0, 1))
    assert [each.scores for each in same.predict(texts)] == scores
    assert [each.scores for each in further.predict(texts)] != scores
    with pytest.raises(TfxlError, match="labels"):
        run.train(recipe, 'task.labels=["gut", "schlecht"]')


def change(name: str, **values: Any) -> Callable[[Path], object]:
    """Returns a function that changes values in a JSON file; None takes one away."""

    def breaking(folder: Path) -> None:
        told = {**json.loads((folder / name).read_bytes()), **values}
        (folder / name).write_text(json.dumps({key: value for key, value in told.items() if value is not None}))

    return breaking


def cut_shard(folder: Path) -> None:
    """Cuts one of several files of weights."""
    shard = sorted(folder.glob("model-*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-100])


INDEX = "model.safetensors.index.json"
BROKEN: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "another network": (change("config.json", model_type="gpt2"), ["gpt2", "xlm-roberta"]),
    "another class": (
        change("config.json", architectures=["XLMRobertaForCausalLM"]),
        ["ForCausalLM", "ForTokenClassification"],
    ),
    "weights missing": (
        change("config.json", architectures=["XLMRobertaForTokenClassification"]),
        ["missing: ", "left over: ", "classifier"],
    ),
    "a layer too many": (change("config.json", num_hidden_layers=4), ["encoder.layer.3"]),
    "embeddings of another vocabulary": (
        lambda folder: shutil.copy(folder.parent / "long.model", folder / "sentencepiece.bpe.model"),
        ["the tokenizer has", "rows"],
    ),
    "labels for other logits": (
        change("config.json", id2label={"0": "a", "1": "b", "2": "c"}, label2id=None),
        ["2 c", "2 logits"],
    ),
    "a shard cut off": (cut_shard, ["model-", "cannot be read"]),
    "a shard missing": (
        lambda folder: sorted(folder.glob("model-*.safetensors"))[0].unlink(),
        ["index of shards names"],
    ),
    "a shard elsewhere": (
        change(INDEX, weight_map={"x": "../../elsewhere.safetensors"}),
        ["../../elsewhere", "same folder"],
    ),
    "an index without names": (change(INDEX, weight_map=None), ["weight_map"]),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), ["config.json"]),
    "no tokenizer": (lambda folder: (folder / "sentencepiece.bpe.model").unlink(), ["tokenizer"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checkpoints_are_refused_with_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = publish(torch_model("xlm-roberta", SEQUENCE, **NAMES), tmp_path / "in", max_shard_size="20kB")
    (tmp_path / "long.model").write_bytes(_long_model((folder / "sentencepiece.bpe.model").read_bytes()))
    breaking, said = BROKEN[name]
    breaking(folder)
    assert main(["adopt", str(folder), *to(tmp_path / "saved")]) == 2
    error = capsys.readouterr().err
    assert [sign for sign in ("got: ", "expected: ", "fix: ", *said) if sign not in error] == [], error
    assert not (tmp_path / "saved").exists()


def _long_model(model: bytes) -> bytes:
    """A SentencePiece model with more pieces than the embedding table has rows."""
    whole = proto.ModelProto.FromString(model)
    for number in range(100):
        whole.pieces.add(piece=f"▁more{number}", score=-20.0)
    return bytes(whole.SerializeToString())


def test_a_sharded_checkpoint_that_is_whole_is_adopted(tmp_path: Path) -> None:
    folder = publish(torch_model("xlm-roberta", SEQUENCE, **NAMES), tmp_path / "in", max_shard_size="20kB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert adopting.check(str(folder)).logits < 1e-5


def test_logits_without_names_are_numbered_and_said(tmp_path: Path) -> None:
    path = Path(source(tmp_path / "in"))
    change("config.json", id2label=None, label2id=None)(path)
    certificate = adopting.check(str(path))
    assert certificate.labels == ("LABEL_0", "LABEL_1") and "LABEL_0" in " ".join(certificate.remarks)


def test_without_a_network_a_hub_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["adopt", "some-lab/some-model-that-is-nowhere", *to(tmp_path / "saved")]) == 2
    assert "some-lab/some-model-that-is-nowhere" in capsys.readouterr().err
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("override", "got"), [("nam='x'", "nam"), ("format='onnx'", "format"), ("read.sides=2", "sides")]
)
def test_wrong_settings_are_named(tmp_path: Path, override: str, got: str) -> None:
    with pytest.raises(TfxlError, match=got):
        adopting.adopt(source(tmp_path), override)


def test_every_format_can_be_built() -> None:
    assert registry.names("formats") == ["huggingface", "sentence_transformers"]


@pytest.mark.parametrize(
    ("name", "safe"), [("a/b c", "a-b-c"), ("..", "adopted"), ("模型", "adopted"), ("x_1.b", "x_1.b")]
)
def test_names_of_models(name: str, safe: str) -> None:
    assert adopting.safe_name(name) == safe


@pytest.mark.parametrize("family", ["xlm-roberta", pytest.param("distilbert", marks=pytest.mark.slow)])
def test_a_masked_language_model_fills_masks(tmp_path: Path, family: str) -> None:
    path = source(tmp_path / "in", family, MASKED, id2label=None, tie_word_embeddings=family == "xlm-roberta")
    texts = tmp_path / "de.jsonl"
    texts.write_text("".join(f'{{"text": "{text}"}}\n' for text in SENTENCES["de"]), encoding="utf-8")
    model = adopting.adopt(path, *to(tmp_path / "saved"))
    certificate = json.loads((model.folder / "assets.extra" / certificates.FILE).read_text(encoding="utf-8"))
    assert certificate["logits"] < 1e-5 and certificate["architecture"].endswith(MASKED)
    (fills,) = model.predict(["das <mask> war gut"])[0].fills
    assert len(fills) == 5 and set(model.signatures) == {"serving_default", "tokens", "score"}
    small = adopting.adopt(
        path,
        *to(tmp_path / "small"),
        f"texts=[{json.dumps(str(texts))}]",
        'languages=["de"]',
        'reader={kind="jsonl", label=""}',
    )
    head, whole = small.rebuild().model.get_layer("head"), model.rebuild().model.get_layer("head")
    kept = [model.tokenizer.vocabulary().index(piece) for piece in small.tokenizer.vocabulary()]
    assert len(kept) == small.tokenizer.size < model.tokenizer.size
    assert np.array_equal(head.bias.numpy(), whole.bias.numpy()[kept])
    assert (head.decoder is None) == (family == "xlm-roberta")
    best = [fill.text for fill in small.predict(["das <mask> war gut"])[0].fills[0]]
    built = model.rebuild()
    task = registry.build("tasks", {**model.task.spec(), "num_fills": model.tokenizer.size})
    answerer = Answerer(built.model, task, built.tokenizer)
    every = [fill.text for fill in predict(answerer.text, task, {"text": ["das <mask> war gut"]})[0].fills[0]]
    pieces = {model.tokenizer.vocabulary()[id].replace("▁", "") for id in kept}
    assert best == [text for text in every if text in pieces][: len(best)]
