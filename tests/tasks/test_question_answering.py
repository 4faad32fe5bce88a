"""Answers stand where they are said to stand, in every script; the best spans are the best of all that there are."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.contracts.task_cases import ASKED
from tfxl import graphemes, registry
from tfxl.backend import keras, tf
from tfxl.data import texts_of
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example, Prediction, Span
from tfxl.heads.span import PADDING
from tfxl.serving.answer import Answerer, encode, predict
from tfxl.serving.export import Contents, export
from tfxl.serving.model import load
from tfxl.tasks.question_answering import (
    QuestionAnswering,
    SpanLoss,
    best_threshold,
    between_separators,
    tokens_of_answer,
)
from tfxl.text import units
from tfxl.text.dataset import Batches, Rows
from tfxl.text.spans import is_unseen

CONTEXTS = [
    "the room was clean and the food was good but the train was late",
    "这家酒店很吵，早餐也不好吃。房间很干净。",
    "الغرفة نظيفة والطعام جيد لكن القطار متأخر",
    "कमरा साफ़ था और खाना अच्छा था।",
    "ห้องพักสะอาดมากพนักงานใจดี",
    "  Great service 👍🏽👩‍👩‍👧 🇩🇪\u2003e\u0301te\u0301 naïve ﬁne ＡＢＣ　１２ ",
    "部屋はきれいでした。\u200bｶﾞｷﾞ \u202eעברית\u202c 방이 깨끗했어요",
    "",
    " \t\n ",
]
ALPHABET = st.sampled_from(
    [*"ab 12,", *"很酒。", *"غنل", *"कमा़ा", *"ห้ัก", *"👍🏽\u200d👩🇩🇪", *"e\u0301ﬁＡ　ｶﾞ", "\u0130", "\n"]
)
CONTEXT = st.sampled_from(CONTEXTS) | st.text(ALPHABET, max_size=60) | st.text(max_size=30)


@functools.cache
def tokenizer(vocabulary: str):
    return Tiny(vocabulary=vocabulary).tokenizer()


VOCABULARIES = pytest.mark.parametrize("vocabulary", ["sentencepiece", "wordpiece"])


def encoded_of(task, contexts, *, vocabulary="sentencepiece", question="was the room clean ?"):
    texts = {"text": tf.constant([question] * len(contexts)), "second_text": tf.constant(contexts)}
    return encode(texts, task, tokenizer(vocabulary))


def rows_of(decoded):
    """The answers of `decode` as records, with the task's own `prediction`."""
    values = {name: value.numpy() for name, value in decoded.items()}
    task = QuestionAnswering()
    return [
        task.prediction({name: value[row] for name, value in values.items()}) for row in range(len(values["score"]))
    ]


def edges_of(text):
    """The bytes at which a new thing begins to be seen, and the end of the text."""
    found = units.characters(tf.constant([text]))
    begins = units.begin(found, found.text, found.place).numpy() == np.arange(len(text))
    return np.array([len(text[:place].encode()) for place in [0, *np.flatnonzero(begins), len(text)]])


def all_spans(task, logits, encoded, text):
    """Every span that may be an answer to one text, by its bytes, with its best logits: the slow way."""
    found = {}
    edges = edges_of(encoded["context"][text].numpy().decode())
    for row in np.flatnonzero(encoded["example"].numpy() == text):
        starts, ends = encoded["starts"].numpy()[row], encoded["ends"].numpy()[row]
        inside = np.flatnonzero(ends > starts)
        wholes = {token: (edges[edges <= starts[token]].max(), edges[edges >= ends[token]].min()) for token in inside}
        for first, last in itertools.product(inside, inside):
            begins = all(ends[other] <= wholes[first][0] or starts[other] >= starts[first] for other in inside)
            stops = all(starts[other] >= wholes[last][1] or ends[other] <= ends[last] for other in inside)
            if begins and stops and 0 <= last - first < task.settings.max_answer_length:
                place = int(wholes[first][0]), int(wholes[last][1])
                found[place] = max(found.get(place, -np.inf), logits[row, first, 0] + logits[row, last, 1])
    return sorted(found.items(), key=lambda item: -item[1])


@VOCABULARIES
@settings(max_examples=30, deadline=None)
@given(contexts=st.lists(CONTEXT, min_size=1, max_size=4), length=st.integers(1, 7), seed=st.integers(0, 9))
@example(contexts=["0\x1f"], length=1, seed=0)  # a control character that is dropped belongs to no token
@example(contexts=["1\u200d"], length=1, seed=0)  # a token that holds no character is no neighbour
@example(contexts=["1\u200d。"], length=1, seed=0)  # nor does it part what is one to readers
def test_the_best_spans_of_all_windows_each_once_and_where_they_stand(vocabulary, contexts, length, seed):
    task = QuestionAnswering(max_length=20, stride=3, max_answer_length=length, num_answers=4)
    encoded = encoded_of(task, contexts, vocabulary=vocabulary)
    shape = (*encoded["input_ids"].shape, 2)
    logits = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    for text, found in enumerate(rows_of(task.decode(logits, encoded))):
        # What the graph saw: bytes that are no UTF-8 and NUL were replaced before.
        context = encoded["context"][text].numpy()
        expected = all_spans(task, logits, encoded, text)[:4]
        assert [(span.start_byte, span.end_byte) for span in found.spans] == [place for place, _ in expected]
        weights = np.exp([value for _, value in expected])
        np.testing.assert_allclose([span.score for span in found.spans], weights / weights.sum(), rtol=1e-4)
        for span in found.spans:
            assert context[span.start_byte : span.end_byte] == span.text.encode()
            assert context.decode()[span.start : span.end] == span.text
            assert span.text == span.text.strip()
        assert found.label == (found.spans[0].text if found.spans else "")


@pytest.mark.parametrize("context", ["das 👍🏽 gut", "🇩🇪🇫🇷🇮🇹", "e\u0301te\u0301 cafe\u0301", "क्षे में", "ខ្មែរ ភាសា", "น้ํา"])
@VOCABULARIES
def test_no_answer_is_half_of_what_is_seen(vocabulary, context):
    task = QuestionAnswering(max_length=64, stride=3, num_answers=50)
    encoded = encoded_of(task, [context], vocabulary=vocabulary)
    logits = np.random.default_rng(0).normal(size=(*encoded["input_ids"].shape, 2)).astype(np.float32)
    (found,) = rows_of(task.decode(logits, encoded))
    edges = edges_of(context)
    assert found.spans
    assert all(span.start_byte in edges and span.end_byte in edges for span in found.spans)
    for span in found.spans:
        parts = (context[: span.start], span.text, context[span.end :])
        assert sum(map(graphemes.count, parts)) == graphemes.count(context)


def test_the_places_hold_in_the_text_that_was_sent():
    task = QuestionAnswering(max_length=24, stride=4, num_answers=20)
    answerer = Answerer(task.model(Tiny().build()), task, tokenizer("sentencepiece"))
    texts = {"text": ["wo ?"] * len(CONTEXTS), "second_text": CONTEXTS}
    for context, found in zip(CONTEXTS, predict(answerer.text, task, texts, batch_size=4), strict=True):
        assert bool(found.spans) == bool(context.strip())
        for span in found.spans:
            assert context[span.start : span.end] == span.text
            assert context.encode()[span.start_byte : span.end_byte].decode() == span.text


@VOCABULARIES
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_targets_hold_the_answer(vocabulary, data):
    context = data.draw(st.sampled_from([context for context in CONTEXTS if context.strip()]))
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : data.draw(st.integers(start + 1, len(context)))]
    task = QuestionAnswering(max_length=256, stride=32)
    features = task.features([Example("wo ?", second_text=context, label=((answer, start),))])
    batch = {name: tf.constant(value) for name, value in features.items()}
    encoded = task.encode(batch, tokenizer(vocabulary))
    first, last = encoded["target"][0].numpy()
    starts, ends = encoded["starts"][0].numpy(), encoded["ends"][0].numpy()
    raw = context.encode()
    first_byte, last_byte = features["answer"][0]
    seen = answer.strip("".join(filter(is_unseen, answer)))
    assert raw[first_byte:last_byte].decode() == seen
    if not seen or first_byte < starts[starts >= 0].min() or last_byte > ends.max():
        assert (first, last) == (0, 0)  # no answer, or one that is no token: characters that the tokenizer drops
    else:
        assert starts[first] <= first_byte
        assert ends[last] >= last_byte
        assert raw[first_byte:last_byte] in raw[starts[first] : ends[last]]
        assert first <= last


@VOCABULARIES
@pytest.mark.parametrize("mark", ["\u200f", "\u200b", "\ufeff", "\ufffd", "\ue000"])
def test_what_is_not_seen_around_an_answer_does_not_widen_its_target(vocabulary, mark):
    task, context = QuestionAnswering(max_length=64, stride=8), f"das {mark}Zimmer{mark} war gut"
    targets = []
    for answer in ("Zimmer", f"{mark}Zimmer{mark}"):
        features = task.features([Example("wo ?", second_text=context, label=((answer, context.index(answer)),))])
        encoded = task.encode({name: tf.constant(value) for name, value in features.items()}, tokenizer(vocabulary))
        targets.append(encoded["target"][0].numpy().tolist())
    assert targets[0] == targets[1] != [0, 0]


def test_a_character_of_several_tokens_is_an_answer_from_its_first_to_its_last():
    starts, ends = tf.constant([[0, 1, 2, 2, 2, 6]]), tf.constant([[0, 2, 5, 5, 5, 7]])
    assert tokens_of_answer(starts, ends, tf.constant([[2, 5]])).numpy().tolist() == [[2, 4]]


def test_targets_by_hand():
    #               cls  question  sep  "das" space "Zimmer" "war" sep
    starts = np.array([[-1, -1, -1, 0, 3, 4, 11, -1]] * 6)
    ends = np.array([[-1, -1, -1, 3, 3, 10, 14, -1]] * 6)
    answers = np.array([[4, 10], [0, 10], [5, 7], [11, 14], [11, 15], [-1, -1]])
    expected = [[5, 5], [3, 5], [5, 5], [6, 6], [0, 0], [0, 0]]
    np.testing.assert_array_equal(tokens_of_answer(starts, ends, answers), expected)
    np.testing.assert_array_equal(tokens_of_answer(starts + 1 - 1, ends, answers + 20), [[0, 0]] * 6)


@VOCABULARIES
def test_the_context_stands_between_the_last_separators(vocabulary):
    encoded = encoded_of(QuestionAnswering(max_length=24, stride=4), CONTEXTS, vocabulary=vocabulary)
    np.testing.assert_array_equal(between_separators(encoded), encoded["starts"] >= 0)


def test_tokens_are_answered_by_tokens():
    task = QuestionAnswering(max_length=24, stride=4, max_answer_length=3, num_answers=2)
    encoded = encoded_of(task, ["", "das Zimmer"], question="wo ?")
    logits = np.random.default_rng(0).normal(size=(*encoded["input_ids"].shape, 2)).astype(np.float32)
    inputs = {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    found = task.decode(logits, inputs)
    assert found["start_tokens"].numpy().tolist()[0] == found["end_tokens"].numpy().tolist()[0] == [-1, -1]
    best = found["start_tokens"].numpy()[1, 0], found["end_tokens"].numpy()[1, 0]
    assert all(encoded["starts"].numpy()[1, list(best)] >= 0)
    assert found["logits"].numpy()[1, 0] == pytest.approx(logits[1, best[0], 0] + logits[1, best[1], 1])
    nothing = logits[:, 0].sum(-1)
    np.testing.assert_allclose(found["no_answer_logits"], nothing, rtol=1e-6)
    chance = [1.0, 1 / (1 + np.exp(found["logits"].numpy()[1, 0] - nothing[1]))]
    np.testing.assert_allclose(found["no_answer"], chance, rtol=1e-5)


def test_no_answer_is_the_surest_window_against_the_best_span():
    task = QuestionAnswering(max_length=20, stride=3, num_answers=1)
    encoded = encoded_of(task, [CONTEXTS[0] * 2])
    logits = np.zeros((*encoded["input_ids"].shape, 2), np.float32)
    assert len(logits) > 2
    logits[:, 0] = 2.0
    logits[1, 0] = 1.5  # the window that is least sure that it holds no answer
    (place, _), *_ = np.argwhere(encoded["ends"].numpy() > encoded["starts"].numpy())[-1:]
    logits[place, np.flatnonzero(encoded["ends"].numpy()[place] > 0)[1]] = 1.0
    (found,) = rows_of(task.decode(logits, encoded))
    chance = 1 / (1 + np.exp(-(3.0 - 2.0)))
    assert found.scores[""] == pytest.approx(chance)
    assert found.label == found.spans[0].text
    for threshold, label in [(chance - 0.01, ""), (chance + 0.01, found.label)]:
        strict = QuestionAnswering(**{**task.settings.model_dump(), "no_answer_threshold": threshold})
        (again,) = rows_of(strict.decode(logits, encoded))
        assert again.label == label
        assert again.spans == found.spans
        assert float(strict.decode(logits, encoded)["score"][0]) == pytest.approx(1.0 if label else chance)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.9, 1.0]), st.integers(-3, 3)), min_size=1))
def test_the_threshold_is_the_best_of_all(rows):
    chance, gain = np.array(rows, float).T
    found = gain[chance <= best_threshold(chance, gain)].sum()
    assert found == max(gain[chance <= threshold].sum() for threshold in np.linspace(0, 1, 101))


def _found(text: str, chance: float) -> Prediction:
    span = Span(text, 0, len(text), 0, len(text.encode()))
    return Prediction(text, {"": chance, text: 1.0}, spans=(span,))


def test_questions_without_answers_teach_a_threshold():
    asked = [
        Example("?", second_text="rot", label=(("rot", 0),), language="de"),
        Example("?", second_text="rot", label=(), language="de"),
        Example("?", second_text="blau", label=(("blau", 0),), language="de"),
    ]
    predictions = [_found("rot", 0.2), _found("rot", 0.9), _found("blau", 0.6)]
    task = QuestionAnswering()
    assert task.tuned(asked, predictions).settings.no_answer_threshold == pytest.approx(0.75)
    assert task.tuned(asked[::2], predictions[::2]) is task
    chosen = QuestionAnswering(no_answer_threshold=0.5)
    assert chosen.tuned(asked, predictions) is chosen


def test_gold_has_every_answer_and_the_language():
    task = QuestionAnswering()
    example = Example("?", second_text="rot, rot", label=(("rot", 0), ("rot, rot", 0)), language="de")
    assert task.gold(example) == {"language": "de", "answers": ("rot", "rot, rot")}
    assert task.gold(Example("?", second_text="rot", label=())) == {"language": "und", "answers": ()}
    asked = Example("?", second_text="rot", label=(), language="ha", second_language="en")
    assert task.gold(asked) == {"language": "en", "answers": ()}
    assert task.gold(Example("?", second_text="rot")) is None


@pytest.mark.parametrize(
    "label", [(("rot", 1),), (("t", -1),), (("blau", 0),), ("rot",), ("ro",), (("rot", "0"),), (3,), 3]
)
def test_an_answer_that_is_elsewhere_is_refused(label):
    example = Example("?", second_text="rot", label=label, source="rows.json:7")
    for use in (QuestionAnswering().gold, lambda each: QuestionAnswering().features([each])):
        with pytest.raises(DataError, match=r"rows.json:7: answer"):
            use(example)


def test_features_without_answers_are_texts():
    assert set(QuestionAnswering().features([Example("?", second_text="rot")])) == {"text", "second_text"}


def test_a_stride_is_needed():
    with pytest.raises(RecipeError, match="stride"):
        QuestionAnswering(stride=0)


def test_loss_is_the_mean_of_both_ends_and_does_not_see_padding():
    logits = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    target = np.array([[1, 3], [0, 0], [4, 4]], np.int32)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(log_softmax[range(3), target[:, 0], 0] + log_softmax[range(3), target[:, 1], 1]) / 2
    np.testing.assert_allclose(SpanLoss().call(target, logits), expected, rtol=1e-5)
    padded = np.pad(logits, [(0, 0), (0, 4), (0, 0)], constant_values=PADDING)
    np.testing.assert_allclose(SpanLoss().call(target, padded), expected, rtol=1e-5)


LONG = Example(
    "Essen ?",
    second_text="the room was clean , the train was late , and the food was good , " * 2
    + "das Zimmer war groß , 早餐 很 好吃 👍 , but",
    label=(("早餐 很 好吃", 154),),
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A task and a model that knows the answers to the contract's questions and to one in a third window."""
    keras.utils.set_random_seed(0)
    task, encoder = QuestionAnswering(max_length=24, stride=6), Tiny(width=16)
    examples = [*ASKED, LONG]
    rows = Rows.write(examples, tmp_path_factory.mktemp("rows") / "rows", group=lambda example: example.language)
    batches = Batches(rows, task, encoder.tokenizer(), batch_size=32, seed=0)
    model = task.model(encoder.build())
    model.compile(keras.optimizers.Adam(0.02), loss=task.loss())
    model.fit(batches.dataset(60), steps_per_epoch=1, epochs=60, verbose=0)
    return task, encoder, Answerer(model, task, encoder.tokenizer()), batches


def test_every_window_of_a_long_context_is_trained(learned):
    task, encoder, _, batches = learned
    windows = batches.measured.windows[batches.measured.rows == len(ASKED)]
    assert len(windows) >= 3
    (_, target, weight), *_ = batches.dataset(1)
    assert len(target) == len(weight) == len(batches.measured.rows)
    texts = {name: tf.constant(value, tf.string) for name, value in texts_of([LONG], task).items()}
    encoded = encode(texts, task, encoder.tokenizer())
    place = tokens_of_answer(
        encoded["starts"], encoded["ends"], np.repeat(task.features([LONG])["answer"], len(windows), 0)
    )
    (holding,) = np.nonzero(place.numpy()[:, 0])
    assert 2 in holding
    assert 0 not in holding


def test_an_answer_in_the_third_window_is_found_by_the_saved_model(learned, tmp_path):
    task, encoder, answerer, _ = learned
    head = registry.build("heads", "span")
    folder = export(answerer, tmp_path / "qa", contents=Contents(encoder.spec(), head.spec(), encoder.files()))
    saved = load(folder)
    asked = [*ASKED, LONG]
    texts = texts_of(asked, task)
    served = saved.predict(texts["text"], texts["second_text"])
    for row, found in zip(asked, served, strict=True):
        answer, start = row.label[0]
        assert (found.label, found.spans[0].start) == (answer, start)
    python = predict(answerer.layer_by_layer, task, texts)
    assert [found.label for found in python] == [found.label for found in served]
    for one, other in zip(python, served, strict=True):
        assert [span.score for span in one.spans] == pytest.approx([span.score for span in other.spans], abs=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("language", ["en", "ar", "de", "es", "hi", "ru", "tr", "vi", "zh"])
def test_answers_of_xquad_are_held_and_stand_where_they_say(shared_data, language):
    reader = registry.build("readers", "squad")
    rows = [*reader.read(shared_data / "xquad" / f"xquad.{language}.json.gz", language=language)][::60]
    task = QuestionAnswering(max_length=96, stride=32)
    for row in rows:
        encoded = encoded_of(task, [row.second_text], question=row.text)
        answer = np.repeat(task.features([row])["answer"], len(encoded["example"]), 0)
        found = tokens_of_answer(encoded["starts"], encoded["ends"], answer).numpy()
        logits = np.full((*encoded["input_ids"].shape, 2), 0, np.float32)
        for window in np.flatnonzero(found[:, 1]):
            logits[window, found[window], [0, 1]] = 9
        (given,) = rows_of(QuestionAnswering(max_answer_length=96).decode(logits, encoded))
        if not found.any():
            continue  # longer than what windows share, and cut in two
        assert row.label[0][0].strip() in given.label
        for span in given.spans:
            assert row.second_text[span.start : span.end] == span.text
            assert row.second_text.encode()[span.start_byte : span.end_byte].decode() == span.text
