"""Training on several hosts, here two processes, against training on one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = """
import sys
import numpy as np
from tfxl.training import strategy
found = strategy.find("auto")  # before anything starts the runtime
from tests.training.test_fit import FakeBatches, FakeTask, small_model
from tfxl.backend import keras
from tfxl.training.fit import Settings, fit
keras.utils.set_random_seed(1)
with found.scope():
    model = small_model()
fit(model, FakeTask(), FakeBatches(), Settings(epochs=2, batch_size=8, learning_rate=0.05, precision="float32"))
np.savez(sys.argv[1], *model.get_weights())
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_workers_end_with_the_weights_of_one(tmp_path):
    workers = [f"localhost:{port}" for port in free_ports(2)]

    def start(name, configuration):
        environment = {**os.environ, "TF_CONFIG": json.dumps(configuration), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-c", WORKER, str(tmp_path / name)]
        root = Path(__file__).parents[2]
        return subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)

    places = [{"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    started = [start(f"{number}.npz", place) for number, place in enumerate([{}, *places])]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
    one, *others = (np.load(tmp_path / f"{number}.npz") for number in range(3))
    for name in one.files:
        np.testing.assert_array_equal(others[0][name], others[1][name])
        np.testing.assert_allclose(one[name], others[0][name], atol=1e-5)
