#!/usr/bin/env python
"""Compares the answers of an adopted model with those of transformers' own pipeline over the original.

    python tools/bench/pipelines.py text-classification published/sentiment saved_models/sentiment TEXTS…
    python tools/bench/pipelines.py question-answering published/questions saved_models/questions "xquad.*.json"

The texts come from files, 25 of each unless `--rows` says otherwise: a text a line (`.txt`); a field `text` (`.jsonl`);
words of CoNLL's columns with white space between them (`.tsv`, `.conll`); questions of SQuAD (`.json`). For fill-mask,
the middle word of each text is hidden, or its middle character where it is one word.

Printed are, for each file, how many answers are equal, how many entities, labels or texts the pipeline named in all
of them, the largest difference of scores, and each answer that differs, beside what the pipeline's own network says
where the pipeline does not follow it:

- To pipelines a token for a space alone is a word, as SentencePiece makes one before most Chinese characters. The
  network was fine-tuned on words, each with its label on its first token, and is asked so.
- Of a passage in several windows, pipelines compare what is probable within each window. The network is asked for the
  highest sum of logits over all windows, as by the scripts of BERT's authors.

The exit code is 0 even then: what differs is for a person to read.

Pipelines run on PyTorch in float32, a text at a time; the space that they count to the piece after it is left out.
Entities are put together by the first piece of a word (`aggregation_strategy="first"`), answers to questions are not
widened to whole words (`align_to_words=False`).
"""

from __future__ import annotations

import argparse
import glob
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

import tfxl
from tfxl.example import Prediction
from tfxl.readers.conll import Conll
from tfxl.readers.squad import Squad

SCORE = "score"


class Question(NamedTuple):
    """What both are asked."""

    text: str
    context: str | None = None


class Answers(NamedTuple):
    """Two answers: what must be equal, and the scores beside it."""

    said: Any
    scores: list[float]


class Comparison(NamedTuple):
    """How a pipeline is called, and how both answers are read.

    Attributes:
        theirs: From the pipeline and a question.
        ours: From our answer and a question.
        options: Of the pipeline.
    """

    theirs: Callable[[Any, Question], Answers]
    ours: Callable[[Prediction, Question], Answers]
    options: dict[str, Any]


# Texts


def questions(path: Path, tokenizer: Any, task: str) -> Iterator[Question]:
    """Yields what a file holds, in its order."""
    if task == "question-answering":
        yield from (Question(each.text.lstrip(), each.second_text) for each in Squad().read(path))
        return
    if path.suffix in (".tsv", ".conll"):
        texts: Iterator[str] = (" ".join(each.words or ()) for each in Conll().read(path))
    elif path.suffix == ".jsonl":
        texts = (json.loads(line)["text"] for line in path.open(encoding="utf-8"))
    else:
        texts = (line.strip() for line in path.open(encoding="utf-8"))
    for text in filter(None, texts):
        yield Question(hidden(text, tokenizer.mask_token) if task == "fill-mask" else text)


def hidden(text: str, mask: str) -> str:
    """Returns a text with the mask token instead of its middle word, or character where there is one word only."""
    parts, glue = (text.split(), " ") if len(text.split()) > 1 else (list(text), "")
    parts[len(parts) // 2] = mask
    return glue.join(parts)


# Tasks


def label_of_pipeline(pipeline: Any, question: Question) -> Answers:
    found = pipeline([question.text])[0]
    return Answers(found[0]["label"], [each[SCORE] for each in sorted(found, key=lambda each: each["label"])])


def label_of_ours(prediction: Prediction, question: Question) -> Answers:
    return Answers(prediction.label, [score for _, score in sorted(prediction.scores.items())])


def entities_of_pipeline(pipeline: Any, question: Question) -> Answers:
    found = pipeline(question.text)
    places = [(each["entity_group"], *without_space(question.text, each["start"], each["end"])) for each in found]
    return Answers(places, [float(each[SCORE]) for each in found])


def entities_of_ours(prediction: Prediction, question: Question) -> Answers:
    return Answers([(each.label, each.text, each.start) for each in prediction.spans], scores(prediction))


def answer_of_pipeline(pipeline: Any, question: Question) -> Answers:
    found = pipeline(question=question.text, context=question.context)
    return Answers(without_space(question.context or "", found["start"], found["end"]), [])


def answer_of_ours(prediction: Prediction, question: Question) -> Answers:
    best = prediction.spans[0]
    return Answers((best.text, best.start), [])  # scores are of other kinds: a window's, and all the answers'


def fills_of_pipeline(pipeline: Any, question: Question) -> Answers:
    found = pipeline(question.text)
    return Answers([(each["token_str"], each["sequence"]) for each in found], [each[SCORE] for each in found])


def fills_of_ours(prediction: Prediction, question: Question) -> Answers:
    fills = prediction.fills[0]
    return Answers([(each.text, each.filled) for each in fills], [each.score for each in fills])


def windows(pipeline: Any, question: Question, limits: dict[str, Any]) -> int:
    """Returns how many windows a pipeline reads the passage of a question in."""
    told = {"max_length": limits["max_seq_len"], "stride": limits["doc_stride"], "truncation": "only_second"}
    encoded = pipeline.tokenizer(question.text, question.context, return_overflowing_tokens=True, **told)
    return len(encoded["input_ids"])


def entities_by_words(pipeline: Any, question: Question) -> list[tuple[str, str, int]]:
    """Returns the entities of a text of words, each with the best tag of its first token."""
    words, found, place = question.text.split(" "), [], 0
    encoded = pipeline.tokenizer(words, is_split_into_words=True, return_tensors="pt", truncation=True)
    owners = encoded.word_ids()
    best = pipeline.model(**encoded).logits[0].argmax(-1).tolist()
    label_before = ""
    for number, word in enumerate(words):
        tag = pipeline.model.config.id2label[best[owners.index(number)]] if number in owners else "O"
        label = "" if tag == "O" else tag.partition("-")[2] or tag
        if label and label == label_before and not tag.startswith("B-"):
            first = found[-1][2]
            found[-1] = (label, question.text[first : place + len(word)], first)
        elif label:
            found.append((label, word, place))
        label_before, place = label, place + len(word) + 1
    return found


def answer_by_logits(pipeline: Any, question: Question, limits: dict[str, Any]) -> tuple[str, int]:
    """Returns the answer with the highest sum of logits over all windows of a passage."""
    told = {"max_length": limits["max_seq_len"], "stride": limits["doc_stride"], "truncation": "only_second"}
    more = {"return_overflowing_tokens": True, "return_offsets_mapping": True, "padding": True}
    encoded = pipeline.tokenizer(question.text, question.context, return_tensors="pt", **told, **more)
    network = {name: encoded[name] for name in pipeline.tokenizer.model_input_names}
    best, place = -float("inf"), (0, 0)
    found = pipeline.model(**network)
    for row, offsets in enumerate(encoded["offset_mapping"].tolist()):
        is_context = torch.tensor([owner == 1 for owner in encoded.sequence_ids(row)])
        starts, ends = (
            each[row].masked_fill(~is_context, -torch.inf) for each in (found.start_logits, found.end_logits)
        )
        sums = starts[:, None] + ends[None, :]
        allowed = torch.ones_like(sums).triu().tril(limits["max_answer_len"] - 1) > 0
        value, index = sums.masked_fill(~allowed, -torch.inf).flatten().max(0)
        if value > best:
            start, end = divmod(int(index), len(offsets))
            best, place = float(value), (offsets[start][0], offsets[end][1])
    return without_space(question.context or "", *place)


def without_space(text: str, start: int, end: int) -> tuple[str, int]:
    """Returns a part of a text and its start: to a pipeline, spaces belong to SentencePieces."""
    part = text[start:end].lstrip()
    return part.rstrip(), end - len(part)


def scores(prediction: Prediction) -> list[float]:
    return [each.score for each in prediction.spans]


LABELS = Comparison(label_of_pipeline, label_of_ours, {"top_k": None})
ENTITIES = Comparison(entities_of_pipeline, entities_of_ours, {"aggregation_strategy": "first"})
ANSWERS = Comparison(answer_of_pipeline, answer_of_ours, {"align_to_words": False})
FILLS = Comparison(fills_of_pipeline, fills_of_ours, {})
COMPARISONS = {
    "text-classification": LABELS,
    "token-classification": ENTITIES,
    "question-answering": ANSWERS,
    "fill-mask": FILLS,
}


def limits(task: str, told: Any) -> dict[str, Any]:
    """Returns the options that make a pipeline read as long texts, and as long answers, as the model."""
    if task == "question-answering":
        return {
            "max_seq_len": told.max_length,
            "doc_stride": told.stride,
            "max_answer_len": told.max_answer_length,
        }
    if task == "fill-mask":
        return {"top_k": told.num_fills}
    return {"truncation": True, "max_length": told.max_length} if task == "text-classification" else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=COMPARISONS)
    parser.add_argument("original", help="a folder of transformers")
    parser.add_argument("model", help="a saved model of tfxl, adopted from it")
    parser.add_argument("files", nargs="+", help="paths or patterns")
    parser.add_argument("--rows", type=int, default=25, help="of each file")
    arguments = parser.parse_args()
    model, comparison = tfxl.load(arguments.model), COMPARISONS[arguments.task]
    options = {**comparison.options, **limits(arguments.task, model.task.settings)}
    pipeline = transformers.pipeline(arguments.task, model=arguments.original, framework="pt", **options)
    counts: Counter[str] = Counter()
    for path in sorted(itertools.chain.from_iterable(map(glob.glob, arguments.files))):
        rows = list(itertools.islice(questions(Path(path), pipeline.tokenizer, arguments.task), arguments.rows))
        counts += compare(pipeline, model, comparison, rows, options, name=Path(path).name)
    print(f"\nall files: {told(counts)}")


def compare(
    pipeline: Any,
    model: tfxl.Model,
    comparison: Comparison,
    rows: list[Question],
    options: dict[str, Any],
    *,
    name: str,
) -> Counter[str]:
    """Compares the answers to the rows of a file, prints what differs, and returns what is equal."""
    contexts = [row.context or "" for row in rows] if rows and rows[0].context is not None else None
    predictions = model.predict([row.text for row in rows], contexts)
    counts, largest = Counter(rows=len(rows)), 0.0
    for row, prediction in zip(rows, predictions, strict=True):
        theirs, ours = comparison.theirs(pipeline, row), comparison.ours(prediction, row)
        counts["named"] += len(theirs.said) if isinstance(theirs.said, list) else 1
        pieces = windows(pipeline, row, options) if row.context is not None else 1
        counts["in windows"] += pieces > 1
        if theirs.said == ours.said:
            counts["equal"] += 1
            counts["equal in windows"] += pieces > 1
            largest = max([largest, *(abs(a - b) for a, b in zip(theirs.scores, ours.scores, strict=True))])
            continue
        print(f"  {name}, {pieces} windows: {row.text!r}\n    pipeline {theirs.said}\n    tfxl     {ours.said}")
        if comparison in (ENTITIES, ANSWERS):
            own = (
                entities_by_words(pipeline, row) if comparison is ENTITIES else answer_by_logits(pipeline, row, options)
            )
            counts["equal to its network"] += own == ours.said
            print(f"    network  {'the same as tfxl' if own == ours.said else own}")
    print(f"{name}: {told(counts)}; scores differ by up to {largest:.1e}", flush=True)
    return counts


def told(counts: Counter[str]) -> str:
    """Returns in words what was counted."""
    words = f"{counts['equal']} of {counts['rows']} answers equal ({counts['named']} named)"
    if counts["in windows"]:
        words += f", {counts['equal in windows']} of {counts['in windows']} of passages in several windows"
    if counts["equal to its network"]:
        words += f", {counts['equal to its network']} more equal to what the pipeline's network says"
    return words


if __name__ == "__main__":
    main()
