"""Which strategy a host gets, told from its environment."""

from __future__ import annotations

import json

import pytest

from tfxl.backend import tf
from tfxl.errors import RecipeError
from tfxl.training import strategy

WORKERS = {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}


@pytest.fixture
def host(monkeypatch):
    """A host with nothing special; sets the number of its GPUs."""
    for name in (*strategy.TPU_VARIABLES, "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def set_gpus(count):
        monkeypatch.setattr(strategy.tf.config, "list_physical_devices", lambda kind=None: ["GPU"] * count)

    set_gpus(0)
    return set_gpus


@pytest.mark.parametrize("gpus, expected", [(0, "default"), (1, "default"), (2, "mirrored")])
def test_gpus(host, gpus, expected):
    host(gpus)
    assert strategy.chosen("auto") == expected


@pytest.mark.parametrize("variable", strategy.TPU_VARIABLES)
def test_a_tpu_comes_first(host, monkeypatch, variable):
    host(2)
    monkeypatch.setenv("TF_CONFIG", json.dumps(WORKERS))
    monkeypatch.setenv(variable, "something")
    assert strategy.chosen("auto") == "tpu"


@pytest.mark.parametrize(
    "cluster, expected",
    [
        (WORKERS["cluster"], "multi_worker"),
        ({"chief": ["host1:2222"], "worker": ["host2:2222"]}, "multi_worker"),
        ({"worker": ["host1:2222"]}, "default"),
        ({}, "default"),
    ],
)
def test_several_workers(host, monkeypatch, cluster, expected):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster}))
    assert strategy.chosen("auto") == expected


@pytest.mark.parametrize("name", ["default", "mirrored", "multi_worker", "tpu"])
def test_a_name_is_taken_as_it_is(host, monkeypatch, name):
    monkeypatch.setenv("TPU_NAME", "something")
    assert strategy.chosen(name) == name


@pytest.mark.parametrize("text", ["{", "[]", '"text"', '{"cluster": 1}', '{"cluster": {"worker": 1}}'])
def test_a_broken_cluster_is_refused(host, monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(RecipeError, match="TF_CONFIG = "):
        strategy.chosen("auto")


def test_workers_without_a_cluster_are_refused(host):
    with pytest.raises(RecipeError, match="names no workers"):
        strategy.find("multi_worker")


def test_a_misspelled_name_is_corrected(host):
    with pytest.raises(RecipeError, match="mirrored"):
        strategy.find("miror")


def test_one_device_is_the_default(host):
    assert strategy.find() is tf.distribute.get_strategy()
