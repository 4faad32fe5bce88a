"""Alignment of words and units in many scripts, the loss, and answers whose places are right."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfxl import graphemes
from tfxl.backend import keras, tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, RecipeError
from tfxl.example import Example, Prediction, Span
from tfxl.heads.crf import Crf
from tfxl.heads.token import Token
from tfxl.serving.answer import Answerer, encode, predict
from tfxl.tasks.token_classification import TagLoss, TokenClassification
from tfxl.text.dataset import Batches, Rows, StaticShapes

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TOKENIZERS = {kind: Tiny(vocabulary=kind).tokenizer() for kind in ("sentencepiece", "wordpiece")}
SENTENCES = [
    ("O'Neil war in Zürich .", "O'Neil war in Zürich .", "B-PER O O B-LOC O"),
    ("Anna Müller, Köln", "Anna Müller , Köln", "B-PER I-PER O B-LOC"),
    ("这家酒店很吵。", "这 家 酒店 很 吵 。", "O B-PER B-LOC O O O"),
    ("早餐干净不好吃", "早餐 干净 不 好吃", "B-PER B-LOC I-LOC I-LOC"),
    ("أحمد في القاهرة", "أحمد في القاهرة", "B-PER O B-LOC"),
    ("ห้องพักสะอาด", "ห้องพัก สะอาด", "O B-LOC"),
    ("कमरा साफ़ था", "कमरा साफ़ था", "B-PER B-LOC O"),
    ("رضا می\u200cرود", "رضا می\u200cرود", "B-PER O"),
    ("  ＡＢＣ ﬁne", "ＡＢＣ ﬁne", "B-PER O"),
    ("Jose\u0301 👩🏽\u200d💻", "Jose\u0301 👩🏽\u200d💻", "B-PER O"),
]
EXAMPLES = [Example(text, label=tuple(tags.split()), words=tuple(words.split())) for text, words, tags in SENTENCES]


def make(**values):
    return TokenClassification(**{"labels": TAGS, "max_length": 64, **values})


def trained_on(task, examples, tokenizer):
    """What training gets, without windows."""
    features = {name: tf.constant(value) for name, value in task.features(examples).items()}
    return task.encode(features, tokenizer)


def sure_of(target):
    return tf.one_hot(tf.maximum(target, 0), len(TAGS)) * 20.0


def answered(task, logits, encoded):
    rows = {name: value.numpy() for name, value in task.decode(logits, encoded).items()}
    return [
        task.prediction({name: value[row] for name, value in rows.items()}) for row in range(len(rows["truncated"]))
    ]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_what_training_is_told_is_what_a_sure_model_answers(kind):
    task = make()
    encoded = trained_on(task, EXAMPLES, TOKENIZERS[kind])
    predictions = answered(task, sure_of(encoded["target"]), encoded)
    assert task.answers(EXAMPLES, predictions) == [task.gold(example) for example in EXAMPLES]
    found = [[(span.text, span.label) for span in prediction.spans] for prediction in predictions]
    assert found[0] == [("O'Neil", "PER"), ("Zürich", "LOC")]
    assert found[1] == [("Anna Müller", "PER"), ("Köln", "LOC")]
    assert found[2] == [("家", "PER"), ("酒店", "LOC")]
    assert found[3] == [("早餐", "PER"), ("干净不好吃", "LOC")]
    assert found[9] == [("Jose\u0301", "PER")]
    assert all(span.score > 0.99 for prediction in predictions for span in prediction.spans)


def test_only_the_first_token_of_a_unit_is_labelled_and_b_only_at_a_words_beginning():
    task, tokenizer = make(), TOKENIZERS["sentencepiece"]
    encoded = trained_on(task, [EXAMPLES[0]], tokenizer)
    text, target = EXAMPLES[0].text.encode(), encoded["target"].numpy()[0]
    starts = encoded["starts"].numpy()[0]
    labelled = [
        (text[start:].split()[0].decode(), TAGS[tag]) for start, tag in zip(starts, target, strict=True) if tag >= 0
    ]
    assert labelled == [
        ("O'Neil", "B-PER"), ("'Neil", "I-PER"), ("Neil", "I-PER"),
        ("war", "O"), ("in", "O"), ("Zürich", "B-LOC"), (".", "O"),
    ]  # fmt: skip
    assert (starts >= 0).sum() > len(labelled)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("rule", ["unicode", "spaces"])
@pytest.mark.parametrize("mark", ["\ufffd", "\ue000", "\U000f0000", "\u200e"])
def test_what_stands_for_nothing_before_a_word_or_in_place_of_one_takes_no_label(kind, rule, mark):
    rows = [
        (f"{mark}Anna war", [f"{mark}Anna", "war"], "B-PER O"),
        (f"Anna{mark} war", [f"Anna{mark}", "war"], "B-PER O"),
        (f"das {mark} Zimmer", ["das", mark, "Zimmer"], "O O B-LOC"),
        (f"{mark} Zimmer war", [mark, "Zimmer", "war"], "O B-LOC O"),
    ]
    if rule == "unicode":
        rows.append((f"这{mark}家", ["这", mark, "家"], "O O B-LOC"))
    examples = [Example(text, label=tuple(tags.split()), words=tuple(words)) for text, words, tags in rows]
    task = make(words=rule)
    encoded = trained_on(task, examples, TOKENIZERS[kind])
    predictions = answered(task, sure_of(encoded["target"]), encoded)
    assert task.answers(examples, predictions) == [example.label for example in examples]
    found = [[span.text.strip(mark) for span in prediction.spans] for prediction in predictions]
    assert found == [["Anna"], ["Anna"], ["Zimmer"], ["Zimmer"], ["家"]][: len(rows)]


def test_spaces_alone_make_units_of_whole_words():
    task = make(words="spaces")
    encoded = trained_on(task, EXAMPLES[:2], TOKENIZERS["sentencepiece"])
    assert [(row >= 0).sum() for row in encoded["target"].numpy()] == [5, 3]
    predictions = answered(task, sure_of(encoded["target"]), encoded)
    assert [span.text for span in predictions[1].spans] == ["Anna Müller,", "Köln"]


def test_texts_outside_of_words_are_not_learned():
    example = Example("x [Anna] y", label=("B-PER",), words=("Anna",))
    target = trained_on(make(), [example], TOKENIZERS["sentencepiece"])["target"].numpy()
    assert sorted(set(target[0])) == [-1, 1]


def test_weights_make_the_mean_over_rows_that_over_units():
    task = make()
    encoded = trained_on(task, EXAMPLES, TOKENIZERS["sentencepiece"])
    target = encoded["target"].numpy()
    logits = np.random.default_rng(0).normal(size=(*target.shape, 5)).astype(np.float32)
    log_probabilities = tf.nn.log_softmax(logits).numpy()
    rows, tokens = np.nonzero(target >= 0)
    expected = -log_probabilities[rows, tokens, target[rows, tokens]].mean()
    loss = task.loss()(encoded["target"], logits, sample_weight=encoded["weight"])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_row_whose_weight_is_0_counts_nothing():
    task = make()
    features = {name: tf.constant(value) for name, value in task.features(EXAMPLES[:4]).items()}
    features["weight"] = tf.constant([2.0, 2.0, 0.0, 0.0])  # how a batch is filled up
    filled = task.encode(features, TOKENIZERS["sentencepiece"])
    alone = trained_on(task, EXAMPLES[:2], TOKENIZERS["sentencepiece"])
    losses = [
        task.loss()(each["target"], tf.zeros([*each["target"].shape, 5]) + tf.range(5.0), sample_weight=each["weight"])
        for each in (filled, alone)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_loss_of_a_chain_is_its_negative_log_likelihood():
    generator = np.random.default_rng(0)
    potentials = generator.normal(size=(1, 5, 2, 2)).astype(np.float32)
    scores = [
        potentials[0, 1, 0, a] + potentials[0, 0, 0, a] + potentials[0, 3, a, b]
        for a, b in itertools.product(range(2), repeat=2)
    ]
    expected = np.logaddexp.reduce(scores) - scores[2]
    loss = TagLoss().call(tf.constant([[-1, 1, -1, 0, -1]]), potentials)
    np.testing.assert_allclose(loss, [expected / 2], rtol=1e-5)


def test_rows_without_labels_lose_nothing():
    target = tf.fill([2, 4], -1)
    for logits in (tf.random.normal([2, 4, 3]), tf.random.normal([2, 4, 3, 3])):
        assert TagLoss().call(target, logits).numpy().tolist() == [0.0, 0.0]


def chain(emission, transitions=0.0):
    potentials = emission[:, :, None, :] + np.zeros((5, 5), np.float32) + transitions
    potentials[:, 0] = -transitions
    return tf.constant(potentials, tf.float32)


def test_a_chain_gives_no_impossible_tags():
    task = make(words="spaces")
    encoded = encode({"text": tf.constant(["Anna war in Bonn"])}, task, TOKENIZERS["sentencepiece"])
    tags = ["I-PER", "I-LOC", "B-LOC", "I-PER"]
    emission = np.zeros((*encoded["input_ids"].shape, 5), np.float32)
    asked = encoded["speakers"].numpy()[0, encoded["is_unit"].numpy()[0]]
    emission[0, asked, [TAGS.index(tag) for tag in tags]] = 1.0
    found = answered(task, chain(emission), encoded)[0].spans
    repaired = answered(task, tf.constant(emission), encoded)[0].spans
    assert [(span.text, span.label) for span in repaired] == [
        ("Anna", "PER"), ("war", "LOC"), ("in", "LOC"), ("Bonn", "PER")
    ]  # fmt: skip
    # Each I- after nothing of its own costs the point it would have earned; all is as good that keeps B-LOC.
    assert ("in", "LOC") in [(span.text, span.label) for span in found] or ("in Bonn", "LOC") in [
        (span.text, span.label) for span in found
    ]
    assert all(0 < span.score <= 1 for span in found)


def test_transitions_reach_over_tokens_between_units():
    task = make(words="spaces")
    encoded = encode({"text": tf.constant(["Anna Müllerin"])}, task, TOKENIZERS["sentencepiece"])
    units = np.flatnonzero(encoded["is_unit"].numpy()[0])
    assert len(units) == 2
    assert np.diff(units) > 1
    emission = np.zeros((*encoded["input_ids"].shape, 5), np.float32)
    emission[0, encoded["speakers"].numpy()[0, units[0]], TAGS.index("B-PER")] = 5.0
    transitions = np.zeros((5, 5), np.float32)
    transitions[TAGS.index("B-PER"), TAGS.index("I-PER")] = 5.0
    found = answered(task, chain(emission, transitions), encoded)[0].spans
    assert [(span.text, span.label) for span in found] == [("Anna Müllerin", "PER")]


@pytest.mark.slow
def test_a_chain_learns_and_is_served():
    keras.utils.set_random_seed(0)
    task, encoder = make(), Tiny()
    encoded = trained_on(task, EXAMPLES, TOKENIZERS["sentencepiece"])
    model = task.model(encoder.build(), Crf(dropout=0.0))
    model.compile(keras.optimizers.Adam(0.05), loss=task.loss())
    inputs = {name: encoded[name] for name in model.input}
    model.fit(inputs, encoded["target"], sample_weight=encoded["weight"], epochs=40, batch_size=16, verbose=0)
    answerer = Answerer(model, task, encoder.tokenizer())
    predictions = predict(answerer.text, task, {"text": [example.text for example in EXAMPLES]}, batch_size=4)
    right = [one == task.gold(row) for one, row in zip(task.answers(EXAMPLES, predictions), EXAMPLES, strict=True)]
    assert np.mean(right) > 0.8
    labels = answerer.tokens(**{name: inputs[name] for name in inputs})["token_labels"]
    assert labels.shape == inputs["input_ids"].shape


def test_windows_give_what_one_row_gives():
    words = [f"w{number}" for number in range(60)]
    text = " ".join(words)
    short, long = make(max_length=16, stride=6), make(max_length=512)
    whole, windows = (
        encode({"text": tf.constant([text, "kurz"])}, task, TOKENIZERS["sentencepiece"]) for task in (long, short)
    )
    assert windows["input_ids"].shape[0] > 10

    def logits(encoded):  # a function of the place alone
        return tf.one_hot(tf.maximum(encoded["starts"], 0) // 3 % 5, 5) * 10.0

    expected, found = (answered(task, logits(each), each) for task, each in ((long, whole), (short, windows)))
    assert expected == found
    assert not expected[0].truncated
    assert len(expected[0].spans) > 20


def test_training_windows_have_the_tags_of_their_words():
    words = ["Anna", "Müllerin", "war", "in", "Zürich"] * 4
    example = Example(" ".join(words), label=("B-PER", "I-PER", "O", "O", "B-LOC") * 4, words=tuple(words))
    task = make(max_length=16, stride=4)
    features = {name: tf.constant(value) for name, value in task.features([example, example]).items()}
    rows = [
        task.encode({**features, "window": tf.constant([number, number])}, TOKENIZERS["sentencepiece"])
        for number in range(5)
    ]
    seen = set()
    for row in rows:
        for start, tag in zip(row["starts"].numpy()[1], row["target"].numpy()[1], strict=True):
            if tag >= 0:
                seen.add((example.text.encode()[start:].split()[0].decode(), TAGS[tag]))
    assert seen == {("Anna", "B-PER"), ("Müllerin", "I-PER"), ("war", "O"), ("in", "O"), ("Zürich", "B-LOC")}


def test_words_that_were_cut_off_are_outside():
    task = make(max_length=6)
    encoded = trained_on(task, [EXAMPLES[0]], TOKENIZERS["sentencepiece"])
    prediction = answered(task, sure_of(encoded["target"]), encoded)[0]
    assert prediction.truncated
    assert task.answers([EXAMPLES[0]], [prediction]) == [("B-PER", "O", "O", "O", "O")]


def test_parts_of_speech_label_every_unit():
    task = make(labels=("NOUN", "VERB", "PUNCT"))
    example = Example("Anna schläft.", label=("NOUN", "VERB", "PUNCT"), words=("Anna", "schläft", "."))
    assert not task.is_bio
    assert task.metrics == ("tag_accuracy",)
    encoded = trained_on(task, [example], TOKENIZERS["sentencepiece"])
    prediction = answered(task, tf.one_hot(tf.maximum(encoded["target"], 0), 3) * 9.0, encoded)[0]
    assert [(span.text, span.label) for span in prediction.spans] == list(
        zip(example.words, example.label, strict=True)
    )
    assert task.answers([example], [prediction]) == [example.label]
    assert task.answers([example], [Prediction()]) == [("NOUN",) * 3]


def test_tags_of_words_that_share_a_span():
    task = make()
    example = Example("Anna Lena Bonn", label=("O", "O", "O"), words=("Anna", "Lena", "Bonn"))
    found = (Span("Anna Lena", 0, 9, 0, 9, "PER"), Span("Bonn", 10, 14, 10, 14, "LOC"))
    assert task.answers([example], [Prediction(spans=found)]) == [("B-PER", "I-PER", "B-LOC")]


def test_tokens_alone_give_labels_of_tokens():
    task = make()
    inputs = {"attention_mask": tf.constant([[1, 1, 1, 0]])}
    answer = task.decode(tf.one_hot([[0, 1, 0, 0]], 5) * 10.0, inputs)
    assert answer["token_labels"].numpy().tolist() == [[b"O", b"B-PER", b"O", b""]]
    assert answer["token_scores"].numpy()[0, 3] == 0
    assert task.decode(chain(np.zeros((1, 4, 5), np.float32)), inputs)["token_labels"].shape == (1, 4)


@pytest.mark.parametrize(
    ("example", "got"),
    [
        (Example("Anna", label=("B-PRE",), words=("Anna",), source="a.conll:3"), "a.conll:3: tag 'B-PRE'"),
        (Example("Anna", label=("O", "O"), words=("Anna",)), "for 1 words"),
        (Example("Anna", label="O", words=("Anna",)), "label 'O'"),
        (Example("Anna"), "label None for 0 words"),
        (Example("Anna", label=("O",), words=("anna",)), "the word 'anna' is not in the text 'Anna'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(example, got):
    with pytest.raises(DataError) as caught:
        make().gold(example)
    assert got in caught.value.got


@pytest.mark.parametrize(
    "values",
    [
        {"labels": ["O"]},
        {"labels": ["O", "O"]},
        {"labels": ["B-PER", "I-PER"], "scheme": "bio"},
        {"labels": ["O", "B-PER", "I-PER", "MISC"], "scheme": "bio"},
        {"words": "bytes"},
    ],
)
def test_wrong_settings_are_refused(values):
    with pytest.raises(RecipeError):
        make(**values)


def test_the_other_half_of_a_label_is_learned_too():
    task = make(labels=["O", "B-PER", "I-LOC"])
    assert task.tags == ("O", "B-PER", "I-LOC", "I-PER", "B-LOC")
    assert task.units == 5
    assert task.gold(Example("Bonn", label=("B-LOC",), words=("Bonn",))) == ("B-LOC",)


def test_spans_of_data_without_beginnings_are_learned_with_them():
    task = make(labels=["O", "I-PER", "I-LOC"])
    example = Example("Ann Lee in Bonn", label=("I-PER", "I-PER", "O", "I-LOC"), words=("Ann", "Lee", "in", "Bonn"))
    learned = [task.tags[tag] for tag in task.features([example])["word_tags"][0]]
    assert learned == ["B-PER", "I-PER", "O", "B-LOC"]
    assert task.gold(example) == example.label


@pytest.mark.slow
@pytest.mark.parametrize("head", [Token(dropout=0.0), Crf(dropout=0.0)])
def test_static_shapes_and_xla_make_the_same_updates(head, tmp_path):
    """Seven rows in batches of four: the last one is filled up, and all are padded, targets too."""
    task, encoder = make(max_length=24), Tiny()
    rows = Rows.write(EXAMPLES[:7], tmp_path / "rows", group=lambda example: example.language)
    weights = []
    for static in (None, StaticShapes.up_to(24)):
        keras.utils.set_random_seed(0)
        batches = Batches(rows, task, encoder.tokenizer(), batch_size=4, seed=0, static=static)
        model = task.model(encoder.build(), head)
        model.compile(keras.optimizers.SGD(0.5), loss=task.loss(), jit_compile=static is not None)
        model.fit(batches.dataset(1), verbose=0)
        weights.append(model.get_layer("head").get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


LETTERS = [
    *"aZé1.,!'-_ \t\n北京のラーกำเมກຳខ្មែរမြန်القاهرةदिल्लीﬁＡ½👩🏽💻🇩🇪",
    *"\u00a0\u3000\u200d\u200c\u200b\u200e\u0301\ufe0f\U000e0067\U00020000Ⰰ\ufffd▁\x00\u00ad",
]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from(LETTERS), max_size=30), min_size=1, max_size=3),
    kind=st.sampled_from(sorted(TOKENIZERS)),
    rule=st.sampled_from(["unicode", "spaces"]),
    stride=st.sampled_from([0, 2]),
    scheme=st.sampled_from(["bio", "none"]),
    seed=st.integers(0, 1000),
)
@example(texts=["\u17d2\u1014"], kind="sentencepiece", rule="unicode", stride=0, scheme="bio", seed=0)  # a linker
def test_places_are_right_in_any_text(texts, kind, rule, stride, scheme, seed):
    task = make(words=rule, stride=stride, scheme=scheme, max_length=10 if stride else 64)
    encoded = encode({"text": tf.constant(texts)}, task, TOKENIZERS[kind])
    logits = np.random.default_rng(seed).normal(size=(*encoded["input_ids"].shape, len(TAGS))).astype(np.float32)
    for text, prediction in zip(texts, answered(task, tf.constant(logits), encoded), strict=True):
        text, before = text.replace("\x00", " "), 0
        for span in prediction.spans:
            assert text[span.start : span.end] == span.text != ""
            assert text.encode()[span.start_byte : span.end_byte].decode() == span.text
            assert before <= span.start_byte
            assert 0 < span.score <= 1
            # A span ends where a reader's character does, unless white space is part of one.
            assert graphemes.count(text) >= graphemes.count(text[: span.end] + " " + text[span.end :]) - 1
            before = span.end_byte


def test_a_space_that_is_a_token_of_its_own_learns_the_label_of_its_word():
    tokenizer = Tiny().tokenizer()
    example = Example("這 家 Zimmer", words=("這", "家", "Zimmer"), label=("B-X", "I-X", "O"))
    task = TokenClassification(labels=["O", "B-X", "I-X"], words="spaces")
    encoded = trained_on(task, [example], tokenizer)
    pieces = [tokenizer.piece(id) for id in encoded["input_ids"][0].numpy()]
    learned = [
        (piece, task.tags[tag]) for piece, tag in zip(pieces, encoded["target"][0].numpy(), strict=True) if tag >= 0
    ]
    assert learned == [("▁", "B-X"), ("▁家", "I-X"), ("▁Zimmer", "O")]
