"""Finds the answer to a question in a text: the part of the text, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from pydantic import Field

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.errors import DataError
from tfxl.example import Example, Prediction, Span
from tfxl.tasks import Task, Tensors
from tfxl.text import units
from tfxl.text.spans import is_unseen

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

IMPOSSIBLE = -1e9
"""Stands for the logits of what is no span; far below every real one, and finite, so that JSON can hold it."""


class Spans(NamedTuple):
    """Spans with their scores, the best one first.

    Attributes:
        logits: `[…, spans]` float32, start plus end; `IMPOSSIBLE` where there are no more spans.
        starts: `[…, spans]` int32, the first token or byte.
        ends: `[…, spans]` int32, the last token, or the byte after the last.
    """

    logits: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


class QuestionAnswering(Task):
    """Extractive question answering (Devlin et al. 2019, sections 4.2 and 4.3): `text` asks, `second_text` holds it.

    The context is read in windows, in training and in the served graph, so it may be long. A window is trained to give
    start and end of the answer that stands in it, or its first token where the answer does not. Logits are
    `[rows, tokens, 2]`.

    Example:
        >>> task = QuestionAnswering(max_length=256)
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(Task.Settings):
        """How the context is read, and which answers are given."""

        max_length: int = Field(default=384, ge=8)
        stride: int = Field(default=64, ge=1)
        """Tokens of the context that neighbouring windows share: an answer that is longer may fall between them."""
        max_answer_length: int = Field(default=30, ge=1)
        """The most tokens of an answer."""
        num_answers: int = Field(default=5, ge=1)
        """How many answers are served for each question, the best ones."""
        no_answer_threshold: float | None = Field(default=None, ge=0, le=1)
        """The chance of no answer above which none is given; None always gives the best answer, unless training sees
        questions without an answer in the validation data: then the threshold is chosen there."""

    default_head = "span"
    metrics = ("answer_f1", "exact_match")
    learns_from_validation = True
    answers_tokens = False
    settings: Settings

    @property
    def text_inputs(self) -> tuple[str, ...]:
        """The question is `text`, the context `second_text`."""
        return ("text", "second_text")

    @property
    def units(self) -> int:
        """Start and end."""
        return 2

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `answer` `[batch, 2]` int32, the bytes of the first answer (-1 where there is none), and `weight`."""
        features = super().features(examples)
        if any(example.label is None for example in examples):
            return features
        places = np.array([_bytes_of_answer(example) for example in examples], np.int32)
        return {**features, "answer": places, "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes questions and windows of contexts, and adds `context` `[batch]`; `target` `[rows, 2]` is tokens."""
        encoded = self.encode_texts(batch, tokenizer, offsets=True) | {"context": batch["second_text"]}
        if "answer" not in batch:
            return encoded
        target = tokens_of_answer(encoded["starts"], encoded["ends"], batch["answer"])
        return {**encoded, "target": target, "weight": batch["weight"]}

    def loss(self) -> keras.losses.Loss:
        """Returns the mean of the cross-entropies of start and end over the tokens of a row."""
        return SpanLoss()

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives the best `answer` and its `score`, and the best `num_answers` of them with their places.

        `answers`, `scores`, `starts`, `ends` (characters), `start_bytes`, `end_bytes` are `[batch, num_answers]`,
        padded with empty texts and 0; `no_answer` `[batch]` is the chance that there is none. Where the caller sent
        tokens, `start_tokens`, `end_tokens` and `logits` `[rows, num_answers]`, padded with -1 and `IMPOSSIBLE`, and
        `no_answer_logits` `[rows]`, for callers who put windows together themselves.
        """
        logits, both = tf.cast(logits, tf.float32), (between_separators(encoded),) * 2
        # The first token says that a window holds no answer: the least sure window counts (Devlin et al. 2019, 4.3).
        nothing, something = logits[:, 0, 0] + logits[:, 0, 1], tf.reduce_max(self._sums(logits, both), axis=1)
        if "context" not in encoded:
            found = self._spans(logits, both, self.settings.num_answers)
            starts, ends = (tf.where(found.logits > IMPOSSIBLE / 2, tokens, -1) for tokens in found[1:])
            answer = {"start_tokens": starts, "end_tokens": ends, "logits": found.logits}
            return {**answer, "no_answer_logits": nothing, "no_answer": tf.sigmoid(nothing - something)}
        if "example" in encoded:
            nothing = tf.math.segment_min(nothing, encoded["example"])
            something = tf.math.segment_max(something, encoded["example"])
        answer = self._answers(self._merged(logits, encoded), encoded["context"], tf.sigmoid(nothing - something))
        return {**answer, "truncated": encoded["truncated"]}

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record: spans are the best answers, scores have `""` for no answer."""
        places = [answer[name].tolist() for name in ("starts", "ends", "start_bytes", "end_bytes")]
        texts, scores = answer["answers"], answer["scores"].tolist()
        spans = tuple(
            Span(text.decode(), start, end, start_byte, end_byte, score=score)
            for text, start, end, start_byte, end_byte, score in zip(texts, *places, scores, strict=True)
            if text
        )
        by_text = {"": float(answer["no_answer"])}
        for span in spans:
            by_text.setdefault(span.text, span.score)
        return Prediction(answer["answer"].decode(), by_text, spans=spans, truncated=bool(answer["truncated"]))

    def gold(self, example: Example) -> dict[str, Any] | None:
        """Returns the context's language and all right answers, as `answer_f1` and `exact_match` take them."""
        if example.label is None:
            return None
        language = example.second_language or example.language
        return {"language": language, "answers": tuple(text for text, _ in _checked(example))}

    def tuned(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Self:
        """Returns the task with the no-answer threshold that scores best, if some questions have no answer."""
        gold = [self.gold(example) for example in examples]
        if self.settings.no_answer_threshold is not None or all(each is None or each["answers"] for each in gold):
            return self
        metric = registry.build("metrics", self.metrics[0])
        best = [prediction.spans[0].text if prediction.spans else "" for prediction in predictions]
        answered, silent = (metric.value(metric.statistics(gold, given)) for given in (best, [""] * len(best)))
        chance = np.array([prediction.scores[""] for prediction in predictions])
        threshold = best_threshold(chance, np.nan_to_num(answered - silent))
        return type(self)(**{**self.settings.model_dump(), "no_answer_threshold": threshold})

    def _sums(self, logits: tf.Tensor, allowed: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns `[rows, tokens x max_answer_length]`, start plus end of every span; `IMPOSSIBLE` what is no answer.

        Args:
            logits: `[rows, tokens, 2]`.
            allowed: Twice `[rows, tokens]` bool, whether an answer may begin there, and whether it may end there.
        """
        length, tokens = self.settings.max_answer_length, tf.shape(logits)[1]
        start, end = (tf.where(may, logits[:, :, side], IMPOSSIBLE) for side, may in enumerate(allowed))
        end = tf.pad(end, [[0, 0], [0, length]], constant_values=IMPOSSIBLE)
        # All spans that begin at a token stand beside each other: its end is the same token, the next, and so on.
        sums = start[:, :, None] + tf.gather(end, tf.range(tokens)[:, None] + tf.range(length), axis=1)
        return tf.maximum(tf.reshape(sums, [-1, tokens * length]), IMPOSSIBLE)

    def _spans(self, logits: tf.Tensor, allowed: Sequence[tf.Tensor], count: int) -> Spans:
        """Returns the `count` best spans of each row, in tokens; see `_sums`."""
        length, last = self.settings.max_answer_length, tf.shape(logits)[1] - 1
        sums = tf.pad(self._sums(logits, allowed), [[0, 0], [0, count]], constant_values=IMPOSSIBLE)
        best, place = tf.math.top_k(sums, count)
        first = tf.minimum(place // length, last)
        return Spans(best, first, tf.minimum(first + place % length, last))

    def _merged(self, logits: tf.Tensor, encoded: Tensors) -> Spans:
        """Returns the best spans of each text over all its windows, in bytes, each place once."""
        count, places = self.settings.num_answers, (encoded["starts"], encoded["ends"])
        owner = encoded["example"] if "example" in encoded else tf.range(tf.shape(places[0])[0])
        whole = units.whole_tokens(encoded["context"], owner, *places)
        # Tokens without a character, such as a space of their own, are no answers. Two tokens may stand for the same
        # character, if one was written apart (a ligature): so more spans than are served.
        seen = places[1] > places[0]
        best, first, last = self._spans(logits, (seen & whole.begins, seen & whole.ends), 2 * count)
        spans = Spans(best, tf.gather(whole.first, first, batch_dims=1), tf.gather(whole.after, last, batch_dims=1))
        if "example" in encoded:
            spans = _beside_each_other(spans, encoded["example"], tf.shape(encoded["context"])[0])
        spans = _each_once(spans)
        best, order = tf.math.top_k(spans.logits, count)
        is_span = best > IMPOSSIBLE / 2
        return Spans(best, *(tf.where(is_span, tf.gather(side, order, batch_dims=1), 0) for side in spans[1:]))

    def _answers(self, spans: Spans, context: tf.Tensor, chance: tf.Tensor) -> Tensors:
        """Returns the finished answers of spans `[batch, spans]` in bytes of `context`, or that there are none."""
        is_span = spans.logits > IMPOSSIBLE / 2
        scores = tf.where(is_span, tf.nn.softmax(spans.logits), 0.0)
        answers = tf.strings.substr(context[:, None], spans.starts, spans.ends - spans.starts)
        before = tf.strings.substr(context[:, None], tf.zeros_like(spans.starts), spans.starts)
        starts = tf.strings.length(before, unit="UTF8_CHAR")
        answered = is_span[:, 0]
        if self.settings.no_answer_threshold is not None:
            answered &= chance <= self.settings.no_answer_threshold
        return {
            "answer": tf.where(answered, answers[:, 0], ""),
            "score": tf.where(answered, scores[:, 0], chance),
            "no_answer": chance,
            "answers": answers,
            "scores": scores,
            "starts": starts,
            "ends": starts + tf.strings.length(answers, unit="UTF8_CHAR"),
            "start_bytes": spans.starts,
            "end_bytes": spans.ends,
        }


class SpanLoss(keras.losses.Loss):
    """The mean of two cross-entropies, each of one token among the tokens of a row."""

    def __init__(self) -> None:
        super().__init__(name="span_loss")

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses of target `[rows, 2]` int32 and logits `[rows, tokens, 2]`."""
        by_side = tf.transpose(tf.cast(logits, tf.float32), [0, 2, 1])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, by_side), axis=1)


def tokens_of_answer(starts: tf.Tensor, ends: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, 2]` int32: the tokens where answers begin and end, both 0 where a row lacks a part of it.

    Args:
        starts: `[rows, tokens]` the first byte of each token of the context; others are empty, as are spaces.
        ends: `[rows, tokens]` the byte after its last.
        answer: `[rows, 2]` the first byte of the answer, and the byte after its last; -1 for no answer.
    """
    position, nowhere = tf.range(tf.shape(starts)[1]), tf.shape(starts)[1]
    begins = (ends > starts) & (starts <= answer[:, :1])
    reaches = (ends > starts) & (ends >= answer[:, 1:])
    first = tf.reduce_max(tf.where(begins, position, -1), axis=1)
    last = tf.reduce_min(tf.where(reaches, position, nowhere), axis=1)
    whole = (first >= 0) & (last < nowhere)
    # Where a character is several tokens of the same place (bytes), its first one is found last.
    return tf.where(whole[:, None], tf.stack([tf.minimum(first, last), tf.maximum(first, last)], axis=1), 0)


def between_separators(encoded: Tensors) -> tf.Tensor:
    """Returns `[rows, tokens]` bool: the tokens of the second text, which stand between the last two separators.

    Args:
        encoded: The three model inputs.
    """
    ids, position = encoded["input_ids"], tf.range(tf.shape(encoded["input_ids"])[1])
    real = encoded["attention_mask"] > 0
    last = tf.reduce_max(tf.where(real, position, 0), axis=1, keepdims=True)
    is_separator = real & (ids == tf.gather(ids, last, batch_dims=1)) & (position < last)
    before = tf.reduce_max(tf.where(is_separator, position, 0), axis=1, keepdims=True)
    return (position > before) & (position < last)


def best_threshold(chance: np.ndarray, gain: np.ndarray) -> float:
    """Returns the chance of no answer up to which answers are worth giving.

    Args:
        chance: `[rows]` the chance that there is no answer.
        gain: `[rows]` what the best answer scores more than none.
    """
    order = np.argsort(chance, kind="stable")
    edges = np.concatenate([[0.0], chance[order], [1.0]])
    total = np.concatenate([[0.0], np.cumsum(gain[order])])
    total[:-1][edges[:-2] == edges[1:-1]] = -np.inf  # rows of one chance are answered together
    number = int(np.argmax(total))
    return float((edges[number] + edges[number + 1]) / 2)


def _beside_each_other(spans: Spans, example: tf.Tensor, texts: tf.Tensor) -> Spans:
    """Puts the spans of all windows of a text, `[rows, spans]`, into one row, `[texts, windows x spans]`."""
    rows = [tf.RaggedTensor.from_value_rowids(part, example, nrows=texts) for part in spans]
    dense = [part.to_tensor(fill) for part, fill in zip(rows, (IMPOSSIBLE, 0, 0), strict=True)]
    return Spans(*(tf.reshape(part, [texts, tf.shape(part)[1] * tf.shape(part)[2]]) for part in dense))


def _each_once(spans: Spans) -> Spans:
    """Makes all but the best of equal spans impossible; the order changes."""
    order = tf.argsort(spans.logits, direction="DESCENDING", stable=True)
    spans = Spans(*(tf.gather(part, order, batch_dims=1) for part in spans))
    starts, ends = (tf.cast(part, tf.int64) for part in spans[1:])
    order = tf.argsort(starts * 2**32 + ends, stable=True)
    logits, starts, ends = (tf.gather(part, order, batch_dims=1) for part in spans)
    again = (starts[:, 1:] == starts[:, :-1]) & (ends[:, 1:] == ends[:, :-1])
    again = tf.pad(again, [[0, 0], [1, 0]])
    return Spans(tf.where(again, IMPOSSIBLE, logits), starts, ends)


def _checked(example: Example) -> tuple[tuple[str, int], ...]:
    """Returns the answers of an example.

    Raises:
        DataError: An answer does not stand in the context where it says.
    """
    context = example.second_text or ""
    answers = example.label if isinstance(example.label, tuple) else (example.label,)
    for answer in answers:
        if not _stands(answer, context):
            raise DataError(
                f"{example.place}: answer {answer!r}",
                expected="(text, start), the text standing in the context at that character",
                fix="Correct the row. If a cleaner changes contexts, answers move: leave it out of data.cleaners.",
            )
    return answers


def _stands(answer: Any, context: str) -> bool:
    """Whether an answer is a text and the character of the context at which it stands."""
    match answer:
        case (str(text), int(start)):
            return start >= 0 and context.startswith(text, start)
    return False


def _bytes_of_answer(example: Example) -> tuple[int, int]:
    """The first byte of the first answer, and the byte after its last; without what is not seen around it."""
    text, start = next(iter(_checked(example)), ("", 0))
    seen = [place for place, letter in enumerate(text) if not is_unseen(letter)]
    if not seen:
        return -1, -1
    first = len(((example.second_text or "")[:start] + text[: seen[0]]).encode())
    return first, first + len(text[seen[0] : seen[-1] + 1].encode())
