"""The script that makes an environment takes only a Python that can make one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "environment"


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_what_makes_environments_is_passed_over(missing: str, tmp_path: Path) -> None:
    """Debian ships venv without ensurepip: an environment would be made that holds no pip."""
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{missing}*) exit 1;; esac\nexit 0\n')
    fake.chmod(0o755)
    for name in ("python3.11", "python3.12", "python3.13", "none"):
        (fake.parent / name).symlink_to(fake)
    environment = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "VIRTUAL_ENV": str(tmp_path / "new")}
    done = subprocess.run([str(SCRIPT), "tests"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "with venv and ensurepip" in done.stderr
    assert not (tmp_path / "new").exists()
