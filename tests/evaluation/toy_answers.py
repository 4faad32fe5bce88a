"""Fabricated rows and answers for the tests of this folder; they stand for no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxl.evaluation.evaluate import Settings, evaluate
from tfxl.evaluation.record import Evaluation
from tfxl.example import Example, Prediction
from tfxl.metrics.accuracy import Accuracy
from tfxl.metrics.joint import Joint
from tfxl.metrics.macro_f1 import MacroF1
from tfxl.metrics.micro_f1 import MicroF1
from tfxl.metrics.spans import Spans

LABELS = ("negative", "neutral", "positive")
TEXTS = {
    "en": "The room was clean, but the bus was late.",
    "de": "Das Zimmer war groß und süß.",
    "zh": "这家酒店很吵，早餐也不好吃。",
    "ar": "الغرفة نظيفة والخدمة ممتازة",
    "hi": "कमरा साफ़ था और खाना अच्छा था।",
    "th": "ห้องพักสะอาดมาก 👩‍👩‍👧 🇩🇪",
}
QUICK = Settings(samples=100)


def make(
    *,
    right: float = 0.8,
    rows: int = 24,
    seed: int = 0,
    labels: Sequence[str] = LABELS,
    languages: Sequence[str] = tuple(TEXTS),
) -> tuple[list[Example], list[Prediction]]:
    generator = np.random.default_rng(seed)
    examples, predictions = [], []
    for language in languages:
        for index in range(rows):
            gold = labels[index % len(labels)]
            scores = generator.dirichlet(np.ones(len(labels)))
            answer = gold if generator.random() < right else labels[generator.integers(len(labels))]
            scores = dict(zip(labels, sorted(scores), strict=True))
            scores[answer], scores[labels[-1]] = scores[labels[-1]], scores[answer]
            text = TEXTS[language] * (1 + index % 7)
            domain = ("hotel", "phone")[index % 2]
            examples.append(Example(text, label=gold, language=language, domain=domain, id=f"test.jsonl:{index + 1}"))
            predictions.append(Prediction(answer, scores))
    return examples, predictions


def evaluated(*, trained: Sequence[str] = ("en", "de"), settings: Settings = QUICK, **made) -> Evaluation:
    return evaluate(*make(**made), [Accuracy(), MacroF1()], trained_languages=trained, settings=settings)


def evaluated_spans(tags: Mapping[str, str], *, rows: int = 6) -> Evaluation:
    """An evaluation of words' tags, all answered rightly, each language's words with one tag; no span has no score."""
    examples = [
        Example(TEXTS[code], label=(tag,), language=code, domain=tag, id=str(row))
        for code, tag in tags.items()
        for row in range(rows)
    ]
    answers = [example.label for example in examples]
    predictions = [Prediction()] * len(examples)
    return evaluate(examples, predictions, [Spans()], answers=answers, trained_languages=["en"], settings=QUICK)


def evaluated_joint(tasks: Mapping[str, str], *, rows: int = 6) -> Evaluation:
    """An evaluation of the tasks `mood` and `topic`; each language's rows are for one of them."""
    examples = [
        Example(TEXTS[code], label={task: "good"}, language=code, id=str(row))
        for code, task in tasks.items()
        for row in range(rows)
    ]
    answers = [dict.fromkeys(each.label, "bad" if row % 3 else "good") for row, each in enumerate(examples)]
    kinds = {task: {"kind": "accuracy"} for task in ("mood", "topic")}
    metrics = [Joint(metrics=kinds), *(Joint(metrics={task: kind}) for task, kind in kinds.items())]
    predictions = [Prediction()] * len(examples)
    return evaluate(examples, predictions, metrics, answers=answers, trained_languages=["en"], settings=QUICK)


def evaluated_sets(*, labels: Sequence[str] = LABELS, rows: int = 12) -> Evaluation:
    """An evaluation of answers that are sets of labels, some of them empty."""
    generator = np.random.default_rng(0)
    examples, predictions = [], []
    for language, text in TEXTS.items():
        for index in range(rows):
            gold = tuple(label for label in labels if generator.random() < 0.4)
            scores = {label: 0.3 * (label in gold) + 0.7 * float(generator.random()) for label in labels}
            found = tuple(label for label in labels if scores[label] >= 0.5)
            examples.append(Example(text, label=gold, language=language, id=f"test.jsonl:{index + 1}"))
            predictions.append(Prediction(scores=scores, labels=found))
    metrics = [MicroF1(), MacroF1()]
    answers = [prediction.labels for prediction in predictions]
    return evaluate(examples, predictions, metrics, answers=answers, trained_languages=["en"], settings=QUICK)
