from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfxl.errors import ModelError
from tfxl.serving import publish


def write(folder: Path, text: str = "x") -> None:
    (folder / "saved_model.pb").write_text(text)


def test_versions_are_numbers_only(tmp_path: Path) -> None:
    for name in ("3", "10", "training", ".unfinished-1", "0", "٣", "1.5"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert publish.versions(tmp_path) == [3, 10]
    assert publish.versions(tmp_path / "absent") == []


def test_the_next_version_follows_the_highest(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "9").mkdir()
    with publish.new_version(tmp_path) as draft:
        write(draft.folder)
    assert draft.version == tmp_path / "10"
    assert (tmp_path / "10" / "saved_model.pb").read_text() == "x"


def test_a_server_under_another_account_can_read_it(tmp_path: Path) -> None:
    with publish.new_version(tmp_path / "name") as draft:
        write(draft.folder)
    assert draft.version is not None
    assert draft.version.stat().st_mode & 0o777 == (tmp_path / "name").stat().st_mode & 0o777


def test_nothing_stays_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), publish.new_version(tmp_path) as draft:
        write(draft.folder)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_writers_at_once_get_versions_of_their_own(tmp_path: Path) -> None:
    def export(number: int) -> Path | None:
        with publish.new_version(tmp_path) as draft:
            write(draft.folder, str(number))
            time.sleep(0.01)
        return draft.version

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(export, range(24)))
    assert sorted(int(path.name) for path in found if path) == list(range(1, 25))
    for number, path in enumerate(found):
        assert path is not None
        assert (path / "saved_model.pb").read_text() == str(number)


def start_writer(directory: Path) -> subprocess.Popen[str]:
    """A process that has written half of a version and goes on for a minute."""
    program = """
        import sys, time
        from tfxl.serving import publish
        with publish.new_version(sys.argv[1]) as draft:
            (draft.folder / "saved_model.pb").write_text("half")
            print("written", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def test_a_killed_writer_leaves_no_version_and_is_cleaned_up_after(tmp_path: Path) -> None:
    process = start_writer(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert publish.versions(tmp_path) == []
    assert len(list(tmp_path.glob(".unfinished-*"))) == 1
    with publish.new_version(tmp_path) as draft:
        write(draft.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_the_folder_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    process = start_writer(tmp_path)
    try:
        with publish.new_version(tmp_path) as draft:
            write(draft.folder)
        assert len(list(tmp_path.glob(".unfinished-*"))) == 1
    finally:
        process.kill()
        process.wait()


def test_a_file_in_the_way_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("a file")
    with pytest.raises(ModelError, match="cannot be written"), publish.new_version(tmp_path / "name"):
        pytest.fail("the work began")


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that nobody may write in, where every account gets to (pytest's own folders are closed to others)."""
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o755)
    (parent / "name").mkdir(mode=0o555)
    yield parent / "name"
    shutil.rmtree(parent)


def test_no_right_to_write_is_said_before_the_work(closed_folder: Path) -> None:
    program = """
        import os, sys
        from tfxl.errors import ModelError
        from tfxl.serving import publish
        if os.geteuid() == 0:  # root may write anywhere
            os.setegid(65534)
            os.seteuid(65534)
        try:
            with publish.new_version(sys.argv[1]):
                print("the work began")
        except ModelError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(closed_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: Permission denied" in done.stdout
    assert list(closed_folder.iterdir()) == []
