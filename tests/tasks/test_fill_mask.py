"""Masked language models: what is masked, what is asked for, what is answered."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfxl import registry
from tfxl.backend import keras, tf
from tfxl.encoders.bert import network
from tfxl.encoders.tiny import Tiny
from tfxl.errors import ModelError, RecipeError
from tfxl.example import Example
from tfxl.serving.answer import Answerer, predict
from tfxl.tasks import POSITIONS
from tfxl.tasks._masking import Share, corrupted, drawn, owned, positions_of, uniform
from tfxl.tasks.fill_mask import FillMask
from tfxl.text.dataset import Batches, Rows, StaticShapes

TEXTS = ["das Zimmer war groß und das Essen war gut", "房间 很 干净 ， 饭菜 也 很 好吃 。", "कमरा साफ़ था", ""]


@pytest.fixture(scope="module", params=["sentencepiece", "wordpiece"])
def encoder(request: pytest.FixtureRequest) -> Tiny:
    return Tiny(vocabulary=request.param)


@pytest.fixture(scope="module")
def answerer(encoder: Tiny) -> Answerer:
    keras.utils.set_random_seed(1)
    task = FillMask(max_length=24, num_fills=3, max_masks=4)
    return Answerer(task.model(encoder.build()), task, encoder.tokenizer())


def mask_of(encoder: Tiny) -> str:
    return encoder.tokenizer().piece(encoder.tokenizer().mask)


def batches(encoder: Tiny, tmp_path, *, seed: int = 0, static: StaticShapes | None = None, **told) -> Batches:
    rows = Rows.write((Example(text) for text in TEXTS * 8), tmp_path / "rows", group=lambda example: example.language)
    return Batches(rows, FillMask(**told), encoder.tokenizer(), batch_size=8, seed=seed, static=static)


def masked(rows: list[tuple]) -> list[tuple]:
    """Which pieces of rows are masked, in an order that does not depend on that of the rows."""
    return sorted((places, pieces) for places, pieces, _ in rows)


class TestChoices:
    """What is drawn is a function of the seed alone."""

    def test_numbers_are_even_and_independent_of_the_rows_beside(self):
        seeds = tf.constant(np.random.default_rng(0).integers(2**62, size=200))
        numbers = uniform(seeds, tf.range(100), stream=0).numpy()
        assert numbers.min() >= 0 and numbers.max() < 1
        assert np.histogram(numbers, 10, (0, 1))[0].min() > 1850
        assert np.array_equal(uniform(seeds[7:8], tf.range(50), stream=0)[0], numbers[7, :50])
        others = [uniform(seeds, tf.range(100), stream=1).numpy(), numbers[:, ::-1], np.roll(numbers, 1, axis=0)]
        assert all(abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.03 for other in others)

    def test_a_share_of_the_candidates_is_chosen_and_at_least_one(self):
        candidates = tf.constant(np.arange(40) < np.array([[40], [20], [3], [1], [0]]))
        chosen = drawn(candidates, tf.constant([1, 2, 3, 4, 5], tf.int64), 0.15).numpy()
        assert chosen.sum(axis=1).tolist() == [6, 3, 1, 1, 0]
        assert not (chosen & ~candidates.numpy()).any()
        positions = positions_of(tf.constant(chosen)).numpy()
        assert positions.shape == (5, 6) and (positions[4] == -1).all()
        assert all((row[row >= 0] == np.flatnonzero(kept)).all() for row, kept in zip(positions, chosen, strict=True))

    def test_eight_of_ten_become_the_mask_and_one_another_piece(self, encoder):
        tokenizer = encoder.tokenizer()
        usual = [id for id in range(tokenizer.size) if id not in tokenizer.special]
        ids = tf.constant(np.random.default_rng(0).choice(usual, (400, 50)).astype(np.int32))
        seeds = tf.range(400, dtype=tf.int64)
        everything, options = tf.ones_like(ids, tf.bool), {"special": tokenizer.special, "size": tokenizer.size}
        found = corrupted(ids, everything, seeds, share=Share(), **options).numpy()
        is_mask, same = found == tokenizer.mask, found == ids.numpy()
        assert is_mask.mean() == pytest.approx(0.8, abs=0.01) and same.mean() == pytest.approx(0.1, abs=0.01)
        others = found[~is_mask & ~same]
        assert not set(others) & set(tokenizer.special) and len(set(others)) > 0.9 * len(usual)
        assert np.array_equal(corrupted(ids, ~everything, seeds, share=Share(), **options), ids)

    def test_each_token_counts_in_one_window(self, encoder):
        text = tf.constant([" ".join(TEXTS[:3]), TEXTS[2], ""])
        whole = encoder.tokenizer().pieces(text).to_list()
        encoded = encoder.tokenizer().encode(text, max_length=12, stride=5)
        counts, ids, real = (
            owned(encoded, 5).numpy(),
            encoded["input_ids"].numpy(),
            ~np.isin(encoded["input_ids"].numpy(), encoder.tokenizer().special[:3]),
        )
        assert (encoded["example"].numpy() == 0).sum() > 2
        for number, pieces in enumerate(whole):
            rows = encoded["example"].numpy() == number
            assert [id for row in np.flatnonzero(rows) for id in ids[row][counts[row] & real[row]]] == [
                id for id in pieces if id not in encoder.tokenizer().special[:3]
            ]


class TestTraining:
    """Masks in training."""

    def test_targets_are_the_pieces_that_stood_there(self, encoder, tmp_path):
        inputs, target, weight = next(iter(batches(encoder, tmp_path, masked_share=0.3).dataset(1)))
        plain = {
            tuple(row) for row in encoder.tokenizer().encode(tf.constant(TEXTS), max_length=128)["input_ids"].numpy()
        }
        ids, positions = inputs["input_ids"].numpy().copy(), inputs[POSITIONS].numpy()
        asked = positions >= 0
        assert (asked == (target.numpy() >= 0)).all() and asked.any() and weight.shape == (8,)
        rows = np.arange(8)[:, None].repeat(positions.shape[1], 1)
        ids[rows[asked], positions[asked]] = target.numpy()[asked]
        pad = encoder.tokenizer().special.pad
        restored = {tuple(id for id in row if id != pad) for row in ids}
        assert restored <= {tuple(id for id in row if id != pad) for row in plain}
        assert not set(target.numpy()[asked]) & set(encoder.tokenizer().special)

    def test_masks_are_others_in_each_epoch_and_the_same_in_each_run(self, encoder, tmp_path):
        def rows(seed):
            """The masked positions, the pieces that stood there, and the ids of each row of two epochs, unpadded."""
            made, pad = batches(encoder, tmp_path, seed=seed), encoder.tokenizer().special.pad
            return [
                (tuple(places[places >= 0]), tuple(pieces[pieces >= 0]), tuple(ids[ids != pad]))
                for inputs, target, _ in made.dataset(2)
                for places, pieces, ids in zip(
                    inputs[POSITIONS].numpy(), target.numpy(), inputs["input_ids"].numpy(), strict=True
                )
            ]

        first = rows(seed=3)
        assert first == rows(seed=3)
        # Sorted, for the order of the texts is another one in each epoch and with each seed, whatever is masked.
        assert masked(first) != masked(rows(seed=4))
        half = len(first) // 2
        assert masked(first[:half]) != masked(first[half:])

    def test_masks_are_others_each_time_a_text_is_read_in_an_epoch(self, encoder, tmp_path):
        examples = [Example("das Zimmer war groß und das Essen war gut und der Bus kam spät", language="de")]
        examples += [Example("房间 很 干净", language="zh")] * 40
        rows = Rows.write(examples, tmp_path / "rows", group=lambda example: example.language)
        made = Batches(
            rows,
            FillMask(),
            encoder.tokenizer(),
            batch_size=41,
            seed=0,
            shares=lambda counts: dict.fromkeys(counts, 0.5),
        )
        (inputs, _, _) = next(iter(made.dataset(1)))
        masked = {row.tobytes() for row in inputs[POSITIONS].numpy() if (row >= 0).sum() > 1}
        assert len(masked) > 5

    def test_windows_of_long_texts_are_trained_on(self, encoder, tmp_path):
        made = batches(encoder, tmp_path, max_length=8, stride=2)
        assert len(made.measured.rows) > 8 * len(TEXTS)
        for inputs, target, _ in made.dataset(1):
            assert inputs["input_ids"].shape[1] <= 8 and inputs[POSITIONS].shape == target.shape

    def test_static_shapes_are_those_of_the_length_alone(self, encoder, tmp_path):
        static = StaticShapes.up_to(48)
        shapes = {
            tuple(tuple(tensor.shape) for tensor in (inputs["input_ids"], inputs[POSITIONS], target))
            for inputs, target, _ in batches(encoder, tmp_path, static=static, max_length=48).dataset(3)
        }
        for (rows, tokens), *others in shapes:
            assert others == [(rows, round(0.15 * tokens))] * 2

    def test_tied_embeddings_learn_from_both_ends(self, encoder):
        task = FillMask()
        model = task.model(encoder.build())
        table = model.get_layer("encoder").bert.embeddings.weight
        inputs = {name: tf.constant([[5, 6, 7]]) for name in ("input_ids",)}
        inputs |= {"token_type_ids": tf.zeros([1, 3], tf.int32), "attention_mask": tf.ones([1, 3], tf.int32)}
        with tf.GradientTape() as tape:
            loss = task.loss().call(tf.constant([[9]]), model({**inputs, POSITIONS: tf.constant([[1]])}))
        gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
        assert np.abs(gradient).max(axis=1).min() > 0  # of every piece, not of those in the row alone
        assert sum(variable is table for variable in model.trainable_variables) == 1

    def test_rows_without_masks_cost_nothing(self):
        logits = tf.random.normal([2, 2, 7])
        loss = FillMask().loss().call(tf.constant([[3, -1], [-1, -1]]), logits).numpy()
        assert loss[0] == pytest.approx(float(-tf.nn.log_softmax(logits)[0, 0, 3]), abs=1e-5) and loss[1] == 0


class TestAnswers:
    """What a model says of texts with masks, and of texts without."""

    def test_each_mask_gets_its_best_pieces(self, answerer, encoder):
        mask = mask_of(encoder)
        one, several, none = predict(
            answerer.text,
            answerer.parts.task,
            {"text": [f"das {mask} war gut", f"{mask} 房间 {mask} 很", "das Zimmer war gut"]},
        )
        assert [len(each.fills) for each in (one, several, none)] == [1, 2, 0]
        best = one.fills[0][0]
        assert (one.label, one.scores[best.text]) == (best.text, best.score)
        assert [fill.score for fill in one.fills[0]] == sorted((fill.score for fill in one.fills[0]), reverse=True)
        assert all(fill.text.removeprefix("##") in fill.filled and mask not in fill.filled for fill in one.fills[0])
        assert mask in several.fills[0][0].filled and none.label == ""

    def test_tokens_and_texts_are_answered_alike(self, answerer, encoder):
        texts = tf.constant([f"das {mask_of(encoder)} war", f"{mask_of(encoder)}{mask_of(encoder)}", "gut"])
        encoded = encoder.tokenizer().encode(texts, max_length=24, masks=True)
        names = ("input_ids", "token_type_ids", "attention_mask")
        by_tokens = answerer.tokens(**{name: encoded[name] for name in names})
        by_text = answerer.text(text=texts)
        assert set(by_text) - set(by_tokens) == {"truncated"}
        for name, value in by_tokens.items():
            assert (
                np.allclose(value, by_text[name]) if value.dtype.is_floating else (value == by_text[name]).numpy().all()
            )

    def test_masks_beyond_the_most_are_left(self, answerer, encoder):
        found = answerer.text(text=[f"{mask_of(encoder)} " * 9, f"{mask_of(encoder)} " * 4])
        assert found["num_masks"].numpy().tolist() == [4, 4] and found["filled"].shape == (2, 4, 3)
        assert found["truncated"].numpy().tolist() == [True, False]

    def test_rows_of_a_table_that_are_no_pieces_are_never_answers(self, encoder):
        tokenizer, task = encoder.tokenizer(), FillMask(max_length=24, num_fills=10_000)
        config = {**json.loads(encoder.files()["config.json"]), "vocab_size": tokenizer.size + 3}
        model = task.model(network(config))
        model.get_layer("head").bias.assign(np.arange(tokenizer.size + 3, dtype=np.float32))
        made = Answerer(model, task, tokenizer)
        found = made.text(text=[mask_of(encoder)])
        assert found["ids"].shape == (1, 1, tokenizer.size) and found["ids"].numpy().max() < tokenizer.size
        assert made.function("score")(text=TEXTS)["best"].shape[0] == len(TEXTS)

    @pytest.mark.parametrize("masks", [1, 3])
    def test_windows_fill_each_mask_once_and_in_order(self, encoder, masks):
        task = FillMask(max_length=10, stride=4, max_masks=3)
        made = Answerer(task.model(encoder.build()), task, encoder.tokenizer())
        text = " ".join(["das Zimmer war", *[f"{mask_of(encoder)} und das Essen war gut aber"] * masks, "spät"])
        short = f"{mask_of(encoder)} gut"
        both, alone = made.text(text=[text, short]), made.text(text=[text])
        assert both["num_masks"].numpy().tolist() == [masks, 1]
        assert np.array_equal(both["ids"][0], alone["ids"][0]) and alone["scores"].shape == (1, masks, 5)
        many = made.text(text=[short, " ".join([text] * 4), text])
        assert many["num_masks"].numpy().tolist() == [1, 3, masks]
        assert many["truncated"].numpy().tolist() == [False, masks * 4 > 3, False]
        whole = Answerer(task.model(encoder.build()), FillMask(max_length=128), encoder.tokenizer())
        assert whole.text(text=[text])["num_masks"].numpy().tolist() == [masks]

    def test_a_score_says_how_probable_a_text_is(self, answerer):
        task = answerer.parts.task.tasks["score"]
        answers = predict(answerer.function("score"), task, {"text": TEXTS})
        assert [len(each.matches) > 0 for each in answers] == [True, True, True, False]
        assert answers[3].value is None
        for each in answers[:3]:
            nats = -np.log([match.score for match in each.matches])
            assert each.value == pytest.approx(nats.mean(), rel=1e-5)
        found = answerer.parts.task.answers([Example(text) for text in TEXTS], answers)
        assert [each["pieces"] for each in found] == [len(each.matches) for each in answers]
        assert found[3] == {"pieces": 0, "right": 0, "nats": 0.0}

    def test_a_score_is_that_of_the_same_masks_sent_as_tokens(self, encoder, answerer):
        task, tokenizer = answerer.parts.task, encoder.tokenizer()
        encoded = task.tasks["score"].encode({"text": tf.constant(TEXTS)}, tokenizer)
        assert (encoded["input_ids"].numpy() == tokenizer.mask).sum() == (encoded[POSITIONS].numpy() >= 0).sum()
        logits = answerer.parts.model({name: encoded[name] for name in answerer.parts.model.input})
        chance = tf.gather(tf.nn.softmax(logits), tf.maximum(encoded["target"], 0), batch_dims=2).numpy()
        scores = answerer.function("score")(text=TEXTS)["scores"].numpy()
        assert np.allclose(scores, np.where(encoded["target"].numpy() >= 0, chance, 0), atol=1e-6)


def test_logits_are_computed_for_masked_positions_alone(encoder):
    model = FillMask().model(encoder.build())
    row = {name: tf.ones([3, 20], tf.int32) for name in ("input_ids", "token_type_ids", "attention_mask")}
    assert model({**row, POSITIONS: tf.constant([[4, 6]] * 3)}).shape == (3, 2, encoder.tokenizer().size)
    assert model({**row, POSITIONS: tf.zeros([3, 0], tf.int32)}).shape == (3, 0, encoder.tokenizer().size)


def test_another_head_is_refused(encoder):
    with pytest.raises(RecipeError, match="token"):
        FillMask().model(encoder.build(), registry.build("heads", "token"))


def test_tokens_without_a_tokenizer_are_refused():
    row = {name: tf.ones([1, 3], tf.int32) for name in ("input_ids", "token_type_ids", "attention_mask")}
    with pytest.raises(ModelError, match="mask's id"):
        FillMask().inputs(row)


def test_an_answer_made_of_tokens_has_no_score():
    view = FillMask().tasks["score"]
    with pytest.raises(ModelError, match="tokens only"):
        view.prediction({"num_masks": 1, "scores": np.ones([1, 1])})
