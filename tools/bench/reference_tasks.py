"""The tasks of reference.py: for each, what PyTorch and transformers make of a recipe's rows.

A task turns examples into items, builds a model of transformers' classes, and says what is lost, answered and scored.
Of tfxl it takes settings and rows only.
"""

from __future__ import annotations

import itertools
import re
import string
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from scipy.stats import pearsonr, spearmanr
from seqeval import metrics as seqeval
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, precision_recall_curve
from torch import nn
from torch.nn import functional

from tfxl import registry
from tfxl.example import Example

Inputs = dict[str, torch.Tensor]
UNLABELLED = -100
DROPOUT = 0.1
BEST = 20
"""How many starts and ends of answers are put together."""


@dataclass
class Item:
    """What is read at once.

    Attributes:
        rows: Rows of ids: one a text or pair, one a choice, or the two sides of a pair that are read apart.
        target: What the loss takes.
        place: What is needed to make an answer of the output, such as where the words stand.
        group: The language, for the sampler.
    """

    rows: list[list[int]]
    target: Any = None
    place: Any = None
    group: tuple[str, ...] = ()


class Task(ABC):
    """One kind of question.

    Args:
        part: tfxl's task, for its settings.
        folder: The encoder as a folder of transformers.
        tokenizer: transformers' own.
        transformers_head: Whether the head is that of the …For… class, where the convention is another one.
    """

    understood: ClassVar[tuple[str, ...]]
    """The settings that change something here; a recipe with others is refused."""
    precise: ClassVar[bool] = False
    """Whether answers are computed in float32 even where training is not."""
    moves_all_rows: ClassVar[bool] = False
    """Whether rows of the word embeddings move that the training texts do not have."""

    def __init__(self, part: Any, folder: Path, tokenizer: Any, *, transformers_head: bool) -> None:
        self.part, self.told, self.folder, self.tokenizer = part, part.settings, folder, tokenizer
        self.transformers_head = transformers_head
        self.labels = list(getattr(part, "tags", getattr(part.settings, "labels", ())))

    @abstractmethod
    def model(self) -> Any:
        """Returns the model; its encoder is `bert`."""

    @abstractmethod
    def items(self, examples: Sequence[Example]) -> list[Item]:
        """Returns what is read of examples."""

    @abstractmethod
    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        """Returns the loss of a batch."""

    @abstractmethod
    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        """Returns the answer to each item of a batch."""

    @abstractmethod
    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        """Returns the scores of the rows of one language, between 0 and 1."""

    def answers(self, items: Sequence[Item], found: Sequence[Any]) -> list[Any]:
        """Returns an answer for each example from those to the items."""
        return list(found)

    def start(self, model: Any, examples: Sequence[Example]) -> None:
        """Lets a new head start from what the training rows say."""
        raise SystemExit("--label-frequencies: only where a text has several labels")

    def published(self, model: Any) -> Any:
        """Returns what `save_pretrained` can write so that transformers reads it; None if there is nothing."""
        return model if isinstance(model, transformers.PreTrainedModel) else None

    def class_of(self, name: str, labels: Sequence[str] = ()) -> Any:
        """Returns a model of one of transformers' classes, with all of the encoder's weights."""
        names = {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
        told: dict[str, Any] = {"num_labels": len(labels), **names} if labels else {}
        if name == "BertModel":
            told["add_pooling_layer"] = False
        model, loaded = getattr(transformers, name).from_pretrained(self.folder, output_loading_info=True, **told)
        missing = sorted(key for key in loaded["missing_keys"] if "encoder." in key or "embeddings." in key)
        if missing:
            raise SystemExit(f"{self.folder} has no weights for {', '.join(missing)}: they would be random")
        return model

    def encode(self, *texts: Any, **options: Any) -> Any:
        return self.tokenizer(*texts, truncation=options.pop("truncation", True), max_length=self.length, **options)

    @property
    def length(self) -> int:
        return self.told.max_length


def dense(width: int, units: int) -> nn.Linear:
    layer = nn.Linear(width, units)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over all real tokens, special ones included, `[rows, hidden]`."""
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


class MeanHead(nn.Module):
    """Logits of the mean of the last hidden states; without units, that mean itself with length 1."""

    def __init__(self, bert: Any, units: int = 0) -> None:
        super().__init__()
        self.bert, self.dropout = bert, nn.Dropout(DROPOUT)
        self.dense = dense(bert.config.hidden_size, units) if units else None

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        pooled = mean(self.bert(**inputs).last_hidden_state, inputs["attention_mask"])
        if self.dense is None:
            return functional.normalize(pooled.float(), dim=-1)
        return self.dense(self.dropout(pooled))


# One label, several labels, choices


class Labels(Task):
    """One label a text or pair: accuracy and macro-F1."""

    understood = ("labels", "label_names", "second_text", "max_length", "entailment", "contradiction")
    problem = "single_label_classification"

    def model(self) -> Any:
        if not self.transformers_head:
            return MeanHead(self.class_of("BertModel"), len(self.labels))
        model = self.class_of("BertForSequenceClassification", self.labels)
        model.config.problem_type = self.problem
        return model

    def items(self, examples: Sequence[Example]) -> list[Item]:
        pairs = "second_text" in self.part.text_inputs
        texts = ([each.text, each.second_text] if pairs else [each.text] for each in examples)
        return [
            Item([self.encode(*own)["input_ids"]], self.target(each)) for own, each in zip(texts, examples, strict=True)
        ]

    def target(self, example: Example) -> Any:
        return self.labels.index(example.label)

    def logits(self, model: Any, inputs: Inputs) -> torch.Tensor:
        found = model(**inputs)
        return (found if isinstance(found, torch.Tensor) else found.logits).float()

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        return functional.cross_entropy(self.logits(model, inputs), torch.tensor([each.target for each in items]))

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return [self.labels[place] for place in self.logits(model, inputs).argmax(-1)]

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        gold = [each.label for each in examples]
        return {"accuracy": accuracy_score(gold, answers), "macro_f1": f1_score(gold, answers, average="macro")}


class Multilabel(Labels):
    """All labels that apply, from thresholds of the validation data: micro-F1 and macro-F1."""

    understood = ("labels", "label_names", "max_length", "threshold", "thresholds", "search", "search_rows")
    problem = "multi_label_classification"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.thresholds = np.array([self.told.thresholds.get(label, self.told.threshold) for label in self.labels])

    @torch.no_grad()
    def start(self, model: Any, examples: Sequence[Example]) -> None:
        """Gives the head the log-odds of each label as bias, one row more counted with it and one without."""
        hot = np.array([self.target(each) for each in examples])
        odds = (hot.sum(0) + 1) / (len(hot) - hot.sum(0) + 1)
        head = model.dense if isinstance(model, MeanHead) else model.classifier
        head.bias.copy_(torch.tensor(np.log(odds)))

    def target(self, example: Example) -> list[float]:
        own = [example.label] if isinstance(example.label, str) else example.label
        return [float(label in own) for label in self.labels]

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        target = torch.tensor([each.target for each in items])
        return functional.binary_cross_entropy_with_logits(self.logits(model, inputs), target)

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return list(self.logits(model, inputs).sigmoid().double().numpy())

    def tune(self, examples: Sequence[Example], answers: Sequence[Any]) -> None:
        """Chooses the thresholds on the validation data."""
        gold, found = np.array([self.target(each) for each in examples]) > 0, np.stack(answers)
        if self.told.search == "none" or not gold.any():
            return
        shared = best_threshold(gold.ravel(), found.ravel(), self.told.threshold)
        for place in range(len(self.labels)):
            own = self.told.search == "f1" and gold[:, place].sum() >= self.told.search_rows
            self.thresholds[place] = best_threshold(gold[:, place], found[:, place], shared) if own else shared

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        gold, found = np.array([self.target(each) for each in examples]) > 0, np.stack(answers) >= self.thresholds
        # A label that is neither gold nor predicted has no F1, and does not count in the mean.
        averages = {"micro_f1": "micro", "macro_f1": "macro"}
        return {name: f1_score(gold, found, average=way, zero_division=np.nan) for name, way in averages.items()}


def best_threshold(gold: np.ndarray, scores: np.ndarray, default: float) -> float:
    """Returns the threshold of the best F1, halfway to the next lower score; of several the nearest to `default`."""
    precision, recall, edges = precision_recall_curve(gold, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    halfway = (edges + np.concatenate([[0.0], edges[:-1]])) / 2
    candidates = halfway[np.isclose(f1[:-1], f1[:-1].max())]
    return float(candidates[np.argmin(np.abs(candidates - default))])


class Choices(Labels):
    """Which of several texts goes with a text: accuracy."""

    understood = ("num_choices", "second_text", "prompts", "max_length")

    def model(self) -> Any:
        return (
            self.class_of("BertForMultipleChoice")
            if self.transformers_head
            else MeanHead(self.class_of("BertModel"), 1)
        )

    def items(self, examples: Sequence[Example]) -> list[Item]:
        return [
            Item([self.encode(self.asked(each), choice)["input_ids"] for choice in each.choices], int(each.label))
            for each in examples
        ]

    def asked(self, example: Example) -> str:
        if not self.told.second_text:
            return example.text
        return f"{example.text} {self.told.prompts.get(example.second_text, example.second_text)}"

    def logits(self, model: Any, inputs: Inputs) -> torch.Tensor:
        number = self.told.num_choices
        if self.transformers_head:
            inputs = {name: values.reshape(-1, number, values.shape[-1]) for name, values in inputs.items()}
        return super().logits(model, inputs).reshape(-1, number)

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return self.logits(model, inputs).argmax(-1).tolist()

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        return {"accuracy": accuracy_score([int(each.label) for each in examples], answers)}


# Numbers


class Numbers(Labels):
    """A number a text or pair: Spearman's correlation and the mean distance."""

    understood = ("second_text", "max_length", "activation")
    problem = "regression"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.labels = ["number"]

    def target(self, example: Example) -> float:
        return float(example.label)

    def numbers(self, model: Any, inputs: Inputs) -> torch.Tensor:
        found = self.logits(model, inputs)[:, 0]
        return found.sigmoid() if self.told.activation == "sigmoid" else found

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        return functional.mse_loss(self.numbers(model, inputs), torch.tensor([each.target for each in items]))

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return self.numbers(model, inputs).tolist()

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        gold = [self.target(each) for each in examples]
        return {
            "spearman": float(spearmanr(gold, answers).statistic),
            "mean absolute error": float(mean_absolute_error(gold, answers)),
        }


# Words


class Tags(Task):
    """A tag for each word: F1, precision and recall of spans, or the share of right tags."""

    understood = ("labels", "max_length", "scheme")

    def model(self) -> Any:
        return self.class_of("BertForTokenClassification", self.labels)

    def items(self, examples: Sequence[Example]) -> list[Item]:
        return [self.item(each.words, each.label) for each in examples]

    def item(self, words: Sequence[str], tags: Sequence[str]) -> Item:
        """Each word is cut alone, with a space before it; its first piece has its tag."""
        encoded = self.encode(list(words), is_split_into_words=True)
        target, firsts = [UNLABELLED] * len(encoded["input_ids"]), {}
        for place, word in enumerate(encoded.word_ids()):
            if word is not None and word not in firsts:
                firsts[word], target[place] = place, self.labels.index(tags[word])
        return Item([encoded["input_ids"]], target, (len(words), firsts))

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        return self.loss_of(model(**inputs).logits, [each.target for each in items])

    def loss_of(self, logits: torch.Tensor, targets: Sequence[list[int]]) -> torch.Tensor:
        width = logits.shape[1]
        target = torch.tensor([each + [UNLABELLED] * (width - len(each)) for each in targets])
        return functional.cross_entropy(logits.float().flatten(0, 1), target.flatten(), ignore_index=UNLABELLED)

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return self.tags_of(model(**inputs).logits, [each.place for each in items])

    def tags_of(self, logits: torch.Tensor, places: Sequence[tuple[int, dict[int, int]]]) -> list[list[str]]:
        """Returns the words' tags; words that were cut off, or have no piece, are outside."""
        best, outside = logits.argmax(-1).tolist(), "O" if "O" in self.labels else self.labels[0]
        return [
            [self.labels[row[firsts[word]]] if word in firsts else outside for word in range(words)]
            for row, (words, firsts) in zip(best, places, strict=True)
        ]

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        return self.scores_of([list(each.label) for each in examples], list(answers))

    def scores_of(self, gold: list[list[str]], found: list[list[str]]) -> dict[str, float]:
        if not self.part.is_bio:
            return {"tag_accuracy": accuracy_score(*(list(itertools.chain(*side)) for side in (gold, found)))}
        measures = ("f1", "precision", "recall")
        return {f"span_{name}": getattr(seqeval, f"{name}_score")(gold, found, zero_division=0) for name in measures}


class TwoHeads(nn.Module):
    """The logits of a text and of its tokens."""

    def __init__(self, bert: Any, labels: int, tags: int) -> None:
        super().__init__()
        self.bert, self.dropout = bert, nn.Dropout(DROPOUT)
        self.text, self.tokens = (dense(bert.config.hidden_size, units) for units in (labels, tags))

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.bert(**inputs).last_hidden_state
        pooled = mean(hidden, inputs["attention_mask"])
        return self.text(self.dropout(pooled)), self.tokens(self.dropout(hidden))


class Joint(Task):
    """A label of the text and tags of its words, on one encoder: each alone, and the share of texts with both right."""

    understood = ("tasks", "max_length")

    def __init__(self, part: Any, folder: Path, tokenizer: Any, *, transformers_head: bool) -> None:
        super().__init__(part, folder, tokenizer, transformers_head=transformers_head)
        kinds = {spec["kind"]: name for name, spec in self.told.tasks.items()}
        if set(kinds) != {"classification", "token_classification"} or len(self.told.tasks) != 2:
            raise SystemExit(f"joint: {', '.join(kinds)}; here it is one classification and one token_classification")
        self.text, self.words = kinds["classification"], kinds["token_classification"]
        for name, other in ((self.text, Labels), (self.words, Tags)):
            check_settings(f"task.tasks.{name}", self.changed(name), (*other.understood, "weight"))
        self.weights = [float(self.told.tasks[name].get("weight", 1.0)) for name in (self.text, self.words)]
        own = {"folder": folder, "tokenizer": tokenizer, "transformers_head": False}
        self.text_task = Labels(self.part_of(self.text), **own)
        self.word_task = Tags(self.part_of(self.words), **own)

    def part_of(self, name: str) -> Any:
        spec = {key: value for key, value in self.told.tasks[name].items() if key != "weight"}
        return registry.build("tasks", spec, max_length=self.length)

    def changed(self, name: str) -> dict[str, Any]:
        """Returns the settings of a task that are not what they are by default."""
        fields = self.part_of(name).Settings.model_fields
        spec = self.told.tasks[name]
        return {key: value for key, value in spec.items() if key not in fields or value != fields[key].default}

    def model(self) -> Any:
        return TwoHeads(self.class_of("BertModel"), len(self.text_task.labels), len(self.word_task.labels))

    def items(self, examples: Sequence[Example]) -> list[Item]:
        items = [self.word_task.item(each.words, each.label[self.words]) for each in examples]
        for item, each in zip(items, examples, strict=True):
            item.target = (self.text_task.labels.index(each.label[self.text]), item.target)
        return items

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        of_text, of_words = model(**inputs)
        labels, tags = zip(*(each.target for each in items), strict=True)
        losses = (
            functional.cross_entropy(of_text.float(), torch.tensor(labels)),
            self.word_task.loss_of(of_words, tags),
        )
        return sum(weight * loss for weight, loss in zip(self.weights, losses, strict=True))

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        of_text, of_words = model(**inputs)
        labels = [self.text_task.labels[place] for place in of_text.argmax(-1)]
        return list(zip(labels, self.word_task.tags_of(of_words, [each.place for each in items]), strict=True))

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        gold = [(each.label[self.text], list(each.label[self.words])) for each in examples]
        right = [
            label == other and get_entities(tags) == get_entities(others)
            for (label, tags), (other, others) in zip(gold, answers, strict=True)
        ]
        (labels, tags), (found, found_tags) = (map(list, zip(*side, strict=True)) for side in (gold, answers))
        return {
            f"{self.text}.accuracy": accuracy_score(labels, found),
            f"{self.words}.span_f1": self.word_task.scores_of(tags, found_tags)["span_f1"],
            "both right": float(np.mean(right)),
        }


# Answers to questions


class Questions(Task):
    """An answer in a text: F1 and exact match, by the rules of MLQA and of SQuAD."""

    understood = ("max_length", "stride", "max_answer_length", "num_answers")

    def model(self) -> Any:
        return self.class_of("BertForQuestionAnswering")

    def items(self, examples: Sequence[Example]) -> list[Item]:
        return [item for number, each in enumerate(examples) for item in self.windows(number, each)]

    def windows(self, number: int, example: Example) -> list[Item]:
        texts, context = (example.text.lstrip(), example.second_text), example.second_text
        options = {"truncation": "only_second", "stride": self.told.stride, "return_overflowing_tokens": True}
        encoded = self.encode(*texts, **options, return_offsets_mapping=True)
        answer = next(iter(example.label), ("", 0))
        items = []
        for window, ids in enumerate(encoded["input_ids"]):
            sides = encoded.sequence_ids(window)
            places = [
                trimmed(context, *place) if side == 1 else None
                for side, place in zip(sides, encoded["offset_mapping"][window], strict=True)
            ]
            items.append(Item([ids], answer_tokens(places, *answer), (number, context, places)))
        return items

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        starts, ends = (torch.tensor(side) for side in zip(*(each.target for each in items), strict=True))
        return model(**inputs, start_positions=starts, end_positions=ends).loss

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        found = model(**inputs)
        sides = (found.start_logits.float().numpy(), found.end_logits.float().numpy())
        return [self.best(start, end, each) for start, end, each in zip(*sides, items, strict=True)]

    def best(self, start: np.ndarray, end: np.ndarray, item: Item) -> tuple[float, str]:
        """Returns the best answer of a window and its logit."""
        _, context, places = item.place
        allowed = np.array([place is not None for place in places])
        firsts, lasts = (np.argsort(-np.where(allowed, side[: len(allowed)], -np.inf))[:BEST] for side in (start, end))
        spans = [
            (float(start[first] + end[last]), first, last)
            for first, last in itertools.product(firsts, lasts)
            if allowed[first] and allowed[last] and 0 <= last - first < self.told.max_answer_length
        ]
        if not spans:
            return -np.inf, ""
        score, first, last = max(spans)
        return score, context[places[first][0] : places[last][1]].strip()

    def answers(self, items: Sequence[Item], found: Sequence[Any]) -> list[Any]:
        best: dict[int, tuple[float, str]] = {}
        for item, answer in zip(items, found, strict=True):
            best[item.place[0]] = max(best.get(item.place[0], (-np.inf, "")), answer)
        return [best[number][1] for number in sorted(best)]

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        found = defaultdict(list)
        for example, answer in zip(examples, answers, strict=True):
            rights = [text for text, _ in example.label] or [""]
            for rule in ("mlqa", "squad"):
                given = answer_words(answer, example.language, rule)
                pairs = [(answer_words(right, example.language, rule), given) for right in rights]
                found[f"{rule} f1"].append(max(overlap(*pair) for pair in pairs))
                found[f"{rule} exact"].append(float(any(right == own for right, own in pairs)))
        return {name: float(np.mean(values)) for name, values in found.items()}


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A piece's characters without the space before it."""
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end


def answer_tokens(places: Sequence[tuple[int, int] | None], answer: str, start: int) -> tuple[int, int]:
    """Returns the first and the last token of an answer; 0 twice where a part of it is not in the window."""
    start, end = start + len(answer) - len(answer.lstrip()), start + len(answer.rstrip())
    firsts = [token for token, place in enumerate(places) if place and place[0] <= start]
    lasts = [token for token, place in enumerate(places) if place and place[1] >= end]
    return (max(firsts), min(lasts)) if firsts and lasts and start < end else (0, 0)


ARTICLES = {
    "en": "a|an|the",
    "es": "un|una|unos|unas|el|la|los|las",
    "vi": "của|là|cái|chiếc|những",
    "de": "ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des",
}
ASCII = set(string.punctuation)


def answer_words(text: str, language: str, rule: str) -> list[str]:
    """Returns the words of an answer that count: MLQA follows the language, SQuAD takes each for English."""
    mlqa = rule == "mlqa"
    text = "".join(
        sign for sign in text.lower() if sign not in ASCII and not (mlqa and unicodedata.category(sign)[0] == "P")
    )
    language = language if mlqa else "en"
    if language in ARTICLES:
        text = re.sub(rf"\b({ARTICLES[language]})\b", " ", text)
    elif language == "ar":
        text = text.replace("ال", " ")
    elif language == "zh":
        text = re.sub("([\u4e00-\u9fa5])", r" \1 ", text)
    return text.split()


def overlap(right: list[str], given: list[str]) -> float:
    """F1 of the words that two answers share."""
    if not right or not given:
        return float(right == given)
    return 2 * sum((Counter(right) & Counter(given)).values()) / (len(right) + len(given))


# Vectors


class Vectors(Task):
    """Two texts that are read apart, each as a vector."""

    def model(self) -> Any:
        return MeanHead(self.class_of("BertModel"))

    def published(self, model: Any) -> Any:
        return model.bert

    def rows_of(self, *texts: str) -> list[list[int]]:
        """Returns the ids of both sides."""
        prefixes = (self.told.prefix, self.told.prefix if self.told.second_prefix is None else self.told.second_prefix)
        return [self.encode(prefix + text)["input_ids"] for prefix, text in zip(prefixes, texts, strict=True)]


class Alike(Vectors):
    """How alike two texts are, by the cosine of their vectors: Spearman's and Pearson's correlation."""

    understood = ("prefix", "second_prefix", "max_length", "smallest", "largest", "loss", "margin")

    def items(self, examples: Sequence[Example]) -> list[Item]:
        low, high = self.told.smallest, self.told.largest
        return [
            Item(self.rows_of(each.text, each.second_text), (float(each.label) - low) / (high - low))
            for each in examples
        ]

    def cosines(self, model: Any, inputs: Inputs) -> torch.Tensor:
        vectors = model(**inputs)
        return (vectors[::2] * vectors[1::2]).sum(-1)

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        cosines, target = self.cosines(model, inputs), torch.tensor([each.target for each in items])
        if self.told.loss == "squared_error":
            return functional.mse_loss(cosines, target)
        apart = 1 - cosines
        return (target * apart**2 + (1 - target) * functional.relu(self.told.margin - apart) ** 2).mean()

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return self.cosines(model, inputs).tolist()

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        gold = [float(each.label) for each in examples]
        return {
            "spearman": float(spearmanr(gold, answers).statistic),
            "pearson": float(pearsonr(gold, answers).statistic),
        }


class Pairs(Vectors):
    """Texts that belong together, by their vectors: accuracy@1 both ways."""

    understood = ("prefix", "second_prefix", "max_length", "temperature", "both_directions", "teacher", "matches")
    precise = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.teacher = self.model().eval() if self.told.teacher else None

    def items(self, examples: Sequence[Example]) -> list[Item]:
        return [
            Item(self.rows_of(each.text, each.second_text), (each.text, each.second_text, each.label))
            for each in examples
        ]

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        vectors = model(**inputs)
        if self.teacher is not None:
            return self.distance(vectors, inputs, items)
        texts, seconds, labels = (list(side) for side in zip(*(each.target for each in items), strict=True))
        there, back = (texts, seconds), (seconds, texts)
        losses = [ranking_loss(vectors[::2], vectors[1::2], *there, labels, self.told.temperature)]
        if self.told.both_directions:
            losses.append(ranking_loss(vectors[1::2], vectors[::2], *back, labels, self.told.temperature))
        return torch.stack(losses).mean()

    def distance(self, vectors: torch.Tensor, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        """The squared distance of both sides from the teacher's vector of the first."""
        if any(item.place is None for item in items):
            own = {name: values[::2] for name, values in inputs.items()}
            # The teacher knows the whole vocabulary, so it reads the ids that the items hold.
            width = own["input_ids"].shape[1]
            pad = self.tokenizer.pad_token_id
            ids = [item.rows[0] + [pad] * (width - len(item.rows[0])) for item in items]
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                found = self.teacher(**{**own, "input_ids": torch.tensor(ids)})
            for item, vector in zip(items, found, strict=True):
                item.place = vector
        target = torch.stack([item.place for item in items]).repeat_interleave(2, dim=0)
        return ((vectors - target) ** 2).sum(-1).mean()

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        return list(model(**inputs).reshape(len(items), 2, -1).numpy())

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        first, second = np.stack(answers).transpose(1, 0, 2)
        sides = [each.text for each in examples], [each.second_text for each in examples]
        labels = [each.label for each in examples]
        return {
            "accuracy@1": found_first(first, second, *sides, labels),
            "backward": found_first(second, first, *reversed(sides), labels),
        }


def ranking_loss(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    texts: list[str],
    others: list[str],
    labels: list[Any],
    temperature: float,
) -> torch.Tensor:
    """Cross-entropy of each text's own partner among all others of the batch that do not belong to it as well."""
    places = {other: place for place, other in reversed(list(enumerate(others)))}
    columns = sorted(places.values())
    column = {other: columns.index(place) for other, place in places.items()}
    wrong = torch.ones(len(texts), len(columns), dtype=torch.bool)
    for row, other in itertools.product(range(len(texts)), repeat=2):
        belongs = texts[row] == texts[other] or others[row] == others[other] or texts[row] == others[other]
        if belongs or (labels[row] and labels[row] == labels[other]):
            wrong[row, column[others[other]]] = False
    own = torch.tensor([column[other] for other in others])
    wrong[torch.arange(len(texts)), own] = True
    scores = queries.float() @ candidates.float()[columns].T / temperature
    return functional.cross_entropy(scores.masked_fill(~wrong, -torch.inf), own)


def found_first(
    queries: np.ndarray, candidates: np.ndarray, texts: list[str], others: list[str], labels: list[Any]
) -> float:
    """The share of texts whose nearest candidate is right; candidates with the same words count once."""
    places = {other: place for place, other in reversed(list(enumerate(others)))}
    unique = list(places)
    right: dict[Any, set[str]] = defaultdict(set)
    for text, other, label in zip(texts, others, labels, strict=True):
        right["text", text].add(other)
        right["label", label].add(other)
    nearest = (queries @ candidates[list(places.values())].T).argmax(1)
    hits = [
        unique[best] in right["text", text] or (bool(label) and unique[best] in right["label", label])
        for best, text, label in zip(nearest, texts, labels, strict=True)
    ]
    return float(np.mean(hits))


# Hidden words


class FillMask(Task):
    """The words that are hidden in a text, for any recipe's texts: the share of hidden pieces that is right."""

    understood: ClassVar[tuple[str, ...]] = ()
    moves_all_rows = True

    def model(self) -> Any:
        return self.class_of("BertForMaskedLM")

    def items(self, examples: Sequence[Example]) -> list[Item]:
        return [Item([self.encode(each.text)["input_ids"]]) for each in examples]

    def hidden(self, model: Any, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Hides 15 % of the pieces as BERT does; returns their logits `[hidden, pieces]`, and ids `[rows, tokens]`."""
        special = torch.isin(inputs["input_ids"], torch.tensor(self.tokenizer.all_special_ids))
        collator = transformers.DataCollatorForLanguageModeling(self.tokenizer)
        ids, target = collator.torch_mask_tokens(inputs["input_ids"].clone(), special)
        states = model.bert(**{**inputs, "input_ids": ids}).last_hidden_state
        # The layer of the vocabulary is as large as the encoder, so it sees the hidden pieces alone.
        return model.cls(states[target != UNLABELLED]), target

    def loss(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> torch.Tensor:
        logits, target = self.hidden(model, inputs)
        return functional.cross_entropy(logits.float(), target[target != UNLABELLED])

    def read(self, model: Any, inputs: Inputs, items: Sequence[Item]) -> list[Any]:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # every seed is asked the same
            logits, target = self.hidden(model, inputs)
        asked, right = target != UNLABELLED, torch.zeros_like(target)
        right[asked] = (logits.argmax(-1) == target[asked]).long()
        return list(zip(right.sum(1).tolist(), asked.sum(1).tolist(), strict=True))

    def scores(self, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
        right, asked = np.sum(answers, axis=0)
        return {"accuracy": float(right / asked)}


TASKS: dict[str, type[Task]] = {
    "classification": Labels,
    "inference": Labels,
    "regression": Numbers,
    "multilabel": Multilabel,
    "multiple_choice": Choices,
    "token_classification": Tags,
    "joint": Joint,
    "question_answering": Questions,
    "similarity": Alike,
    "retrieval": Pairs,
}


def check_settings(where: str, spec: dict[str, Any], understood: Sequence[str]) -> None:
    """Refuses settings that would change tfxl's training or answers, but nothing here."""
    if other := sorted(set(spec) - {"kind", *understood}):
        raise SystemExit(f"{where}.{other[0]}: not covered here; covered are {', '.join(sorted(understood))}")
