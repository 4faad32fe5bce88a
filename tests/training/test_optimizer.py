"""The optimizers against brute force, PyTorch and the situations that break slot variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfxl.backend import keras, tf
from tfxl.training.optimizer import TABLE_ROWS, AdamW, Sgd

RATE, DECAY = 0.01, 0.1


class BruteForceAdamW:
    """The textbook rule for one array, in float64."""

    def __init__(self, value, *, decay):
        self.value, self.decay = np.array(value, np.float64), decay
        self.momentum, self.velocity, self.step = np.zeros_like(self.value), np.zeros_like(self.value), 0

    def update(self, gradient, rows=slice(None)):
        self.step += 1
        self.momentum[rows] = 0.9 * self.momentum[rows] + 0.1 * gradient[rows]
        self.velocity[rows] = 0.999 * self.velocity[rows] + 0.001 * gradient[rows] ** 2
        mean = self.momentum[rows] / (1 - 0.9**self.step)
        spread = np.sqrt(self.velocity[rows] / (1 - 0.999**self.step))
        self.value[rows] -= RATE * self.decay * self.value[rows]
        self.value[rows] -= RATE * mean / (spread + 1e-8)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def table(random, name="word_embeddings/weight"):
    return tf.Variable(random.normal(size=(TABLE_ROWS, 2)).astype(np.float32), name=name)


def slices(random, rows=(5, 9, 5, 70, 9, 5)):
    return tf.IndexedSlices(
        tf.constant(random.normal(size=(len(rows), 2)), tf.float32), tf.constant(rows), tf.constant([TABLE_ROWS, 2])
    )


def dense(gradient):
    return np.asarray(tf.convert_to_tensor(gradient), np.float64)


def in_graph(optimizer):
    return tf.function(lambda *pairs: optimizer.apply_gradients(pairs))


def test_dense_update_equals_brute_force_with_decay_and_clipping(random):
    kernel = tf.Variable(random.normal(size=(3, 4)).astype(np.float32), name="dense/kernel")
    bias = tf.Variable(random.normal(size=4).astype(np.float32), name="dense/bias")
    expected = [BruteForceAdamW(kernel, decay=DECAY), BruteForceAdamW(bias, decay=0)]
    optimizer = AdamW(RATE, weight_decay=DECAY, clip_norm=1.0)
    for _ in range(5):
        gradients = [random.normal(size=variable.shape).astype(np.float32) for variable in (kernel, bias)]
        norm = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in gradients))
        optimizer.apply_gradients(zip(map(tf.constant, gradients), (kernel, bias), strict=True))
        for reference, gradient in zip(expected, gradients, strict=True):
            reference.update(gradient / max(norm, 1))
    np.testing.assert_allclose(kernel, expected[0].value, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(bias, expected[1].value, rtol=1e-5, atol=1e-7)


@pytest.mark.torch
@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_update_equals_pytorch(random, decay):
    torch = pytest.importorskip("torch")
    start = random.normal(size=(4, 3)).astype(np.float32)
    ours, theirs = tf.Variable(start, name="dense/kernel"), torch.nn.Parameter(torch.tensor(start))
    optimizer = AdamW(RATE, weight_decay=decay)
    reference = torch.optim.AdamW([theirs], lr=RATE, weight_decay=decay, eps=1e-8)
    for scale in (1.0, 1e-7, 1e3, 1.0, 0.0):
        gradient = (scale * random.normal(size=start.shape)).astype(np.float32)
        optimizer.apply_gradients([(tf.constant(gradient), ours)])
        theirs.grad = torch.tensor(gradient)
        reference.step()
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("lazy", [True, False])
def test_rows_equal_brute_force(random, lazy):
    variable = table(random)
    expected = BruteForceAdamW(variable, decay=DECAY)
    apply = in_graph(AdamW(RATE, weight_decay=DECAY, lazy=lazy, no_decay=()))
    for rows in ((5, 9, 5), (9, 70), (3, 3, 3), (5,)):
        gradient = slices(random, rows)
        apply((gradient, variable))
        expected.update(dense(gradient), rows=np.unique(rows) if lazy else slice(None))
    np.testing.assert_allclose(variable, expected.value, rtol=1e-5, atol=1e-6)


def test_lazy_update_leaves_other_rows_and_their_moments_alone(random):
    variable, optimizer = table(random), AdamW(RATE, weight_decay=DECAY, no_decay=())
    before = variable.numpy()
    optimizer.apply_gradients([(slices(random), variable)])
    moments = [slot.numpy() for slot in optimizer.variables if slot.shape == variable.shape]
    touched = np.isin(np.arange(TABLE_ROWS), [5, 9, 70])
    assert len(moments) == 2
    assert (variable.numpy() != before).all(axis=1).tolist() == touched.tolist()
    for moment in moments:
        assert (moment != 0).all(axis=1).tolist() == touched.tolist()


@pytest.mark.parametrize("accumulation_steps", [1, 3])
def test_no_tensor_of_the_graph_has_the_size_of_the_table(random, accumulation_steps):
    variable = table(random)
    optimizer = AdamW(RATE, weight_decay=DECAY, clip_norm=1.0, accumulation_steps=accumulation_steps, no_decay=())
    graph = in_graph(optimizer).get_concrete_function((slices(random), variable)).graph
    graphs = [graph, *(function.graph for function in graph._functions.values() if hasattr(function, "graph"))]
    shapes = [tensor.shape for each in graphs for op in each.get_operations() for tensor in op.outputs]
    assert variable.shape not in shapes


def test_word_embeddings_do_not_decay_by_default(random):
    variable = table(random)
    apply = in_graph(AdamW(RATE, weight_decay=DECAY))
    before = variable.numpy()
    apply((tf.IndexedSlices(tf.zeros([1, 2]), tf.constant([1])), variable))
    np.testing.assert_array_equal(variable, before)


def test_clipping_counts_a_row_that_occurs_twice_as_one(random):
    variable = table(random)
    optimizer = Sgd(1.0, momentum=0.0, clip_norm=1.0)
    before = variable.numpy()
    # The two halves cancel: nothing is left to clip or to apply in column 0; column 1 adds up to 6.
    gradient = tf.IndexedSlices(tf.constant([[5.0, 3.0], [-5.0, 3.0]]), tf.constant([4, 4]))
    optimizer.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(before[4] - variable.numpy()[4], [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("make", [AdamW, Sgd])
def test_accumulation_equals_one_update_by_the_mean(random, make):
    start_table, start_kernel = table(random), tf.Variable(random.normal(size=(2, 2)).astype(np.float32), name="kernel")
    results = []
    groups = ((5, 9), (9, 9, 70)), ((1, 2), (5,)), ((70, 3), (3, 4))
    batches = [[(slices(random, rows), random.normal(size=(2, 2)).astype(np.float32)) for rows in g] for g in groups]
    for steps in (1, 2):
        variables = [tf.Variable(start_table, name="t"), tf.Variable(start_kernel, name="k")]
        optimizer = make(RATE, weight_decay=DECAY, clip_norm=0.5, accumulation_steps=steps)
        apply = in_graph(optimizer)
        for pair in batches:
            if steps == 2:
                for row_gradient, gradient in pair:
                    apply((row_gradient, variables[0]), (tf.constant(gradient), variables[1]))
            else:
                values = tf.concat([each.values for each, _ in pair], 0) / 2
                indices = tf.concat([each.indices for each, _ in pair], 0)
                mean = tf.constant((pair[0][1] + pair[1][1]) / 2)
                apply((tf.IndexedSlices(values, indices), variables[0]), (mean, variables[1]))
        assert optimizer.iterations.numpy() == len(batches)
        results.append(variables)
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_multipliers_scale_the_rate_and_zero_freezes(random):
    variables = [tf.Variable([1.0, 2.0], name=name) for name in ("slow", "frozen", "plain")]
    optimizer = AdamW(RATE, multipliers={"slow:0": 0.5, "frozen": 0.0})
    optimizer.apply_gradients([(tf.constant([1.0, -1.0]), variable) for variable in variables])
    moved = [variable.numpy() - [1.0, 2.0] for variable in variables]
    np.testing.assert_allclose(moved[0], moved[2] / 2, rtol=1e-4)
    np.testing.assert_array_equal(moved[1], 0)
    assert not any("frozen" in slot.name for slot in optimizer.variables)


def test_variables_may_join_later(random):
    early, late = tf.Variable([1.0], name="early"), tf.Variable([1.0], name="late")
    optimizer = AdamW(RATE)
    for _ in range(20):
        in_graph(optimizer)((tf.constant([0.5]), early))
    in_graph(optimizer)((tf.constant([0.5]), late), (tf.constant([0.5]), early))
    # The first step of Adam is the rate itself; counted from the start of the run it would be more than twice that.
    np.testing.assert_allclose(late, 1 - RATE, rtol=1e-4)
    np.testing.assert_allclose(early, 1 - 21 * RATE, rtol=1e-4)


@pytest.mark.parametrize("make", [AdamW, Sgd])
@pytest.mark.parametrize("passed", [0, 1, 2, 3, 4])
def test_the_first_update_of_a_variable_that_joins_is_by_the_mean_of_the_batches_since_then(random, make, passed):
    start_table, start_kernel = table(random), random.normal(size=(2, 2)).astype(np.float32)
    late = [tf.Variable(start_table, name="t"), tf.Variable(start_kernel, name="k")]
    alone = [tf.Variable(start_table, name="t"), tf.Variable(start_kernel, name="k")]
    early = tf.Variable([1.0], name="early")
    optimizer, steps = make(RATE, weight_decay=DECAY, accumulation_steps=4), 4 - passed % 4
    for _ in range(passed):
        optimizer.apply_gradients([(tf.constant([1.0]), early)])
    by_mean = make(RATE, weight_decay=DECAY)
    apply, apply_mean = in_graph(optimizer), in_graph(by_mean)
    for number in (steps, 4):
        batches = [(slices(random), random.normal(size=(2, 2)).astype(np.float32)) for _ in range(number)]
        for row_gradient, gradient in batches:
            apply((tf.constant([1.0]), early), (row_gradient, late[0]), (tf.constant(gradient), late[1]))
        values = tf.concat([each.values for each, _ in batches], 0) / number
        indices = tf.concat([each.indices for each, _ in batches], 0)
        mean = tf.constant(sum(gradient for _, gradient in batches) / number)
        apply_mean((tf.IndexedSlices(values, indices), alone[0]), (mean, alone[1]))
        for one, other in zip(late, alone, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_update_that_is_not_finite_changes_no_variable(random):
    variable, kernel = table(random), tf.Variable(random.normal(size=(2, 2)).astype(np.float32), name="kernel")
    optimizer = AdamW(RATE, weight_decay=DECAY, clip_norm=1.0)
    pairs = [(slices(random), variable), (tf.ones([2, 2]), kernel)]
    optimizer.apply_gradients(pairs)
    before = variable.numpy(), kernel.numpy()
    optimizer.apply_gradients([pairs[0], (tf.constant([[1.0, np.nan], [np.inf, 0.0]]), kernel)])
    np.testing.assert_array_equal(variable, before[0])
    np.testing.assert_array_equal(kernel, before[1])
    assert optimizer.skipped.numpy() == 1
    optimizer.apply_gradients(pairs)
    assert np.isfinite(variable.numpy()).all() and np.isfinite(kernel.numpy()).all()


def test_checkpoint_restores_slots_by_variable_not_by_order(random, tmp_path):
    first, second = tf.Variable([1.0, 2.0], name="first"), tf.Variable([3.0, 4.0], name="second")
    optimizer = AdamW(RATE)
    optimizer.apply_gradients([(tf.constant([1.0, -2.0]), first)])
    optimizer.apply_gradients([(tf.constant([1.0, 3.0]), first), (tf.constant([-1.0, 1.0]), second)])
    path = tf.train.Checkpoint(optimizer=optimizer, first=first, second=second).save(tmp_path / "checkpoint")

    copies = tf.Variable([0.0, 0.0], name="first"), tf.Variable([0.0, 0.0], name="second")
    restored = AdamW(RATE)
    status = tf.train.Checkpoint(optimizer=restored, first=copies[0], second=copies[1]).restore(path)
    restored.build([copies[1], copies[0]])
    status.assert_consumed()
    for each, pair in ((optimizer, (first, second)), (restored, copies)):
        each.apply_gradients([(tf.constant([0.1, 0.2]), pair[0]), (tf.constant([0.3, 0.4]), pair[1])])
    np.testing.assert_array_equal(first, copies[0])
    np.testing.assert_array_equal(second, copies[1])


def test_sgd_with_momentum_moves_rows_as_dense(random):
    lazy, plain = table(random), table(random)
    plain.assign(lazy)
    optimizers = Sgd(RATE, weight_decay=DECAY, no_decay=()), Sgd(RATE, weight_decay=DECAY, no_decay=(), lazy=False)
    for _ in range(3):
        gradient = slices(random)
        optimizers[0].apply_gradients([(gradient, lazy)])
        optimizers[1].apply_gradients([(gradient, plain)])
    np.testing.assert_allclose(lazy.numpy()[[5, 9, 70]], plain.numpy()[[5, 9, 70]], rtol=1e-6)


@pytest.mark.parametrize("make", [AdamW, Sgd])
def test_config_makes_the_same_optimizer(make):
    optimizer = make(RATE, weight_decay=DECAY, clip_norm=1.0, accumulation_steps=2, lazy=False)
    assert make.from_config(optimizer.get_config()).get_config() == optimizer.get_config()


def test_unknown_option_is_refused():
    with pytest.raises(TypeError, match="weight_decoy"):
        AdamW(RATE, weight_decoy=0.1)


def small_model():
    ids = keras.Input([None], dtype="int32")
    hidden = keras.layers.Embedding(TABLE_ROWS, 4, name="word_embeddings")(ids)
    hidden = keras.layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(ids, keras.layers.Dense(2, dtype="float32", name="logits")(hidden))


def data(rows=32, tokens=6):
    ids = np.random.default_rng(1).integers(0, 40, (rows, tokens)).astype(np.int32)
    return ids, (ids[:, 0] % 2).astype(np.int64)


def compiled(model, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(AdamW(0.05, weight_decay=DECAY, clip_norm=1.0), loss=loss, **options)
    return model


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fit_lowers_the_loss(policy):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        history = compiled(small_model()).fit(*data(), epochs=15, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


def test_jit_compiled_losses_equal_plain_ones():
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(3)
        model = compiled(small_model(), jit_compile=jit_compile)
        losses.append(model.fit(*data(), epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


MIRRORED = """
import numpy as np
from tfxl.backend import keras, tf
from tests.training.test_optimizer import DECAY, small_model, data
from tfxl.training.optimizer import AdamW
from tfxl.training.schedule import WarmUp
import sys
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
def weights(strategy, accumulation_steps, policy):
    keras.utils.set_random_seed(3)
    keras.mixed_precision.set_global_policy(policy)
    with strategy.scope():
        model = small_model()
        schedule = WarmUp(0.05, total=8, warmup=2)
        optimizer = AdamW(schedule, weight_decay=DECAY, clip_norm=0.1, accumulation_steps=accumulation_steps)
        model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = tf.data.Dataset.from_tensor_slices(data()).batch(8)
    model.fit(dataset, epochs=2, verbose=0)
    assert optimizer.iterations.numpy() == 8 // accumulation_steps, optimizer.iterations.numpy()
    return model.get_weights()
for accumulation_steps, policy, tolerance in ((1, "float32", 1e-5), (2, "float32", 1e-5), (1, "mixed_bfloat16", 0.02)):
    one = weights(tf.distribute.get_strategy(), accumulation_steps, policy)
    two = weights(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), accumulation_steps, policy)
    for left, right in zip(one, two):
        np.testing.assert_allclose(left, right, atol=tolerance)
"""


@pytest.mark.slow
def test_two_mirrored_devices_equal_one():
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", MIRRORED], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
