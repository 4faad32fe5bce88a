"""Fills masks in a text with pieces of the vocabulary, and so learns a language from plain text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field

from tfxl.backend import keras, tf
from tfxl.encoders import blocks
from tfxl.errors import ModelError, RecipeError
from tfxl.example import Example, Fill, Match, Prediction
from tfxl.heads import Head
from tfxl.heads.masked_language import MaskedLanguageLayer
from tfxl.tasks import POSITIONS, Task, Tensors
from tfxl.tasks._masking import NOBODY, Share, corrupted, drawn, owned, positions_of
from tfxl.text import windows
from tfxl.text.detokenizer import Detokenizer

if TYPE_CHECKING:
    from tfxl.text.tokenizer import Tokenizer

PROBED = 3
"""Of rows to compare models on, each third piece is masked, so many a row."""
SMALLEST = 1e-30
"""The smallest probability that counts, so that no single piece makes a score infinite."""


class FillMask(Task):
    """A masked language model (Devlin et al. 2019, section 3.1): gaps in a text are filled from the text around them.

    Training needs texts alone: a share of their pieces is masked, other ones each time a text is read. Use it to make
    an encoder better at a language or a domain before it is trained for another task (Gururangan et al. 2020), or to
    answer as transformers' fill-mask pipeline does.

    A model fills each mask token that stands in a `text`, such as `<mask>` or `[MASK]`; `score` says of a text without
    masks how probable its own pieces are: it is what a model is measured by. Logits are `[rows, positions, pieces]`, at
    the masked positions alone.

    Example:
        >>> task = FillMask()
        >>> model = task.model(Bert(weights="intfloat/multilingual-e5-small").build())
    """

    class Settings(Task.Settings):
        """What is masked, and what is answered."""

        masked_share: float = Field(default=0.15, gt=0, le=1)
        """The share of a text's pieces that training and `score` ask for."""
        num_fills: int = Field(default=5, ge=1)
        """How many pieces are served for each mask, the best ones."""
        max_masks: int = Field(default=16, ge=1)
        """The most masks of a text that are filled, the first ones; each costs memory for the whole vocabulary. A text
        with more is flagged as truncated."""

    default_head = "masked_language"
    draws = True
    asks_positions = True
    metrics = ("piece_accuracy", "pseudo_perplexity")
    measured_on = ("score",)
    units = 0
    settings: Settings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.side = "text"
        """What this task answers: `text` fills masks, `score` measures texts."""
        self._detokenizer: Detokenizer | None = None
        self._mask: int | None = None

    @property
    def tasks(self) -> Mapping[str, FillMask]:
        """`score`, which says how probable the pieces of a text are."""
        if self.side != "text":
            return {}
        view = copy.copy(self)
        view.side = "score"
        view.answers_tokens = False
        return {"score": view}

    @property
    def resources(self) -> Mapping[str, tf.Variable]:
        """The pieces as text."""
        return self._detokenizer.tables if self._detokenizer else {}

    def with_tokenizer(self, tokenizer: Tokenizer) -> Self:
        """Returns the task with the mask's id and the pieces of a tokenizer.

        Raises:
            WeightsError: The tokenizer has no mask token.
        """
        task = copy.copy(self)
        task._mask, task._detokenizer = tokenizer.mask, Detokenizer.of(tokenizer.spelling())
        return task

    def layer(self, encoder: keras.Model, head: Head | None = None) -> keras.layers.Layer:
        """Returns the head's layer, tied to the encoder's word embeddings.

        Raises:
            RecipeError: The head is of another kind.
        """
        layer = super().layer(encoder, head)
        if not isinstance(layer, MaskedLanguageLayer):
            raise RecipeError(
                f"head = {head.spec() if head else self.default_head} for the task {self.kind}",
                expected=f"the head {self.default_head}",
                fix="Leave [head] out, or set its kind to this one.",
            )
        embeddings = blocks(encoder).embeddings
        layer.tie(embeddings.weight, embeddings.LayerNorm.epsilon)
        return layer

    def logits(self, layer: keras.layers.Layer, hidden: tf.Tensor, inputs: Tensors) -> tf.Tensor:
        """Returns logits `[rows, positions, pieces]`."""
        return layer(hidden, inputs["attention_mask"], inputs[POSITIONS])

    def features(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Adds `weight` `[batch]` float32; the targets are the texts themselves."""
        return {**super().features(examples), "weight": np.ones(len(examples), np.float32)}

    def encode(self, batch: Tensors, tokenizer: Tokenizer) -> Tensors:
        """Encodes texts and adds `masked_positions` `[rows, positions]`.

        In training and for `score`, pieces are masked that stand in the text: their ids are the `target`
        `[rows, positions]` int32, -1 where there is none. Otherwise masks are read in the text.
        """
        told, is_plain = self.settings, "draw" in batch or self.side == "score"
        limits: dict[str, Any] = {name: getattr(told, name) for name in ("max_length", "stride", "max_windows")}
        encoded = tokenizer.encode(batch["text"], **limits, masks=not is_plain)
        counts = owned(encoded, told.stride)
        if not is_plain:
            is_mask = counts & (encoded["input_ids"] == tokenizer.mask)
            filled = _first(is_mask, encoded, told.max_masks)
            is_left = _by_text_any(is_mask & ~filled, encoded)
            return {**encoded, POSITIONS: positions_of(filled), "truncated": encoded["truncated"] | is_left}
        if "draw" in batch and "example" in encoded:
            whole = {**encoded, "counts": counts}
            encoded = windows.pick(whole, batch["window"])
            counts = encoded.pop("counts")
        masked = self._masked(encoded, counts, self._seeds(batch, encoded), tokenizer, scored="draw" not in batch)
        return masked | ({"weight": batch["weight"]} if "draw" in batch else {})

    def _seeds(self, batch: Tensors, encoded: Tensors) -> tf.Tensor:
        """The seed of each row: drawn in training; else made of the text, so that a text is always masked alike."""
        if "draw" in batch:
            return batch["draw"]
        seeds = tf.strings.to_hash_bucket_fast(batch["text"], 2**62)
        if "example" not in encoded:
            return seeds
        row = tf.range(tf.size(encoded["example"], tf.int64))
        window = row - tf.gather(tf.math.segment_min(row, encoded["example"]), encoded["example"])
        return tf.gather(seeds, encoded["example"]) + window

    def _masked(
        self, encoded: Tensors, counts: tf.Tensor, seeds: tf.Tensor, tokenizer: Tokenizer, *, scored: bool
    ) -> Tensors:
        """Masks a share of the pieces that count; a score asks for masks alone, as serving does."""
        ids, special = encoded["input_ids"], tokenizer.special
        is_special = tf.reduce_any(ids[..., None] == [id for id in special if id is not None], axis=-1)
        chosen = drawn(counts & ~is_special, seeds, self.settings.masked_share)
        positions = positions_of(chosen)
        target = tf.gather(ids, tf.maximum(positions, 0), batch_dims=1)
        share = Share(mask=1.0, random=0.0) if scored else Share()
        special = special._replace(mask=tokenizer.mask)
        return {
            **encoded,
            "input_ids": corrupted(ids, chosen, seeds, special, size=tokenizer.size, share=share),
            POSITIONS: positions,
            "target": tf.where(positions >= 0, target, NOBODY),
        }

    def pad_to(self, length: tf.Tensor, inputs: Tensors, target: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Pads positions and target to as many as rows of so many tokens can have."""
        most = tf.maximum(tf.cast(tf.round(self.settings.masked_share * tf.cast(length, tf.float32)), tf.int32), 1)
        more = [[0, 0], [0, most - tf.shape(target)[1]]]
        positions, target = (tf.pad(each, more, constant_values=NOBODY) for each in (inputs[POSITIONS], target))
        return {**inputs, POSITIONS: positions}, target

    def inputs(self, encoded: Tensors) -> Tensors:
        """Returns the three inputs and `masked_positions`, which tokens that a caller sent hold as ids of the mask."""
        found = super().inputs(encoded)
        if POSITIONS in encoded:
            return {**found, POSITIONS: encoded[POSITIONS]}
        if self._mask is None:
            raise _without_tokenizer()
        is_mask = (found["attention_mask"] > 0) & (found["input_ids"] == self._mask)
        return {**found, POSITIONS: positions_of(_first(is_mask, found, self.settings.max_masks))}

    def probe(self, encoded: Tensors) -> Tensors:
        """Masks a few pieces of each row.

        Raises:
            ModelError: The task does not know its tokenizer.
        """
        if self._detokenizer is None:
            raise _without_tokenizer()
        ids = tf.convert_to_tensor(encoded["input_ids"])
        is_piece = (encoded["attention_mask"] > 0) & ~self._detokenizer.is_hidden(ids)
        chosen = _first(is_piece & (tf.range(tf.shape(ids)[1]) % PROBED == 1), {}, PROBED)
        return {**encoded, "input_ids": tf.where(chosen, self._mask, ids), POSITIONS: positions_of(chosen)}

    def loss(self) -> keras.losses.Loss:
        """Returns the cross-entropy of the masked pieces, by row the mean."""
        return MaskedLoss()

    def decode(self, logits: tf.Tensor, encoded: Tensors) -> Tensors:
        """Gives the best pieces for each mask, or with `score` how probable the masked pieces were.

        Fills are `num_masks` `[batch]`, and for each mask and its best pieces `scores`, `ids` and, where the task knows
        its tokenizer, `pieces` and `filled`, each `[batch, masks, fills]`. A score is `target` and `best`
        `[batch, masks]`, a piece that was masked and the most probable one in its place, and `scores` `[batch, masks]`,
        the probability of the right one. What a text has fewer of is 0, or empty.
        """
        logits, positions = tf.cast(logits, tf.float32), self.inputs(encoded)[POSITIONS]
        normaliser = tf.reduce_logsumexp(logits, axis=-1)
        answer = self._scores if self.side == "score" else self._fills
        found = answer(logits, normaliser, positions, encoded)
        found = {name: _by_text(value, positions >= 0, encoded) for name, value in found.items()}
        counts = tf.reduce_sum(tf.cast(positions >= 0, tf.int32), axis=1)
        if "example" in encoded:
            counts = tf.math.segment_sum(counts, encoded["example"])
        found["num_masks"] = counts
        return {**found, "truncated": encoded["truncated"]} if "truncated" in encoded else found

    def _scores(self, logits: tf.Tensor, normaliser: tf.Tensor, positions: tf.Tensor, encoded: Tensors) -> Tensors:
        target = tf.maximum(encoded["target"], 0)
        scores = tf.exp(tf.gather(logits, target, batch_dims=2) - normaliser)
        words = self._detokenizer
        if words is None:
            return {"scores": scores}
        best = tf.argmax(logits[..., : words.size], axis=-1, output_type=tf.int32)
        return {"scores": scores, "target": words.names(target), "best": words.names(best)}

    def _fills(self, logits: tf.Tensor, normaliser: tf.Tensor, positions: tf.Tensor, encoded: Tensors) -> Tensors:
        words = self._detokenizer
        # Published tables may have rows that are no pieces.
        pieces = logits.shape[-1] if words is None else words.size
        best, ids = tf.math.top_k(logits[..., :pieces], min(self.settings.num_fills, pieces))
        found = {"scores": tf.exp(best - normaliser[:, :, None]), "ids": ids}
        if words is None:
            return found
        filled = _filled(encoded, positions, ids, words, mask=self._mask)
        return {**found, "pieces": words.alone(ids), "filled": filled}

    def prediction(self, answer: dict[str, Any]) -> Prediction:
        """Returns one row of `decode` as a record: `fills`, or for `score` `matches` and `value`.

        Of a text with one mask, `label` is the best piece and `scores` are those of all. A match of a score has the
        best piece as its text, the right one as its id, and the right one's probability as its score; `value` is their
        cross-entropy in nats a piece, None where no piece was masked.

        Raises:
            ModelError: The answer was made of tokens, which do not say what was masked.
        """
        count, is_cut = int(answer["num_masks"]), bool(answer.get("truncated", False))
        if self.side == "score":
            return self._scored(answer, count, truncated=is_cut)
        columns = [answer[name][:count].tolist() for name in ("pieces", "scores", "ids", "filled")]
        fills = tuple(
            tuple(
                Fill(piece.decode(), score, id, filled.decode())
                for piece, score, id, filled in zip(*of_mask, strict=True)
            )
            for of_mask in zip(*columns, strict=True)
        )
        label = " | ".join(each[0].text for each in fills)
        scores = {fill.text: fill.score for fill in reversed(fills[0])} if count == 1 else {}
        return Prediction(label, dict(reversed(scores.items())), fills=fills, truncated=is_cut)

    @staticmethod
    def _scored(answer: dict[str, Any], count: int, *, truncated: bool) -> Prediction:
        if "target" not in answer:
            raise ModelError(
                "a model that reads tokens only, asked how probable a text is",
                expected="a model that reads text",
                fix="Measure it in the run that trains it, or take a checkpoint whose tokenizer the graph can hold.",
            )
        columns = [answer[name][:count].tolist() for name in ("best", "scores", "target")]
        matches = tuple(
            Match(best.decode(), score, right.decode()) for best, score, right in zip(*columns, strict=True)
        )
        nats = -np.log(np.maximum(columns[1], SMALLEST)).mean() if count else None
        return Prediction(value=None if nats is None else float(nats), matches=matches, truncated=truncated)

    def gold(self, example: Example) -> None:
        """Returns None: a text is its own right answer."""

    def answers(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, float]]:
        """Returns how many pieces of each text were masked, how many were right, and what they cost in nats."""
        return [
            {
                "pieces": len(each.matches),
                "right": sum(match.text == match.id for match in each.matches),
                "nats": (each.value or 0.0) * len(each.matches),
            }
            for each in predictions
        ]


class MaskedLoss(keras.losses.Loss):
    """The cross-entropy of masked pieces, by row the mean over what is masked."""

    def __init__(self) -> None:
        super().__init__(name="masked_loss")

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns `[rows]` losses of target `[rows, positions]` int32 and logits `[rows, positions, pieces]`."""
        is_asked = target != NOBODY
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(target, 0), tf.cast(logits, tf.float32))
        total = tf.reduce_sum(tf.where(is_asked, each, 0.0), axis=1)
        return total / tf.maximum(tf.reduce_sum(tf.cast(is_asked, tf.float32), axis=1), 1.0)


def _without_tokenizer() -> ModelError:
    return ModelError(
        "tokens for a task that does not know the mask's id",
        expected=f"{POSITIONS} beside the tokens, or a task with a tokenizer",
        fix="Take task.with_tokenizer(encoder.tokenizer()).",
    )


def _first(is_mask: tf.Tensor, encoded: Tensors, most: int) -> tf.Tensor:
    """Returns the masks `[rows, tokens]` bool without those after the first `most` of their text."""
    numbers = tf.cumsum(tf.cast(is_mask, tf.int32), axis=1)
    if "example" in encoded:
        counts = numbers[:, -1]
        before = tf.cumsum(counts, exclusive=True)  # in all rows; the text's own are those after its first row's
        numbers += (before - tf.gather(tf.math.segment_min(before, encoded["example"]), encoded["example"]))[:, None]
    return is_mask & (numbers <= most)


def _by_text_any(flags: tf.Tensor, encoded: Tensors) -> tf.Tensor:
    """Returns `[texts]` bool: whether a flag `[rows, tokens]` of a text is set."""
    rows = tf.reduce_any(flags, axis=1)
    if "example" not in encoded:
        return rows
    return tf.math.segment_max(tf.cast(rows, tf.int32), encoded["example"]) > 0


def _filled(
    encoded: Tensors, positions: tf.Tensor, ids: tf.Tensor, words: Detokenizer, *, mask: int | None
) -> tf.Tensor:
    """Returns the rows as text with a mask filled, `[rows, positions, fills]` string.

    As in transformers' pipeline, special tokens are shown where a row has several masks, so that the others show.
    """
    row = encoded["input_ids"]
    place = tf.range(tf.shape(row)[1]) == positions[:, :, None, None]
    filled = tf.where(place, ids[..., None], row[:, None, None, :])
    several = tf.reduce_sum(tf.cast(row == mask, tf.int32), axis=1)[:, None, None, None] > 1
    real = (encoded["attention_mask"] > 0)[:, None, None, :]
    return words.text(filled, real & (several | ~words.is_hidden(filled)))


def _by_text(value: tf.Tensor, is_asked: tf.Tensor, encoded: Tensors) -> tf.Tensor:
    """Puts what was found for masks `[rows, positions, …]` together by text, `[texts, masks, …]`, padded."""
    rows, inner = encoded.get("example"), value.shape.rank - 2
    if rows is None:
        shown = tf.reshape(is_asked, tf.concat([tf.shape(is_asked), [1] * inner], axis=0))
        return tf.where(shown, value, tf.zeros_like(value))
    owner = tf.boolean_mask(tf.broadcast_to(rows[:, None], tf.shape(is_asked)), is_asked)
    flat = tf.boolean_mask(value, is_asked)
    return tf.RaggedTensor.from_value_rowids(flat, owner, nrows=tf.shape(encoded["truncated"])[0]).to_tensor()
