from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.backend import tf
from tfxl.errors import ModelError
from tfxl.progress import Progress
from tfxl.serving import answer
from tfxl.serving.answer import Answerer


def tokens_of(answerer: Answerer, texts: list[str]) -> dict[str, np.ndarray]:
    encoded = answer.encode({"text": tf.constant(texts)}, answerer.parts.task, answerer.parts.tokenizer)
    return {name: encoded[name].numpy() for name in ("input_ids", "token_type_ids", "attention_mask")}


@pytest.fixture(scope="module")
def pairs() -> Answerer:
    encoder = registry.build("encoders", "tiny")
    task = registry.build("tasks", "classification", labels=["no", "yes"], second_text=True, activation="sigmoid")
    return Answerer(task.model(encoder.build()), task, encoder.tokenizer())


def test_text_tokens_and_classify_agree(tiny_answerer: Answerer, multilingual_texts: list[str]) -> None:
    from tfxl.serving.warmup import example

    text = tiny_answerer.text(text=multilingual_texts)
    tokens = tiny_answerer.tokens(**tokens_of(tiny_answerer, multilingual_texts))
    examples = [example({"text": text}).SerializeToString() for text in multilingual_texts]
    classified = tiny_answerer.classify(inputs=examples)
    assert np.array_equal(text["scores"], tokens["scores"])
    assert np.array_equal(text["label"], tokens["label"])
    assert np.array_equal(text["scores"], classified["scores"])
    assert np.array_equal(text["labels"], classified["classes"])
    assert "truncated" not in tokens


def test_the_graph_answers_as_the_keras_model(tiny_answerer: Answerer, multilingual_texts: list[str]) -> None:
    graph = tiny_answerer.text(text=multilingual_texts)["scores"]
    eager = tiny_answerer.layer_by_layer(text=multilingual_texts)["scores"]
    assert np.max(np.abs(graph - eager)) <= 1e-6


def test_a_batch_answers_as_its_rows(tiny_answerer: Answerer, multilingual_texts: list[str]) -> None:
    batch = tiny_answerer.text(text=multilingual_texts)["scores"]
    single = tf.concat([tiny_answerer.text(text=[text])["scores"] for text in multilingual_texts], axis=0)
    assert np.max(np.abs(batch - single)) <= 1e-6


def test_every_output_has_the_batch_first(tiny_answerer: Answerer, pairs: Answerer) -> None:
    for answerer in (tiny_answerer, pairs):
        for function in answerer.signatures().values():
            assert all(tensor.shape[0] is None for tensor in function.structured_outputs.values())
    assert all(value.shape[0] == 5 for value in tiny_answerer.text(text=["a"] * 5).values())


def test_dropout_is_off_and_nothing_is_random(tiny_answerer: Answerer) -> None:
    for function in tiny_answerer.signatures().values():
        graph = function.graph.as_graph_def()
        ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
        assert not {op for op in ops if "Random" in op or "Dropout" in op}


def test_pairs_are_answered_by_name(pairs: Answerer) -> None:
    found = pairs.text(text=["a", "b"], second_text=["c", "d"])
    assert found["scores"].shape == (2, 2)
    assert list(pairs.signatures()) == ["serving_default", "tokens", "classify"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_ids": [[1, -1]]}, "input_ids must be from 0 to"),
        ({"input_ids": [[1, 10**6]]}, "input_ids must be from 0 to"),
        ({"token_type_ids": [[0, 2]]}, "token_type_ids must be from 0 to 1"),
        ({"attention_mask": [[1, 7]]}, "attention_mask must be from 0 to 1"),
        ({"attention_mask": [[0, 0]]}, "attention_mask is 0 for a whole row"),
        ({"attention_mask": [[1]]}, "attention_mask and input_ids differ in shape"),
        ({"token_type_ids": [[0, 0], [0, 0]]}, "token_type_ids and input_ids differ in shape"),
        ({"input_ids": [[]], "token_type_ids": [[]], "attention_mask": [[]]}, "attention_mask is 0 for a whole row"),
    ],
)
def test_wrong_tokens_are_refused_in_words(tiny_answerer: Answerer, change: dict[str, object], said: str) -> None:
    tokens = {"input_ids": [[1, 2]], "token_type_ids": [[0, 0]], "attention_mask": [[1, 1]], **change}
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        tiny_answerer.tokens(**tokens)


def test_too_many_tokens_are_refused(tiny_answerer: Answerer) -> None:
    ones = np.ones([1, 513], np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="rows are longer than 512 tokens"):
        tiny_answerer.tokens(input_ids=ones, token_type_ids=0 * ones, attention_mask=ones)


def test_an_empty_batch_is_refused(tiny_answerer: Answerer, pairs: Answerer) -> None:
    empty = np.zeros([0, 3], np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        tiny_answerer.tokens(input_ids=empty, token_type_ids=empty, attention_mask=empty)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        tiny_answerer.text(text=tf.constant([], tf.string))
    with pytest.raises(tf.errors.InvalidArgumentError, match="text and second_text differ in number"):
        pairs.text(text=["a", "b"], second_text=["c"])


@settings(max_examples=30, deadline=None)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_answered(tiny_answerer: Answerer, raw: bytes) -> None:
    readable = raw.decode("utf-8", "replace").replace("\0", " ")
    found = tiny_answerer.text(text=[raw, b"a"])
    assert np.isfinite(found["scores"]).all()
    if raw.isascii():
        same = tiny_answerer.text(text=[readable, "a"])
        assert np.array_equal(found["scores"], same["scores"])


def test_bytes_that_are_not_utf8_are_read_as_replacement_characters(tiny_answerer: Answerer) -> None:
    found = tiny_answerer.text(text=[b"gut\xff\xfe!", "gut\ufffd\ufffd!".encode(), b"a\0b", b"a b"])["scores"].numpy()
    assert np.allclose(found[0], found[1], atol=1e-7)
    assert np.allclose(found[2], found[3], atol=1e-7)


def test_over_long_texts_are_cut_and_flagged(tiny_answerer: Answerer) -> None:
    millions = "ก" * 3_000_000
    found = tiny_answerer.text(text=["short", "word " * 500, millions, "x" + " " * 2_000_000])
    assert found["truncated"].numpy().tolist() == [False, True, True, True]
    assert np.isfinite(found["scores"]).all()


def test_without_text_there_are_tokens_alone(tiny_answerer: Answerer) -> None:
    tokens_only = tiny_answerer.without_text()
    assert list(tokens_only.signatures()) == ["serving_default", "tokens"]
    assert not hasattr(tokens_only, "tokenizer")
    with pytest.raises(ModelError, match="the function text of a model that has none"):
        tokens_only.text(text=["a"])


def test_variables_are_held_and_the_keras_model_is_not(tiny_answerer: Answerer) -> None:
    from tfxl.backend import keras

    assert len(tiny_answerer.model_variables) == len(tiny_answerer.parts.model.variables)
    assert not [module for module in tiny_answerer.submodules if isinstance(module, keras.layers.Layer)]


def test_predict_keeps_the_callers_order(tiny_answerer: Answerer) -> None:
    draw = random.Random(0)
    texts = [draw.choice(["a", "日本", "🙂", "سلام", "good "]) * draw.randint(0, 30) for _ in range(53)]
    found = answer.predict(tiny_answerer.text, tiny_answerer.parts.task, {"text": texts}, batch_size=8)
    assert len(found) == 53
    for text, prediction in zip(texts, found, strict=True):
        (alone,) = answer.predict(tiny_answerer.text, tiny_answerer.parts.task, {"text": [text]})
        assert prediction.truncated == alone.truncated
        assert all(abs(prediction.scores[label] - alone.scores[label]) <= 1e-6 for label in alone.scores)
        assert prediction.label == max(prediction.scores, key=lambda label: prediction.scores[label])


def test_predict_groups_texts_of_similar_length_and_tells_progress(tiny_answerer: Answerer) -> None:
    sizes: list[list[int]] = []
    told: list[tuple[str, int | None]] = []

    class Told(Progress):
        def track(self, items: Iterable, *, what: str, total: int | None = None) -> Iterable:
            told.append((what, total))
            return iter(items)

    def function(text: tf.Tensor) -> dict[str, tf.Tensor]:
        sizes.append([len(row) for row in text.numpy()])
        return tiny_answerer.text(text=text)

    texts = ["x" * number for number in (1, 30, 2, 31, 3, 32)]
    answer.predict(function, tiny_answerer.parts.task, {"text": texts}, batch_size=3, progress=Told())
    assert sizes == [[32, 31, 30], [3, 2, 1]]
    assert told == [("batches answered", 2)]


def test_predict_of_nothing_is_nothing(tiny_answerer: Answerer) -> None:
    assert answer.predict(tiny_answerer.text, tiny_answerer.parts.task, {"text": []}) == []


def test_predict_reads_a_lone_surrogate_as_a_replacement_character(tiny_answerer: Answerer) -> None:
    task = tiny_answerer.parts.task
    first, second = answer.predict(tiny_answerer.text, task, {"text": ["a\ud83d", "a\ufffd"]})
    assert first.scores == pytest.approx(second.scores, abs=1e-7)


@pytest.mark.parametrize(
    ("texts", "said"),
    [("one text", "text = 'one text'"), (["a", None], r"text\[1\] = None"), ([b"a"], r"text\[0\] = b'a'")],
)
def test_predict_refuses_what_is_no_list_of_strings(tiny_answerer: Answerer, texts: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        answer.predict(tiny_answerer.text, tiny_answerer.parts.task, {"text": texts})  # type: ignore[dict-item]


def test_predict_refuses_a_missing_second_text(pairs: Answerer) -> None:
    with pytest.raises(ModelError, match="second_text = None"):
        answer.predict(pairs.text, pairs.parts.task, {"text": ["a"]})
    with pytest.raises(ModelError, match="2 of text, 1 of second_text"):
        answer.predict(pairs.text, pairs.parts.task, {"text": ["a", "b"], "second_text": ["c"]})
