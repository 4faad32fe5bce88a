from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tfxl

# One process for all, because what is measured is a process that starts.
LIGHT = """
import contextlib, io, sys

import tfxl
assert dir(tfxl) and tfxl.__version__ and tfxl.Example("x") and tfxl.TfxlError
heavy = {"tensorflow", "tf_keras", "keras", "transformers", "tensorflow_text", "torch", "numpy", "matplotlib"}
def loaded():
    return sorted(heavy & set(sys.modules))
assert loaded() == [] and "pydantic" not in sys.modules

from tfxl.cli import main
for words in [
    ["--help"], ["--version"], ["train", "--help"], ["predict", "--help"], ["list"], ["list", "recipes"],
    ["list", "languages"], ["list", "readers"], ["show", "sentiment"], ["show", "readers.csv"],
    ["copy", "sentiment", sys.argv[1]], ["copy", "sentiment", sys.argv[1]], ["trian"], ["list", "recipe"],
    ["train", "sentiment", "--epochs"], ["predict", "x"], ["predict", "x", "--format", "xml"],
]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(words)
    print(code, *words[:2], *loaded(), sep=",")
"""


def test_what_needs_no_tensorflow_loads_none(tmp_path: Path) -> None:
    copied = tmp_path / "mine.toml"
    command = [sys.executable, "-c", LIGHT, str(copied)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["0"] * 11 + ["2"] * 6
    assert [line for line in lines if line.count(",") > 2] == []
    assert copied.read_text(encoding="utf-8").startswith("# ")


def test_help_is_there_at_once() -> None:
    script = "import sys, time; from tfxl.cli import main; main(['--help']); sys.stderr.write(str(time.process_time()))"
    command = [sys.executable, "-c", script]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5))
    # The processor's time, start of Python included, of the best of a few runs: neither a clock nor a single run would
    # tell help from what else the machine is doing.
    assert min(float(done.stderr) for done in runs) < 0.5


def test_public_names_are_all_there() -> None:
    for name in tfxl.__all__:
        assert getattr(tfxl, name) is not None
    assert set(tfxl.__all__) <= set(dir(tfxl))
    assert not hasattr(tfxl, "trian")
