"""Weights & Biases, offline: nothing leaves the machine."""

from __future__ import annotations

import importlib

import pytest

from tests.training.test_fit import run
from tfxl.errors import InstallationError
from tfxl.training import tracking


def test_a_run_is_logged_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(settings={"wandb_project": "tests", "epochs": 2}, directory=tmp_path)
    (logged,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert logged.stat().st_size > 0


class FakeWandb:
    """Keeps what it is given."""

    def __init__(self):
        self.logged, self.ends = [], []

    def init(self, **options):
        self.options = options
        return self

    def log(self, values):
        self.logged.append(values)

    def finish(self, exit_code=None):
        self.ends.append(exit_code)


def test_what_is_logged(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setattr(tracking.importlib, "import_module", lambda name: fake)
    scores = {"de": 0.5, "zh": 0.25}
    settings = {"wandb_project": "tests", "epochs": 2, "log_every": 3}
    config = {"seed": 3, "task.kind": "classification", "task.labels": ["a", "b"]}
    run(settings=settings, directory=tmp_path, config=config, score=lambda: scores)
    assert fake.options["project"] == "tests"
    assert fake.options["config"] == {"seed": 3, "task.kind": "classification"}
    assert fake.options["dir"] == str(tmp_path)
    steps = [values for values in fake.logged if "epoch" not in values]
    epochs = [values for values in fake.logged if "epoch" in values]
    assert len(steps) == 4
    assert all({"train/loss", "train/learning_rate"} <= values.keys() for values in steps)
    assert [values["epoch"] for values in epochs] == [0, 1]
    assert epochs[1]["validation/zh"] == 0.25
    assert epochs[1]["validation/worst"] == 0.25
    assert fake.ends == [0]


def test_a_run_is_closed_as_failed_where_training_fails(tmp_path, monkeypatch):
    def fail():
        raise ZeroDivisionError("no scores")

    fake = FakeWandb()
    monkeypatch.setattr(tracking.importlib, "import_module", lambda name: fake)
    with pytest.raises(ZeroDivisionError, match="no scores"):
        run(settings={"wandb_project": "tests", "epochs": 2}, directory=tmp_path, score=fail)
    assert fake.ends == [1]


def test_what_never_began_is_not_closed(tmp_path, monkeypatch):
    class Down(FakeWandb):
        def init(self, **options):
            raise ConnectionError("no network")

    fake = Down()
    monkeypatch.setattr(tracking.importlib, "import_module", lambda name: fake)
    with pytest.raises(ConnectionError, match="no network"):
        run(settings={"wandb_project": "tests"}, directory=tmp_path)
    assert fake.ends == []


def test_without_the_package_the_message_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallationError, match="wandb is not installed"):
        tracking.WandbLog("tests", settings={}, directory=None)


def test_steps_are_logged_where_one_call_stands_for_several(tmp_path, monkeypatch):
    """Keras then tells of every second step alone; their numbers are odd."""
    fake = FakeWandb()
    monkeypatch.setattr(tracking.importlib, "import_module", lambda name: fake)
    run(settings={"wandb_project": "tests", "epochs": 1, "steps_per_execution": 2}, directory=tmp_path)
    assert any("train/loss" in values for values in fake.logged)
