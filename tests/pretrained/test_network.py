"""The network gives what transformers' own models give, for every length, precision and strategy."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from transformers import BertConfig, TFBertModel
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

from tests.pretrained.checkpoints import CONFIG, INPUTS, arrays
from tfxl.backend import keras, tf
from tfxl.errors import WeightsError
from tfxl.pretrained import families
from tfxl.pretrained.checkpoint import LazyArrays, shapes_of
from tfxl.pretrained.network import load, network
from tfxl.pretrained.tensors import tensor_array

REAL = INPUTS["attention_mask"].astype(bool)


def test_equal_to_transformers_own_tensorflow_model():
    theirs = TFBertModel(BertConfig(**CONFIG))
    theirs.build_in_name_scope()
    load_pytorch_state_dict_in_tf2_model(theirs, {f"bert.{name}": array for name, array in arrays().items()})
    wanted = theirs(INPUTS).last_hidden_state.numpy()
    assert np.abs(load(CONFIG, arrays())(INPUTS).numpy() - wanted).max() < 1e-5


@pytest.mark.torch
def test_equal_to_pytorch():
    torch = pytest.importorskip("torch")
    from transformers import BertModel

    theirs = BertModel(BertConfig(**CONFIG)).eval()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in arrays().items()})
    with torch.no_grad():
        inputs = {name: torch.tensor(value, dtype=torch.long) for name, value in INPUTS.items()}
        wanted = theirs(**inputs).last_hidden_state.numpy()
    found = load(CONFIG, arrays())(INPUTS).numpy()
    assert np.abs(found - wanted)[REAL].max() < 1e-5


def test_inputs_and_output():
    model = network(CONFIG)
    assert set(model.input) == set(INPUTS)
    assert {(value.dtype, tuple(value.shape)) for value in model.input.values()} == {(tf.int32, (None, None))}
    assert model.output.shape.as_list() == [None, None, 8]


def test_any_length_up_to_the_positions():
    model = load(CONFIG, arrays())
    for length in (1, 3, 40):
        assert model({name: np.ones((2, length), np.int32) for name in INPUTS}).shape == (2, length, 8)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model({name: np.ones((2, 41), np.int32) for name in INPUTS})


def test_lazy_arrays_are_read_once_each_and_taken_over_without_a_copy():
    places = {}

    def read(name):
        assert name not in places
        array = tensor_array(shapes[name])
        array[...] = source[name]
        places[name] = array.ctypes.data
        return array

    source, shapes = arrays(pooler=False), shapes_of(arrays(pooler=False))
    model = load(CONFIG, LazyArrays(shapes, read))
    table = next(variable for variable in model.weights if "word_embeddings" in variable.name)
    table.sparse_read([0])  # from here on a table that is not the variable's own memory would be a copy
    memory = np.asarray(memoryview(table.read_value_no_copy()))
    assert memory.ctypes.data == places["embeddings.word_embeddings.weight"]
    found = families.extract(model)
    assert all(np.array_equal(found[name], source[name]) for name in source)


def test_arrays_of_the_caller_are_copied():
    mine = arrays()
    model = load(CONFIG, mine)
    before = model(INPUTS).numpy()
    for array in mine.values():
        array[...] = 7
    assert np.array_equal(model(INPUTS).numpy(), before)


def test_wrong_arrays_are_refused_before_anything_is_built():
    with pytest.raises(WeightsError, match="missing: embeddings"):
        load(CONFIG, {name: array for name, array in arrays().items() if "LayerNorm" not in name})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    broken = arrays()
    broken["encoder.layer.1.output.dense.weight"][3, 2] = value
    with pytest.raises(WeightsError, match=r"encoder\.layer\.1\.output\.dense\.weight holds"):
        load(CONFIG, broken)


def test_a_step_of_fit_moves_every_weight_that_the_loss_depends_on():
    model = load(CONFIG, arrays())
    model.compile(optimizer=keras.optimizers.legacy.SGD(1.0), loss="mse")
    before = [value.copy() for value in model.get_weights()]
    target = np.random.default_rng(1).normal(size=(2, 5, 8)).astype(np.float32)
    model.fit(INPUTS, target, batch_size=2, verbose=0)
    after = model.get_weights()
    names = [variable.name for variable in model.weights]
    still = {name for name, old, new in zip(names, before, after, strict=True) if np.array_equal(old, new)}
    # A key's bias moves all of a row's attention scores alike, which softmax does not see.
    assert all(name.endswith("/key/bias:0") for name in still)


def test_mixed_precision_keeps_float32_variables():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = load(CONFIG, arrays())
        hidden = model(INPUTS)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {variable.dtype for variable in model.weights} == {tf.float32}
    assert hidden.dtype == tf.bfloat16
    wanted = load(CONFIG, arrays())(INPUTS).numpy()
    assert np.abs(tf.cast(hidden, tf.float32).numpy() - wanted)[REAL].max() < 0.2


def test_jit_compiled_equals_plain():
    model = load(CONFIG, arrays())
    compiled = tf.function(lambda inputs: model(inputs, training=False), jit_compile=True)
    found = compiled({name: tf.constant(value) for name, value in INPUTS.items()}).numpy()
    assert np.abs(found - model(INPUTS).numpy()).max() < 1e-5


@pytest.mark.slow
def test_two_replicas_start_equal_and_stay_equal():
    """In a process of its own, because the number of devices is fixed at the first use of TensorFlow."""
    program = """
        import numpy as np
        from tfxl.backend import keras, tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from tests.pretrained.checkpoints import CONFIG, INPUTS, arrays
        from tfxl.pretrained import families
        from tfxl.pretrained.checkpoint import LazyArrays, shapes_of
        from tfxl.pretrained.network import load
        from tfxl.pretrained.tensors import tensor_array
        def read(name):
            array = tensor_array(arrays()[name].shape)
            array[...] = arrays()[name]
            return array
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            model = load(CONFIG, LazyArrays(shapes_of(arrays()), read))
            model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        assert all(np.array_equal(families.extract(model)[n], arrays()[n]) for n in families.extract(model))
        model.fit(INPUTS, np.ones((2, 5, 8), np.float32), batch_size=2, verbose=0)
        for variable in model.weights:
            one, two = (replica.numpy() for replica in variable.values)
            assert np.array_equal(one, two), variable.name
        plain = load(CONFIG, arrays())
        plain.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        plain.fit(INPUTS, np.ones((2, 5, 8), np.float32), batch_size=2, verbose=0)
        alone, both = families.extract(plain), families.extract(model)
        print("largest difference", max(np.abs(alone[n] - both[n]).max() for n in alone))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) < 1e-5
