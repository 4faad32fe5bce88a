"""Gives parts of a text labels: named entities, slots, parts of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tfxl.backend import keras, tf
from tfxl.errors import DataError, did_you_mean
from tfxl.example import Example, Prediction, Span
from tfxl.layers import crf
from tfxl.registry import Spec
from tfxl.tasks import Task, Tensors
from tfxl.text import spans, units
from tfxl.text.spans import WordPlace

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

UNLABELLED = -1
FAR = 2**31 - 1
"""A byte that no text has."""
SPAN_FIELDS = {
    "text": "span_texts",
    "label": "span_labels",
    "score": "span_scores",
    "start": "span_starts",
    "end": "span_ends",
    "start_byte": "span_start_bytes",
    "end_byte": "span_end_bytes",
}
"""What `decode` calls the fields of a `Span`."""


class TokenClassification(Task):
    """Labels on stretches of text, with their places in it (Devlin et al. 2019, section 5.3).

    A text is read in units (`tfxl.text.units`), which training and serving find by the same rule. The first token of a
    unit has its label. Use the head `crf` where labels depend on their neighbours.

    Logits are `[rows, tokens, labels]`, or the potentials of a chain `[rows, tokens, labels, labels]`.

    Example:
        >>> task = TokenClassification(labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(Task.Settings):
        """What the tags are and mean, and what has one."""

        labels: tuple[str, ...] = Field(min_length=2)
        """The tags as the data spells them. Where only B-LABEL or I-LABEL is listed, the model learns the other too."""
        scheme: Literal["auto", "bio", "none"] = "auto"
        """`bio`: tags O, B-LABEL and I-LABEL make spans of several words; `none`: every word has its own. `auto` looks
        at the labels."""
        words: units.Rule = "unicode"
        """What begins a unit: white space alone (`spaces`), or also punctuation, symbols and scripts without spaces."""

        @model_validator(mode="after")
        def _labels_fit(self) -> Self:
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("labels that differ from each other")
            if self.scheme == "bio" and not looks_bio(self.labels):
                raise ValueError("O, B-LABEL and I-LABEL as labels with the scheme bio")
            return self

    default_head = "token"
    answers_tokens = False
    answer_kind = "tags"
    target_padding = UNLABELLED
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        labels, scheme = self.settings.labels, self.settings.scheme
        self.is_bio = scheme == "bio" or (scheme == "auto" and looks_bio(labels))
        self.tags = spans.complete(labels) if self.is_bio else labels
        self.scheme = spans.bio(self.tags) if self.is_bio else spans.plain(self.tags)
        self._indices = {tag: index for index, tag in enumerate(self.tags)}

    @property
    def metrics(self) -> tuple[Spec, ...]:  # type: ignore[override]
        """F1, precision and recall of spans; for tags of words the share that is right."""
        others: list[Spec] = [{"kind": "spans", "measure": measure} for measure in ("precision", "recall")]
        return ("spans", *others) if self.is_bio else ("tag_accuracy",)

    @property
    def units(self) -> int:
        """One logit a tag."""
        return len(self.tags)

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds, where the examples have labels, each word's bytes and tag, and `weight` `[batch]`.

        Words are `[batch, words]` int32: `word_starts` and `word_ends`, padded with a byte that no text has, and
        `word_tags`.
        """
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        gold = [self.gold(example) for example in examples]
        # A chain begins spans with `B-` alone, which data with `I-` alone (IO, IOB1) would never teach it.
        tags = [[self._indices[tag] for tag in (spans.begun(row) if self.is_bio else row)] for row in gold]
        places = [spans.place_words(example.text, example.words) for example in examples]
        return {
            **features,
            "word_starts": _padded([[word.start for word in row] for row in places], FAR),
            "word_ends": _padded([[word.end for word in row] for row in places], FAR),
            "word_tags": _padded(tags, UNLABELLED),
            "weight": np.ones(len(examples), np.float32),
        }

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes the texts and finds their units; in training, gives each unit the tag of the word it begins in.

        The loss of a row is the mean over its labelled units. Weights make the mean over rows that over all units.
        """
        encoded = self.encode_texts(batch, tokenizer, offsets=True)
        rows = tf.range(tf.shape(encoded["input_ids"])[0])
        encoded |= {"text": batch["text"], "owner": encoded.get("example", rows)}
        starts, ends = encoded["starts"], encoded["ends"]
        encoded["is_unit"] = units.at_tokens(batch["text"], encoded["owner"], starts, ends, self.settings.words)
        if self.settings.words == "spaces":
            encoded["speakers"] = units.speakers(batch["text"], encoded["owner"], starts, ends, encoded["is_unit"])
        if "word_tags" not in batch:
            return encoded
        target = tf.where(encoded["is_unit"], self._tags_at(starts, batch), UNLABELLED)
        if "speakers" in encoded:
            target = _at_speakers(target, encoded["speakers"])
        weighted = batch["weight"] * tf.reduce_sum(tf.cast(target != UNLABELLED, tf.float32), axis=1)
        weight = tf.math.divide_no_nan(weighted * tf.reduce_sum(batch["weight"]), tf.reduce_sum(weighted))
        return {**encoded, "target": target, "weight": weight}

    def _tags_at(self, starts: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """Returns `[rows, tokens]` int32: the tag for what begins at a byte, by the word that holds the byte."""
        word = tf.searchsorted(batch["word_starts"], starts, side="right") - 1
        first, after, tag = (
            tf.gather(batch[name], tf.maximum(word, 0), axis=1, batch_dims=1)
            for name in ("word_starts", "word_ends", "word_tags")
        )
        inner = tf.gather(tf.constant(self.scheme.inner), tf.maximum(tag, 0))
        return tf.where((word >= 0) & (starts < after), tf.where(starts == first, tag, inner), UNLABELLED)

    def loss(self) -> keras.losses.Loss:
        """Returns cross-entropy, or the chain's negative log-likelihood where the head gives potentials."""
        return TagLoss()

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives the spans of each text in their order, `[batch, spans]`, padded; `num_spans` `[batch]` says how many.

        They are `span_texts`, `span_labels`, `span_scores`, `span_starts` and `span_ends` (characters), and
        `span_start_bytes` and `span_end_bytes`. A score is the mean of the probabilities of the tags of its units.
        Where tokens were sent instead of texts, it gives `token_labels` and `token_scores` `[rows, tokens]`.
        """
        logits = tf.cast(logits, tf.float32)
        if "speakers" in encoded:
            logits = tf.gather(logits, encoded["speakers"], batch_dims=1)
        mask = encoded["attention_mask"] > 0
        tags, scores = self._tags(logits, encoded["is_unit"] if "is_unit" in encoded else _inner(mask))
        if "is_unit" not in encoded:
            names = tf.where(mask, tf.gather(tf.constant(self.tags), tags), "")
            return {"token_labels": names, "token_scores": tf.where(mask, scores, 0.0)}
        found = spans.join(spans.of_rows(encoded, tags, scores), self.scheme)
        answer = spans.outputs(found, encoded["text"], self.scheme.labels)
        return {**answer, "truncated": encoded["truncated"]}

    def _tags(self, logits: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the tag of each token and its probability, `[rows, tokens]`; a chain runs over what `mask` holds."""
        if logits.shape.rank == 3:
            probabilities = tf.nn.softmax(logits)
            return tf.argmax(logits, axis=-1, output_type=tf.int32), tf.reduce_max(probabilities, axis=-1)
        potentials = crf.with_start(logits, mask) + self._forbidden(mask)
        tags, _ = crf.viterbi(potentials, mask)
        return tags, tf.gather(crf.marginals(potentials, mask), tags, axis=2, batch_dims=2)

    def _forbidden(self, mask: tf.Tensor) -> tf.Tensor:
        """Returns what keeps an I- tag from following anything but its own label: a part of potentials."""
        allowed = np.ones((self.units, self.units), bool)
        for tag, before in enumerate(self.scheme.follows):
            if before:
                allowed[:, tag] = False
                allowed[list(before), tag] = True
        inner = np.where(allowed, 0.0, crf.IMPOSSIBLE).astype(np.float32)
        first = np.broadcast_to(inner[self.scheme.outside], inner.shape)
        return tf.where(crf.is_first(mask)[:, :, None, None], first, inner)

    def gold(self, example: Example) -> tuple[str, ...]:
        """Returns the tags of the example's words."""
        tags, words = example.label, example.words
        if not isinstance(tags, Sequence) or isinstance(tags, str) or not words or len(tags) != len(words):
            raise DataError(
                f"{example.place}: label {tags!r} for {len(words)} words"[:300],
                expected="words, and one tag for each of them",
                fix="Read the data with a reader that gives words, such as conll.",
            )
        if unknown := next((tag for tag in tags if tag not in self._indices), None):
            raise DataError(
                f"{example.place}: tag {unknown!r}",
                expected=f"one of {', '.join(self.tags)}",
                fix=f"{did_you_mean(str(unknown), self.tags)}Correct the row, or add the tag to task.labels.",
            )
        _placed(example)
        return tuple(tags)

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[tuple[str, ...]]:
        """Returns the tags of each example's words: those of the spans that cover the words' first bytes.

        A word that no span covers is outside, as is a word that was cut off; where there is no outside (parts of
        speech), it gets the first label.
        """
        return [self._word_tags(*pair) for pair in zip(examples, predictions, strict=True)]

    def _word_tags(self, example: Example, prediction: Prediction) -> tuple[str, ...]:
        tags, earlier = [], None
        for word in _placed(example):
            span = next((s for s in prediction.spans if s.start_byte <= word.start < s.end_byte), None)
            if span is None:
                tags.append(self.tags[self.scheme.outside])
            elif self.is_bio:
                tags.append(f"{'I' if span is earlier else 'B'}-{span.label}")
            else:
                tags.append(span.label)
            earlier = span
        return tuple(tags)

    def prediction(self, answer: Mapping[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record."""
        columns = {field: answer[name][: answer["num_spans"]].tolist() for field, name in SPAN_FIELDS.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        found = [Span(**{**row, "text": row["text"].decode(), "label": row["label"].decode()}) for row in rows]
        return Prediction(spans=tuple(found), truncated=bool(answer.get("truncated", False)))


def looks_bio(labels: Sequence[str]) -> bool:
    """Whether tags are those of spans of several words."""
    return "O" in labels and all(label == "O" or label[:2] in ("B-", "I-") for label in labels)


def _placed(example: Example) -> list[WordPlace]:
    try:
        return spans.place_words(example.text, example.words)
    except ValueError as error:
        raise DataError(
            f"{example.place}: the word {str(error)!r} is not in the text {example.text!r}, or not in its place"[:300],
            expected="a text that holds its words in their order",
            fix="Leave out cleaners that change the text, or correct the row.",
        ) from None


def _padded(rows: Sequence[Sequence[int]], value: int) -> np.ndarray:
    """Returns lists of different lengths as one `[rows, longest]` int32 array."""
    padded = np.full((len(rows), max(map(len, rows))), value, np.int32)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _inner(mask: tf.Tensor) -> tf.Tensor:
    """The tokens of each row but the first and the last, which are special tokens."""
    number = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
    return mask & (number > 1) & (number < number[:, -1:])


def _at_speakers(target: tf.Tensor, speakers: tf.Tensor) -> tf.Tensor:
    """Moves the tag `[rows, tokens]` of each token whose label another one has to that one, the token before it."""
    is_moved = speakers < tf.range(tf.shape(target)[1])
    return tf.where(tf.roll(is_moved, -1, axis=1), tf.roll(target, -1, axis=1), tf.where(is_moved, UNLABELLED, target))


class TagLoss(keras.losses.Loss):
    """The loss of tags, by row the mean over what is labelled: each alone, or together as a chain."""

    def __init__(self) -> None:
        super().__init__(name="tag_loss")

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses.

        Args:
            target: `[rows, tokens]` int32, -1 where nothing is labelled.
            logits: `[rows, tokens, tags]`, or potentials `[rows, tokens, tags, tags]`.
        """
        logits, mask = tf.cast(logits, tf.float32), target != UNLABELLED
        if logits.shape.rank == 4:
            potentials = crf.with_start(logits, mask)
            total = crf.log_partition(potentials, mask) - crf.path_score(potentials, target, mask)
        else:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(target, 0), logits)
            total = tf.reduce_sum(tf.where(mask, each, 0.0), axis=1)
        return total / tf.maximum(tf.reduce_sum(tf.cast(mask, tf.float32), axis=1), 1.0)
