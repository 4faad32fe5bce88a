"""What hardware has bfloat16, and that global settings are put back."""

from __future__ import annotations

import pytest

from tfxl.backend import keras, tf
from tfxl.errors import RecipeError
from tfxl.training import precision

X86 = "processor\t: {}\nmodel name\t: x\nflags\t\t: fpu avx2 {}\n\n"
ARM = "processor\t: {}\nFeatures\t: fp asimd {}\n\n"


@pytest.mark.parametrize(
    "text, found",
    [
        (X86.format(0, "avx512_bf16") + X86.format(1, "avx512_bf16"), {"fpu", "avx2", "avx512_bf16"}),
        (X86.format(0, "avx512_bf16") + X86.format(1, ""), {"fpu", "avx2"}),
        (ARM.format(0, "bf16"), {"fp", "asimd", "bf16"}),
        ("processor\t: 0\n", set()),
        ("", set()),
    ],
)
def test_instructions_are_those_of_every_core(tmp_path, text, found):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert precision.instructions(path) == found


def test_a_system_that_does_not_tell_has_none(tmp_path):
    assert precision.instructions(tmp_path / "absent") == set()


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine has: instructions of its processor, or GPUs by compute capability."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)

    def has(instructions=(), gpus=()):
        devices = {"GPU": list(gpus)}
        monkeypatch.setattr(precision, "instructions", lambda: set(instructions))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices.get(kind, []))
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu})

    return has


@pytest.mark.parametrize(
    "hardware, expected",
    [
        ({"instructions": ["avx2", "avx512_bf16"]}, "bfloat16"),
        ({"instructions": ["amx_bf16"]}, "bfloat16"),
        ({"instructions": ["bf16"]}, "bfloat16"),
        ({"instructions": ["avx512f"]}, "float32"),
        ({"gpus": [(8, 0)]}, "bfloat16"),
        ({"gpus": [(9, 0), (8, 6)]}, "bfloat16"),
        ({"gpus": [(8, 0), (7, 5)]}, "float32"),
        ({"gpus": [(7, 0)], "instructions": ["amx_bf16"]}, "float32"),
    ],
)
def test_auto_takes_what_the_machine_has(machine, hardware, expected):
    machine(**hardware)
    assert precision.resolve("auto") == expected
    assert precision.resolve("float32") == "float32"


def test_bfloat16_is_not_emulated(machine):
    machine(instructions=["avx2"])
    with pytest.raises(RecipeError, match="no instructions for"):
        precision.resolve("bfloat16")


def test_without_onednn_there_is_none(machine, monkeypatch):
    machine(instructions=["amx_bf16"])
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.resolve("auto") == "float32"


def test_a_tpu_of_another_host_is_no_processor(machine, monkeypatch):
    class FarTpu:
        pass

    machine(instructions=["avx2"])
    monkeypatch.setattr(tf.distribute, "TPUStrategy", FarTpu)
    with precision.using("auto", FarTpu()) as chosen:
        assert (chosen, keras.mixed_precision.global_policy().name) == ("bfloat16", "mixed_bfloat16")
        assert not option()


def option():
    return tf.config.optimizer.get_experimental_options().get(precision.GRAPH_OPTION, False)


def test_the_graph_option_of_a_processor_is_put_back(machine):
    machine(instructions=["amx_bf16"])
    before = option()
    with pytest.raises(ZeroDivisionError), precision.using("auto") as chosen:
        assert (chosen, option()) == ("bfloat16", True)
        assert keras.mixed_precision.global_policy().name == "float32"
        with precision.using("float32"):
            assert not option()
        assert option()
        raise ZeroDivisionError
    assert option() == before


def test_the_policy_of_a_gpu_is_put_back(machine):
    machine(gpus=[(8, 0)])
    before = option()
    with pytest.raises(ZeroDivisionError), precision.using("auto"):
        assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"
        assert not option()
        raise ZeroDivisionError
    assert keras.mixed_precision.global_policy().name == "float32"
    assert option() == before
