"""Retrieval: the loss against one written out, what is no negative, ranks, windows, the teacher and the index."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxl import registry
from tfxl.backend import tf
from tfxl.encoders.tiny import Tiny
from tfxl.errors import DataError, ModelError, RecipeError
from tfxl.example import Example, Match
from tfxl.scoring import answered
from tfxl.serving.answer import Answerer, predict
from tfxl.tasks._contrastive import RankingLoss
from tfxl.tasks._ranks import ranks, right_candidates
from tfxl.tasks.retrieval import Retrieval, _prints
from tfxl.text.dataset import Batches, Rows, StaticShapes
from tfxl.training.fit import Settings, fit


def written_out(rows, vectors, *, temperature, both, label_positives):
    """The loss of rows (text, second, negatives, label), each sum and condition in words of its own."""

    def alike(one, other):  # other's second text is right for one
        return other[1] == one[1] or other[0] == one[0] or other[1] == one[0] or (one[3] and one[3] == other[3])

    def one_side(back):
        losses = []
        for i, row in enumerate(rows):
            turned = (lambda r: (r[1], r[0], r[2], r[3])) if back else (lambda r: r)
            query = vectors[i][1 if back else 0]
            candidates = [(turned(other)[1], vectors[j][0 if back else 1], j) for j, other in enumerate(rows)]
            if not back:
                candidates += [
                    (text, vectors[j][2 + k], None) for j, other in enumerate(rows) for k, text in enumerate(other[2])
                ]
            is_alike = [alike(other, row) if back else alike(row, other) for other in rows]
            belongs = {turned(other)[1] for other, yes in zip(rows, is_alike, strict=True) if yes}
            labelled = {turned(other)[1] for other in rows if row[3] and other[3] == row[3]}
            own = turned(row)[1]
            kept, seen = [(own, query @ vectors[i][0 if back else 1], True)], {own}
            for text, vector, _ in candidates:
                if text in seen:
                    continue
                seen.add(text)
                right = label_positives and text in labelled
                if right or text not in belongs:
                    kept.append((text, query @ vector, right))
            scores = np.array([score for _, score, _ in kept]) / temperature
            chances = scores - np.log(np.exp(scores).sum())
            losses.append(-np.mean([c for c, (_, _, right) in zip(chances, kept, strict=True) if right]))
        return np.array(losses)

    return (one_side(False) + one_side(True)) / 2 if both else one_side(False)


TEXT = st.sampled_from(["a", "b", "c", "d", "e"])
ROW = st.tuples(TEXT, TEXT, st.lists(TEXT, min_size=2, max_size=2), st.sampled_from(["", "", "x", "y"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6), st.booleans(), st.booleans(), st.sampled_from([0, 2]))
def test_the_loss_is_the_one_written_out(rows, both, label_positives, negatives):
    rows = [(text, second, choices[:negatives], label) for text, second, choices, label in rows]
    k = 2 + negatives
    generator = np.random.default_rng(0)
    of_text = {text: generator.normal(size=4) for text in "abcde"}  # one text, one vector: copies make no difference
    vectors = np.array([[of_text[each] for each in (row[0], row[1], *row[2])] for row in rows])
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    columns = [[row[0] for row in rows], [row[1] for row in rows]]
    columns += [[row[2][place] for row in rows] for place in range(negatives)]
    target = _prints([tf.constant(column) for column in columns], tf.constant([row[3] for row in rows]))
    loss = RankingLoss(rows_per_text=k, temperature=0.3, both_directions=both, label_positives=label_positives)
    found = loss.call(target, tf.constant(vectors.reshape(-1, 4), tf.float32))
    expected = written_out(rows, vectors, temperature=0.3, both=both, label_positives=label_positives)
    np.testing.assert_allclose(found, np.repeat(expected, k), rtol=1e-4, atol=1e-5)


def test_sizes_are_lost_on_the_first_dimensions_alone():
    generator = np.random.default_rng(1)
    logits = tf.constant(generator.normal(size=(6, 8)), tf.float32)
    target = _prints([tf.constant(["a", "b", "c"]), tf.constant(["d", "e", "f"])], tf.constant([""] * 3))
    whole = RankingLoss(rows_per_text=2, temperature=0.1)
    sizes = RankingLoss(rows_per_text=2, temperature=0.1, sizes=(8, 3))
    expected = (whole.call(target, logits) + whole.call(target, logits[:, :3])) / 2
    np.testing.assert_allclose(sizes.call(target, logits), expected, rtol=1e-5)


def test_a_row_that_fills_a_batch_up_changes_nothing(tmp_path):
    """Static shapes repeat the first row with weight 0: the others must not see it as one more negative."""
    task = Retrieval(max_length=16)
    examples = [Example(text, second_text=second) for text, second in [("gut", "good"), ("bad", "很差"), ("a", "b")]]
    rows = Rows.write(examples, tmp_path / "rows", group=lambda example: "all")
    encoder = Tiny()
    model, losses = task.model(encoder.build()), []
    for static in (None, StaticShapes((16,))):
        batches = Batches(rows, task, encoder.tokenizer(), batch_size=3 if static is None else 4, seed=0, static=static)
        inputs, target, weight = next(iter(batches.dataset(1)))
        losses.append(float(task.loss()(target, model(inputs), sample_weight=weight)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("static", [None, StaticShapes((16,))])
def test_devices_never_share_a_text(tmp_path, static):
    """A batch is cut between texts, whatever its size and however many devices there are."""
    task = Retrieval(max_length=16)
    examples = [Example(f"gut {number}", second_text="good") for number in range(7)]
    rows = Rows.write(examples, tmp_path / "rows", group=lambda example: "all")
    batches = Batches(rows, task, Tiny().tokenizer(), batch_size=5, seed=0, static=static, replicas=2)
    weights = [weight.numpy() for _, _, weight in batches.dataset(1)]
    assert sorted(len(weight) for weight in weights) == ([12, 12] if static else [4, 12])
    assert sorted(np.count_nonzero(weight) for weight in weights) == [4, 10]
    np.testing.assert_allclose([weight.mean() for weight in weights], 1, rtol=1e-6)


def test_ranks_count_wrong_candidates_only_and_ties_are_no_find():
    queries, candidates = np.eye(3, dtype=np.float32), np.array([[1, 0, 0], [0.9, 1, 0], [0, 0, 0], [0.8, 0, 0.5]])
    assert ranks(queries, candidates, [{0}, {1}, {2}]) == [1, 1, 4]
    assert ranks(queries, candidates, [{3, 1}, {0, 1}, {3}]) == [(2, 3), (1, 4), 1]
    assert ranks(np.ones((2, 4)), np.ones((5, 4)), [{0}, {1, 2}]) == [5, (4, 5)]


def test_candidates_are_different_texts_and_right_for_every_pair_that_says_so():
    pairs = [("a", "x", ""), ("b", "y", "one"), ("a", "z", ""), ("c", "x", "one"), ("d", "x", "")]
    candidates, right = right_candidates(pairs)
    assert candidates == ["x", "y", "z"]
    assert right == [{0, 2}, {0, 1}, {0, 2}, {0, 1}, {0}]


def test_each_language_is_searched_by_itself():
    task = Retrieval()
    vectors = {"a": [1, 0], "A": [1, 0.1], "b": [0, 1], "B": [1, 0.05]}
    examples = [Example("a", second_text="A", language="de"), Example("b", second_text="B", language="hi")]
    order = [each.text for each in examples] + [each.second_text for each in examples]
    predictions = [task.prediction({"embedding": np.array(vectors[text], np.float32)}) for text in order]
    assert task.answers(examples, predictions) == [{"forward": 1, "backward": 1}] * 2
    together = [Example("a", second_text="A"), Example("b", second_text="B")]
    assert task.answers(together, predictions) == [{"forward": 2, "backward": 1}, {"forward": 2, "backward": 2}]


def test_a_pair_without_second_text_is_refused():
    with pytest.raises(DataError, match="no second text"):
        Retrieval().gold(Example("a"))
    with pytest.raises(DataError, match="0 choices"):
        Retrieval(negatives=1).observe(Example("a", second_text="b"))


@pytest.fixture(scope="module")
def tiny():
    """A model without training."""
    task, encoder = Retrieval(max_length=16, second_prefix="passage: "), Tiny()
    return task, task.model(encoder.build()), encoder.tokenizer()


def test_each_side_has_its_prefix(tiny):
    task, model, tokenizer = tiny
    answerer = Answerer(model, task, tokenizer)
    by_hand = Answerer(model, Retrieval(max_length=16), tokenizer)
    second = answerer.function("second_text")(second_text=["很好"])
    np.testing.assert_allclose(second["embedding"], by_hand.text(text=["passage: 很好"])["embedding"], atol=1e-6)
    np.testing.assert_allclose(
        answerer.text(text=["很好"])["embedding"], by_hand.text(text=["很好"])["embedding"], atol=1e-6
    )


def test_dimensions_are_cut_and_have_length_1_again(tiny):
    task, model, tokenizer = tiny
    whole = Answerer(model, task, tokenizer).text(text=["gut", "很好"])["embedding"].numpy()
    small = Answerer(model, Retrieval(max_length=16, dimensions=3), tokenizer).text(text=["gut", "很好"])["embedding"]
    expected = whole[:, :3] / np.linalg.norm(whole[:, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(small, expected, atol=1e-6)


@pytest.mark.parametrize("told", [{"dimensions": 9}, {"matryoshka": [8, 9]}])
def test_more_dimensions_than_there_are_are_refused(told):
    with pytest.raises(RecipeError, match="9 dimensions of embeddings that have 8"):
        Retrieval(**told).model(Tiny().build())


def test_windows_of_a_long_text_give_one_vector(tiny):
    _, model, tokenizer = tiny
    task = Retrieval(max_length=8, stride=2)
    answerer = Answerer(model, task, tokenizer)
    long, short = predict(answerer.text, task, {"text": ["das Zimmer war sehr groß " * 5, "gut"]})
    assert not long.truncated
    assert np.linalg.norm(long.vector) == pytest.approx(1, abs=1e-5)
    alone = Answerer(model, Retrieval(max_length=8), tokenizer).text(text=["gut"])["embedding"]
    np.testing.assert_allclose(short.vector, alone[0], atol=1e-6)


def test_an_index_answers_with_the_nearest_texts(tiny):
    task, model, tokenizer = tiny
    texts = ["sehr gut", "很差", "جيد", "बुरा 👍", "e\u0301te\u0301"]
    vectors = Answerer(model, task, tokenizer).function("second_text")(second_text=texts)["embedding"].numpy()
    found = task.with_index(vectors, texts, ids=["1", "2", "3", "4", "5"])
    answerer = Answerer(model, found, tokenizer)
    prediction, _ = predict(answerer.text, found, {"text": ["gut", "很差"]})
    scores = vectors @ np.asarray(prediction.vector, np.float32)
    order = np.argsort(-scores)
    assert [match.text for match in prediction.matches] == [texts[place] for place in order]
    assert prediction.matches[0] == Match(texts[order[0]], pytest.approx(scores[order[0]], abs=1e-6), str(order[0] + 1))
    assert task.index is None
    assert "matches" not in answerer.function("second_text")(second_text=["gut"])


def test_an_index_wants_as_many_vectors_as_texts(tiny):
    with pytest.raises(ModelError, match="2 texts, 1 vectors, 2 ids"):
        tiny[0].with_index(np.zeros((1, 8)), ["a", "b"])


def test_a_teacher_is_asked_once_for_each_text(tmp_path):
    task = Retrieval(max_length=16, teacher={"kind": "tiny", "seed": 7}, prefix="query: ")
    examples = [
        Example("gut", second_text="good"),
        Example("很好", second_text="good"),
        Example("gut", second_text="x"),
    ]
    target = task.features(examples)["target"]
    teacher = Tiny(seed=7)
    alone = Retrieval(max_length=16, prefix="query: ")
    answerer = Answerer(alone.model(teacher.build()), alone, teacher.tokenizer())
    np.testing.assert_allclose(target, answerer.text(text=["gut", "很好", "gut"])["embedding"], atol=1e-6)
    task._teacher.__dict__["_function"] = None  # a second question would fail
    np.testing.assert_array_equal(task.features(examples)["target"], target)
    rows = Rows.write(examples, tmp_path / "rows", group=lambda example: "all")
    _, targets, weight = next(iter(Batches(rows, task, teacher.tokenizer(), batch_size=3, seed=0).dataset(1)))
    assert targets.shape == (6, 8)
    np.testing.assert_array_equal(targets[::2], targets[1::2])
    assert weight.shape == (6,)


@pytest.mark.parametrize("joint", [False, True])
def test_a_teacher_of_another_width_is_refused_before_training(tmp_path, joint):
    spec = {"kind": "retrieval", "max_length": 16, "teacher": {"kind": "tiny", "width": 16}}
    student = Tiny()

    def trained(head):
        kind = {"kind": "joint", "tasks": {"find": {**spec, "head": head}}} if joint else spec
        task = registry.build("tasks", kind)
        label = {"find": None} if joint else None
        examples = [Example(text, second_text=text, label=label) for text in ("gut", "很好")]
        for example in examples:
            task.observe(example)
        rows = Rows.write(examples, tmp_path / "rows", group=lambda example: "all")
        batches = Batches(rows, task, student.tokenizer(), batch_size=2, seed=0)
        model = task.model(student.build(), registry.build("heads", head))
        return fit(model, task, batches, Settings(epochs=1, precision="float32"))

    with pytest.raises(RecipeError, match="8 dimensions that are to learn a teacher's of 16") as caught:
        trained({"kind": "embedding"})
    assert "head.projection = 16" in caught.value.fix
    assert trained({"kind": "embedding", "projection": 16}).updates == 1


def test_a_saved_student_does_not_ask_its_teacher(tmp_path):
    """Its folder may be gone by then."""
    task = Retrieval(max_length=16, teacher={"kind": "bert", "weights": str(tmp_path / "absent")})
    assert task.model(Tiny().build()).output.shape[-1] == 8


def test_a_teacher_and_negatives_are_refused():
    with pytest.raises(RecipeError, match="a teacher, who compares no texts"):
        Retrieval(teacher={"kind": "tiny"}, negatives=1)
    with pytest.raises(RecipeError, match="one vector for each text"):
        Retrieval(teacher={"kind": "tiny"}, stride=4)


def test_what_is_measured_is_both_sides(tiny):
    task, model, tokenizer = tiny
    examples = [Example("gut", second_text="gut"), Example("很差", second_text="很差")]
    predictions = answered(Answerer(model, task, tokenizer), task, examples)
    assert len(predictions) == 4
    assert len(task.answers(examples, predictions)) == 2
