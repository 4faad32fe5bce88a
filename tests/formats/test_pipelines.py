"""Answers are those of transformers' own pipelines over what was written for them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from tests.formats.test_huggingface import portable
from tfxl import graphemes
from tfxl.backend import keras
from tfxl.example import Prediction, Span
from tfxl.formats import Portable
from tfxl.formats.huggingface import Huggingface
from tfxl.serving.answer import Answerer, predict

pytestmark = pytest.mark.torch

TEXTS = [
    "Das Zimmer in München war sauber, aber laut.",
    "这家酒店 很吵 。",
    "كانت الغرفة نظيفة جداً في القاهرة",
    "कमरा साफ़ था और खाना अच्छा",
    "ห้องสะอาด มาก",
    "👍🏽 très  bien, e\u0301te\u0301 !",
    "x",
]


def asked(answerer: Answerer, **texts: list[str]) -> list[Prediction]:
    return predict(answerer.text, answerer.parts.task, texts)


@pytest.fixture
def both(tmp_path: Path) -> Any:
    """Returns a random model of a task, ready to answer, and the pipeline over what is written of it."""
    pytest.importorskip("torch", reason="compares with PyTorch's pipelines")

    def make(task: dict[str, Any], head: Any, pipeline: str, **options: Any) -> tuple[Answerer, Any]:
        model: Portable = portable(task, head)
        random = np.random.default_rng(3)
        kernel = model.model.get_layer("head").logits.kernel
        kernel.assign(random.normal(size=kernel.shape))  # so that not all answers are alike
        folder = str(Huggingface().write(model, tmp_path / "written"))
        answerer = Answerer(model.model, model.task, model.tokenizer)
        return answerer, transformers.pipeline(pipeline, model=folder, framework="pt", **options)

    return make


def test_labels(both: Any) -> None:
    head = {"kind": "pooled", "pooling": "first", "transform": "tanh"}
    answerer, pipeline = both(
        {"kind": "classification", "labels": ["a", "b", "c"]}, head, "text-classification", top_k=None
    )
    answers = asked(answerer, text=TEXTS)
    assert len({round(answer.scores["a"], 3) for answer in answers}) > 3
    for text, ours in zip(TEXTS, answers, strict=True):
        theirs = {each["label"]: each["score"] for each in pipeline([text])[0]}
        assert ours.label == max(theirs, key=lambda label: theirs[label])
        assert ours.scores == pytest.approx(theirs, abs=1e-5)


def test_entities_of_words_between_spaces(both: Any) -> None:
    task = {"kind": "token_classification", "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "words": "spaces"}
    answerer, pipeline = both(task, "token", "token-classification", aggregation_strategy="first")
    answers, found = asked(answerer, text=TEXTS), 0
    alone = set(pipeline.tokenizer.convert_tokens_to_ids(["<unk>", "▁"]))
    for text, ours in zip(TEXTS, answers, strict=True):
        if alone & set(pipeline.tokenizer(text)["input_ids"]):
            continue  # to the pipeline each unknown piece, and each space alone, is a word
        theirs = pipeline(text)
        # The pipeline counts the space before a word as a part of it.
        starts = [each["end"] - len(text[each["start"] : each["end"]].lstrip()) for each in theirs]
        places = [(each["entity_group"], start, each["end"]) for each, start in zip(theirs, starts, strict=True)]
        assert [(each.label, each.start, each.end) for each in ours.spans] == places
        assert [each.score for each in ours.spans] == pytest.approx([each["score"] for each in theirs], abs=1e-5)
        assert all(text[each.start : each.end] == each.text for each in ours.spans)
        found += len(places)
    assert found > 3


SPACED = ["這 家 酒 店 很 吵", "廣 達 店 # 桃 園 縣", "Das Zimmer 在 München 很 吵", "कमरा साफ़ था", "ห้อง สะอาด มาก 👍"]


def test_the_first_token_of_a_word_has_its_label(both: Any) -> None:
    """Also where it is the space alone: what is fine-tuned on words with one label each has it there."""
    task = {"kind": "token_classification", "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "words": "spaces"}
    answerer, pipeline = both(task, "token", "token-classification")
    tokenizer, network, spaces = pipeline.tokenizer, pipeline.model, 0
    for text, ours in zip(SPACED, asked(answerer, text=SPACED), strict=True):
        words = text.split(" ")
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        first = [encoded.word_ids().index(number) for number in range(len(words))]
        spaces += tokenizer.convert_ids_to_tokens(encoded["input_ids"][0, first].tolist()).count("▁")
        best = network(**encoded).logits[0, first].argmax(-1).tolist()
        tags = [network.config.id2label[tag] for tag in best]
        found = [None if span is None else span.label for span in _covering(text, words, ours)]
        assert found == [None if tag == "O" else tag[2:] for tag in tags]
    assert spaces > 5


def _covering(text: str, words: list[str], answer: Prediction) -> list[Span | None]:
    """The span that covers each word's first character."""
    places = itertools.accumulate([len(word) + 1 for word in words[:-1]], initial=0)
    return [next((span for span in answer.spans if span.start <= place < span.end), None) for place in places]


def test_answers_to_questions(both: Any) -> None:
    told = {"kind": "question_answering", "max_length": 256}
    limits = {"max_seq_len": 256, "doc_stride": 64, "max_answer_len": 30, "align_to_words": False}
    answerer, pipeline = both(told, "span", "question-answering", **limits)
    questions = [*TEXTS[1:], TEXTS[0]]
    answers = asked(answerer, text=questions, second_text=TEXTS)
    compared = 0
    for question, context, ours in zip(questions, TEXTS, answers, strict=True):
        theirs = pipeline(question=question, context=context)
        answer = theirs["answer"].strip()  # a piece has the space before it, but no answer of ours has
        start = theirs["start"] + len(theirs["answer"]) - len(theirs["answer"].lstrip())
        parts = (context[:start], answer, context[start + len(answer) :])
        if sum(map(graphemes.count, parts)) == graphemes.count(context):  # else it cuts a letter from its marks
            assert (ours.spans[0].text, ours.spans[0].end) == (answer, start + len(answer))
            compared += 1
    assert compared > 3


GAPS = [
    "Das Zimmer in {} war sauber, aber laut.",
    "{} Zimmer war {} .",
    "这家酒店{} 很吵 。",
    "كانت {} نظيفة جداً في القاهرة {}",
    "कमरा {}था और खाना अच्छा",
    "  ห้องสะอาด   {}  ",
    "{}",
    "👍🏽 très  bien, e\u0301te\u0301 {}!",
    "it's {} , do not {}{} go .",
]


@pytest.mark.parametrize("vocabulary", ["sentencepiece", "wordpiece"])
def test_masks_are_filled_as_by_the_pipeline(tmp_path: Path, vocabulary: str) -> None:
    pytest.importorskip("torch", reason="compares with PyTorch's pipelines")
    keras.utils.set_random_seed(5)  # of the head's weights, which decide how many pieces are among the best
    model = portable({"kind": "fill_mask", "max_length": 64}, "masked_language", vocabulary)
    bias = model.model.get_layer("head").bias
    # So small that the text still matters, so large that special tokens are among the best of some.
    bias.assign(np.random.default_rng(5).normal(size=bias.shape) * 0.1)
    answerer = Answerer(model.model, model.task, model.tokenizer)
    folder = str(Huggingface().write(model, tmp_path / "written"))
    pipeline = transformers.pipeline("fill-mask", model=folder, framework="pt", top_k=5)
    texts = [text.replace("{}", pipeline.tokenizer.mask_token) for text in GAPS]
    answers = asked(answerer, text=[*texts, "no gap"])
    assert answers[-1].fills == () and answers[-1].label == ""
    pieces = set()
    for text, ours in zip(texts, answers, strict=False):
        theirs = pipeline(text)
        theirs = [theirs] if isinstance(theirs[0], dict) else theirs
        found = [[(each.id, each.text, each.filled) for each in fills] for fills in ours.fills]
        assert found == [[(each["token"], each["token_str"], each["sequence"]) for each in fills] for fills in theirs]
        scores = [each.score for fills in ours.fills for each in fills]
        assert scores == pytest.approx([each["score"] for fills in theirs for each in fills], abs=1e-5)
        pieces |= {each.id for fills in ours.fills for each in fills}
    assert len(pieces) > 8
