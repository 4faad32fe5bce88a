"""Gives embeddings with which the texts that belong to a text are found."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl.backend import keras, tf, without_autograph
from tfxl.errors import DataError, ModelError, RecipeError
from tfxl.example import Example, Match, Prediction
from tfxl.heads import Head
from tfxl.tasks import Tensors
from tfxl.tasks._contrastive import RankingLoss
from tfxl.tasks._nearest import Nearest
from tfxl.tasks._ranks import Ranks, ranks, right_candidates
from tfxl.tasks._teacher import DistanceLoss, Teacher
from tfxl.tasks._vectors import VectorTask

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer


class Retrieval(VectorTask):
    """Embeddings of texts, trained on pairs that belong together: translations, questions and answers, text and class.

    Each text is to be nearer to its second text than to those of the rest of the batch (Henderson et al. 2017), so a
    larger batch is a harder question. With a `teacher` the pairs are translations, and both are drawn to the teacher's
    vector of the text: so a language is added to an encoder (Reimers and Gurevych 2020).

    A model answers single texts: `text` with their vectors and, with an index (`with_index`), the texts that are
    nearest; `second_text` with the vectors of what is to be found. It is measured by where the right second text stands
    among all of its language, and back. Multilingual-e5 needs no training at all: set training.epochs = 0.

    Example:
        >>> task = Retrieval(prefix="query: ")
        >>> model = task.model(Bert(weights="offline:multilingual-e5-small").build())
    """

    class Settings(VectorTask.Settings):
        """How pairs are learned, and what is answered."""

        temperature: float = Field(default=0.05, gt=0)
        """What cosines are divided by before they are compared; smaller looks more at the hardest negatives."""
        both_directions: bool = True
        """Whether second texts also look for their texts."""
        negatives: int = Field(default=0, ge=0)
        """How many `choices` each example has: texts that look right and are not."""
        label_positives: bool = False
        """Whether all second texts of the same label are right; if not, they only do not count as wrong."""
        matryoshka: tuple[int, ...] = ()
        """Sizes at which the first dimensions alone are trained to do as well, such as `[384, 192, 96]`."""
        teacher: dict[str, Any] | None = None
        """An encoder as in `[encoder]`: its vectors of the texts are learned, instead of what belongs together."""
        teacher_head: str | dict[str, Any] = "embedding"
        """How the teacher's vectors are made; a head without weights of its own."""
        dimensions: int = Field(default=0, ge=0)
        """Above 0: so many dimensions are served; the model should have learned this size with `matryoshka`."""
        matches: int = Field(default=10, ge=1)
        """How many texts are found, where there is an index."""

        @model_validator(mode="after")
        def _fits_a_teacher(self) -> Self:
            if any(size < 1 for size in self.matryoshka):
                raise ValueError("matryoshka sizes of at least 1")
            if self.teacher and (self.negatives or self.matryoshka or self.label_positives):
                raise ValueError("no negatives, matryoshka or label_positives with a teacher, who compares no texts")
            if self.teacher and self.stride:
                raise ValueError("no stride with a teacher, who has one vector for each text, not for each window")
            return self

    metrics = (
        {"kind": "recall", "k": 1},
        {"kind": "recall", "k": 1, "direction": "backward"},
        {"kind": "recall", "k": 5},
        {"kind": "recall", "k": 10},
        {"kind": "mrr"},
        {"kind": "ndcg", "k": 10},
    )
    measured_on = ("text", "second_text")
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        told = self.settings
        self.side = "text"
        """Which texts this task answers: queries, or what is to be found."""
        self.index: Nearest | None = None
        self._teacher: Teacher | None = None
        if told.teacher:
            self._teacher = Teacher(told.teacher, told.teacher_head, max_length=told.max_length)

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """`text`, or `second_text` for the task that `tasks` names so."""
        return (self.side,)

    @property
    def training_inputs(self) -> tuple[str, ...]:
        """`text`, `second_text` and, with `negatives`, `choices`."""
        return ("text", "second_text", "choices") if self.settings.negatives else ("text", "second_text")

    @property
    def num_choices(self) -> int:
        """The negatives of each text, in training alone."""
        return self.settings.negatives

    @property
    def training_rows(self) -> int:
        """A text, its second text, and its negatives."""
        return 2 + self.settings.negatives

    @property
    def tasks(self) -> Mapping[str, Retrieval]:
        """`second_text`, which gives vectors of the texts that are to be found."""
        if self.side != "text":
            return {}
        view = copy.copy(self)
        view.side, view.index = "second_text", None
        return {"second_text": view}

    @property
    def resources(self) -> Mapping[str, tf.Variable]:
        """The index, if there is one."""
        return self.index.variables if self.index else {}

    def with_resources(self, resources: Mapping[str, tf.Variable]) -> Self:
        """Returns the task with the index of a saved model."""
        index = Nearest.of(resources)
        return self._with(index) if index else self

    def with_index(self, vectors: np.ndarray, texts: Sequence[str], ids: Sequence[str] = ()) -> Self:
        """Returns the task with texts in which it searches exactly, in the graph: for up to some 100,000 of them.

        Args:
            vectors: `[texts, dimensions]`, what `second_text` gives for the texts.
            texts: What is found.
            ids: What each text is called, such as its class; nothing if empty.

        Raises:
            ModelError: There are no texts, or they differ in number from vectors or ids.
        """
        names = ids or [""] * len(texts)
        if not 0 < len(texts) == len(vectors) == len(names):
            raise ModelError(
                f"{len(texts)} texts, {len(vectors)} vectors, {len(names)} ids",
                expected="at least one text, a vector for each, and an id for each or none",
                fix="Give them in the same order, one for each text.",
            )
        encoded = [[each.encode("utf-8", "replace") for each in column] for column in (texts, names)]
        return self._with(Nearest(np.asarray(vectors, np.float32), *encoded))

    def _with(self, index: Nearest) -> Self:
        task = copy.copy(self)
        task.index = index
        return task

    def observe(self, example: Example) -> None:
        """Checks the pair, and that it has as many negatives as it should.

        Raises:
            DataError: It has not.
        """
        self.gold(example)
        if len(example.choices) < self.settings.negatives:
            raise DataError(
                f"{example.place}: {len(example.choices)} choices",
                expected=f"{self.settings.negatives} of them, texts that do not belong to the text",
                fix="Name their columns in data.reader, or lower task.negatives.",
            )

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `label` `[batch]` and `weight`, and with a teacher its vectors as `target` `[batch, dimensions]`."""
        told = self.settings
        if told.negatives:
            examples = [_cut(example, told.negatives) for example in examples]
        features = super().features(examples)
        if self._teacher is not None:
            texts = [told.prefix.encode() + text for text in features["text"]]
            features["target"] = self._teacher.vectors(texts)
        features["label"] = np.array([str(example.label or "").encode() for example in examples], object)
        return {**features, "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes one text a row; in training a text, its second text and its negatives as rows beside each other."""
        if not set(self.training_inputs) <= set(batch):
            return self.encode_rows([self.prefixed(self.side, batch[self.side])], batch, tokenizer)
        columns = {"text": batch["text"], "second_text": batch["second_text"]}
        for place in range(self.settings.negatives):
            columns[f"negative {place}"] = batch["choices"][:, place]
        prefixed = [self.prefixed(name, column) for name, column in columns.items()]
        encoded = self.encode_rows(prefixed, batch, tokenizer)
        if "weight" not in batch:
            return encoded
        target = _prints(list(columns.values()), batch["label"])
        if "target" in batch:
            target = tf.repeat(batch["target"], len(columns), axis=0)
        return {**encoded, "target": target, "weight": tf.repeat(batch["weight"], len(columns))}

    @without_autograph
    def model(self, encoder: keras.Model, head: Head | None = None) -> keras.Model:
        """Returns the model; see `Task`.

        Raises:
            RecipeError: It has fewer dimensions than the settings ask for.
        """
        model = super().model(encoder, head)
        width, told = model.output.shape[-1], self.settings
        if wrong := [size for size in (*told.matryoshka, told.dimensions) if size > width]:
            raise RecipeError(
                f"{wrong[0]} dimensions of embeddings that have {width}",
                expected=f"task.dimensions and task.matryoshka up to {width}",
                fix="Lower the number, or set head.projection.",
            )
        return model

    def loss(self) -> keras.losses.Loss:
        """Returns the loss of the pairs of a batch, or with a teacher the distance from its vectors."""
        told = self.settings
        if told.teacher:
            return DistanceLoss()
        return RankingLoss(
            rows_per_text=self.training_rows,
            temperature=told.temperature,
            both_directions=told.both_directions,
            label_positives=told.label_positives,
            sizes=told.matryoshka,
        )

    def check_logits(self, logits: tf.Tensor) -> None:
        """Checks that embeddings have as many dimensions as the vectors of the teacher, if there is one.

        Raises:
            RecipeError: They have not.
        """
        if self._teacher is None:
            return
        own, wanted = int(logits.shape[-1]), self._teacher.dimensions
        if own != wanted:
            raise RecipeError(
                f"embeddings of {own} dimensions that are to learn a teacher's of {wanted}",
                expected="as many dimensions as the teacher's vectors have",
                fix=f"Set head.projection = {wanted}, or choose an encoder or a teacher of the other's width.",
            )

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives `embedding` `[batch, dimensions]` of length 1, and with an index what `Nearest.search` gives."""
        told = self.settings
        vectors = self.vectors(logits[:, : told.dimensions or None], encoded)
        answer = {"embedding": vectors}
        if self.index is not None:
            answer |= self.index.search(vectors, told.matches)
        return {**answer, "truncated": encoded["truncated"]} if "truncated" in encoded else answer

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record with `vector` and, with an index, `matches`."""
        columns = zip(*(answer.get(name, ()) for name in ("matches", "match_scores", "match_ids")), strict=True)
        matches = tuple(Match(text.decode(), float(score), name.decode()) for text, score, name in columns)
        vector = array("f", np.asarray(answer["embedding"], np.float32).tobytes())
        return Prediction(vector=vector, matches=matches, truncated=bool(answer.get("truncated", False)))

    def gold(self, example: Example) -> dict[str, int]:
        """Returns the best ranks.

        Raises:
            DataError: The example is no pair.
        """
        if example.second_text is None:
            raise DataError(
                f"{example.place}: no second text",
                expected="a pair of texts that belong together",
                fix='Name the column of the second text: second_text = "…" in data.reader.',
            )
        return {"forward": 1, "backward": 1}

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Ranks]]:
        """Returns at which rank the right texts stand among those of the same language, `forward` and `backward`.

        Args:
            examples: Pairs.
            predictions: The vectors of their texts, then those of their second texts.
        """
        vectors = np.stack([np.asarray(each.vector, np.float32) for each in predictions])
        sides = np.split(vectors, 2)
        found: list[dict[str, Ranks]] = [{} for _ in examples]
        for language in dict.fromkeys(example.language for example in examples):
            rows = [row for row, example in enumerate(examples) if example.language == language]
            own = [examples[row] for row in rows]
            pairs = [(each.text, each.second_text or "", str(each.label or "")) for each in own]
            forward = _ranks_of(pairs, *(side[rows] for side in sides))
            turned = [(second, text, label) for text, second, label in pairs]
            backward = _ranks_of(turned, *(side[rows] for side in reversed(sides)))
            for row, there, back in zip(rows, forward, backward, strict=True):
                found[row] = {"forward": there, "backward": back}
        return found


def _ranks_of(pairs: Sequence[tuple[str, str, str]], queries: np.ndarray, seconds: np.ndarray) -> list[Ranks]:
    candidates, right = right_candidates(pairs)
    first = {second: row for row, (_, second, _) in reversed(list(enumerate(pairs)))}
    return ranks(queries, seconds[[first[candidate] for candidate in candidates]], right)


def _cut(example: Example, negatives: int) -> Example:
    return replace(example, choices=example.choices[:negatives])


def _prints(columns: Sequence[tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, 2]` int64: a fingerprint of each row's text, and one of its label, 0 for none."""
    texts = tf.reshape(tf.stack(columns, axis=1), [-1])
    labels = tf.where(tf.strings.length(labels) > 0, tf.strings.to_hash_bucket_fast(labels, 2**62) + 1, 0)
    return tf.stack([tf.strings.to_hash_bucket_fast(texts, 2**62), tf.repeat(labels, len(columns))], axis=1)
