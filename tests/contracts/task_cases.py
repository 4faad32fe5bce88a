"""One table of what every task is tested on: settings that it cannot do without, and a few examples it can learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from tfxl import registry
from tfxl.example import Example

SIDES = {"negative": ["schlecht", "很差", "سيئ", "बुरा"], "positive": ["sehr gut", "很好", "جيد", "अच्छा 👍"]}
"""Texts by what they are, in scripts of all kinds."""


class Case(NamedTuple):
    """A task to be tested.

    Attributes:
        kind: The task.
        settings: Its settings.
        examples: A batch that it can learn by heart.
    """

    kind: str
    settings: dict[str, Any]
    examples: list[Example]

    def __str__(self) -> str:
        return "-".join([self.kind, *(f"{key}={value}" for key, value in self.settings.items() if key != "labels")])


LABELLED = [
    Example(text * (1 + number % 2), label=label) for label, texts in SIDES.items() for number, text in enumerate(texts)
]
PAIRS = [
    Example(each.text, second_text=text, label=each.label)
    for each, text in zip(LABELLED, [text for texts in SIDES.values() for text in texts], strict=True)
]
TAGGED = [
    Example(between.join(words), label=tuple(tags.split()), words=tuple(words))
    for between, words, tags in [
        (" ", ["das", "Zimmer", "war", "gut"], "O B-X O O"),
        (" ", ["Zimmer", "groß", "und", "sehr", "gut"], "B-X I-X O B-Y I-Y"),
        ("", ["房间", "很", "干净", "，", "酒店", "吵"], "B-X O B-Y O B-X B-Y"),
        (" ", ["الغرفة", "نظيفة"], "B-X B-Y"),
        (" ", ["कमरा", "साफ़", "था"], "B-X B-Y O"),
        ("", ["ห้องพัก", "สะอาด", "👍"], "B-X B-Y O"),
        (" ", ["gut", "!"], "B-Y O"),
    ]
]
SEVERAL = [replace(each, label=(each.label,)) for each in LABELLED]
SEVERAL += [Example("sehr gut schlecht", label=("negative", "positive")), Example("...", label=())]
CHOSEN = [
    Example("Zimmer", label=label, choices=(bad, good) if label == "1" else (good, bad))
    for bad, good in zip(*SIDES.values(), strict=True)
    for label in ("0", "1")
]
"""The good one of two is right."""
CHOSEN_OF_3 = [replace(each, second_text="?", choices=(*each.choices, "schlecht")) for each in CHOSEN]
MEANINGS = {"negative": "contradiction", "positive": "entailment"}
INFERRED = [replace(each, label=MEANINGS[each.label]) for each in PAIRS]
ASKED = [
    Example(question, second_text=context, label=((answer, context.rindex(answer)),))
    for question, context, answer in [
        ("Zimmer ?", "das Zimmer war groß und gut", "groß"),
        ("wo ?", "房间很干净，酒店吵", "酒店"),
        ("ما ?", "الغرفة نظيفة والطعام جيد", "نظيفة"),
        ("क्या ?", "कमरा साफ़ था और खाना अच्छा था", "खाना"),
        ("what ?", "the food was good 👍 but the train was late", "train was late"),
        ("train ?", "the room was clean and the food was good and the food was clean but the train", "train"),
    ]
]
BELONG = [
    Example(text, second_text=second, choices=(negative,), label=label)
    for text, second, negative, label in [
        ("schlecht", "bad", "good", "mood"),
        ("酒店", "hotel", "train", None),
        ("الطعام", "the food", "good", "food"),
        ("बुरा", "very bad", "very good", "mood"),
        ("👍", "great 👍", "poor", None),
    ]
]
ALIKE = [replace(each, label=str(number % 2)) for number, each in enumerate(BELONG)]
RATED = [replace(each, label="1" if each.label == "positive" else "0.2") for each in PAIRS]
REPEATED = [Example(" ".join([word] * count)) for word in ("gut", "很", "الغرفة", "कमरा", "👍") for count in (4, 14)]
REPEATED += [Example("Zimmer <mask> Zimmer [MASK] Zimmer Zimmer")]
TWO = {"labels": ["negative", "positive"], "max_length": 24}
MOOD = {"kind": "classification", "labels": ["negative", "positive"]}
SLOTS = {"kind": "token_classification", "labels": ["O", "B-X", "I-X", "B-Y", "I-Y"]}
BOTH = [
    replace(each, label={"mood": "negative" if "Y" in "".join(each.label) else "positive", "slots": each.label})
    for each in TAGGED
]
EVERY = {
    "mood": MOOD,
    "slots": SLOTS,
    "fits": {**MOOD, "second_text": True, "weight": 0.5},
    "answer": {"kind": "question_answering", "stride": 4},
    "choose": {"kind": "multiple_choice"},
    "alike": {"kind": "similarity"},
    "find": {"kind": "retrieval", "negatives": 1},
    "masked": {"kind": "fill_mask"},
}
ROWS = {
    "mood": LABELLED,
    "slots": TAGGED,
    "fits": PAIRS,
    "answer": ASKED,
    "choose": CHOSEN,
    "alike": ALIKE,
    "find": BELONG,
    "masked": REPEATED,
}
MANY = [replace(each, label={name: each.label}) for name, rows in ROWS.items() for each in rows]
"""Rows of tasks that read texts in different ways."""
FEW = {name: EVERY[name] for name in ("mood", "answer", "choose", "find")}
MIXED = Case("joint", {"tasks": FEW, "max_length": 24}, [each for each in MANY if set(each.label) <= set(FEW)])
LABELS_AND_MASKS = {name: EVERY[name] for name in ("mood", "masked")}
WITH_MASKS = Case(
    "joint",
    {"tasks": LABELS_AND_MASKS, "max_length": 24},
    [each for each in MANY if set(each.label) <= set(LABELS_AND_MASKS)],
)

CASES = [
    Case("classification", TWO, LABELLED),
    Case("classification", {**TWO, "activation": "sigmoid"}, LABELLED),
    Case("classification", {**TWO, "second_text": True}, PAIRS),
    Case("classification", {**TWO, "class_weights": "balanced", "focal_gamma": 1.0}, LABELLED),
    Case("inference", {"max_length": 24}, INFERRED),
    Case("multiple_choice", {"max_length": 24}, CHOSEN),
    Case(
        "multiple_choice",
        {"num_choices": 3, "second_text": True, "prompts": {"?": "was"}, "max_length": 24},
        CHOSEN_OF_3,
    ),
    Case("multilabel", TWO, SEVERAL),
    Case("multilabel", {**TWO, "positive_weights": "balanced", "focal_gamma": 1.0}, SEVERAL),
    Case("token_classification", {"labels": ["O", "B-X", "I-X", "B-Y", "I-Y"], "max_length": 24}, TAGGED),
    Case(
        "token_classification",
        {"labels": ["O", "B-X", "I-X", "B-Y", "I-Y"], "max_length": 8, "stride": 2, "scheme": "none"},
        TAGGED,
    ),
    Case("joint", {"tasks": {"mood": MOOD, "slots": {**SLOTS, "head": "crf"}}, "max_length": 24}, BOTH),
    MIXED,
    WITH_MASKS,
    Case("question_answering", {"max_length": 24, "stride": 4}, ASKED),
    Case("fill_mask", {"max_length": 24}, REPEATED),
    Case(
        "fill_mask",
        {"max_length": 16, "stride": 3, "max_windows": 9, "masked_share": 0.2, "num_fills": 2, "max_masks": 3},
        REPEATED[:-1],
    ),
    Case("similarity", {"max_length": 24}, ALIKE),
    Case("similarity", {"max_length": 24, "smallest": -1.0, "largest": 2.0, "loss": "contrastive"}, ALIKE),
    Case("regression", {"max_length": 24}, RATED),
    Case("regression", {"max_length": 24, "second_text": True, "activation": "sigmoid"}, RATED),
    Case("retrieval", {"max_length": 24}, BELONG),
    Case("retrieval", {"max_length": 24, "negatives": 1, "matryoshka": [8, 6], "prefix": "query: "}, BELONG),
    Case(
        "retrieval",
        {"max_length": 24, "both_directions": False, "label_positives": True, "second_prefix": "x "},
        BELONG,
    ),
]
"""The first case of a kind is the usual one. A task that is not named here is tested without settings."""

CASES += [Case(kind, {}, LABELLED) for kind in registry.names("tasks") if kind not in {case.kind for case in CASES}]
USUAL = list({case.kind: case for case in reversed(CASES)}.values())
"""One case a task."""
