"""Publishes a folder as the next version of a model: whole or not at all, also with several writers and after a kill.

The work is done in a folder whose name is not a number (TensorFlow Serving looks at numbers only), is flushed to disk,
and is then renamed to the next free version.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfxl.errors import ModelError

UNFINISHED = ".unfinished-"
"""How the folder of a version that is being written begins."""


def versions(directory: str | Path) -> list[int]:
    """Returns the versions in a model's folder, ascending; none where there is no such folder."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if _is_version(path))


def _is_version(path: Path) -> bool:
    return path.is_dir() and path.name.isascii() and path.name.isdigit() and int(path.name) > 0


class Draft:
    """A version that is being written.

    Attributes:
        folder: Where to write it.
        version: Where it was published; None until then.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version: Path | None = None


@contextmanager
def new_version(directory: str | Path) -> Iterator[Draft]:
    """Gives an empty folder to write in; publishes it when the block ends well, removes it when it does not.

    Folders that killed processes left behind are removed first.

    Args:
        directory: The model's folder; it is made if there is none.

    Raises:
        ModelError: Nothing can be written there. This is found before the block runs.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(directory)
        folder, lock = _locked_folder(directory)
    except OSError as error:
        raise _not_writable(directory, error) from None
    draft = Draft(folder)
    try:
        yield draft
        draft.version = _publish(folder, directory)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _locked_folder(directory: Path) -> tuple[Path, int]:
    """Makes the folder and locks it, so that others see that its writer lives; the lock ends with the process."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=directory))
        lock = _lock(folder)
        if lock is not None and folder.exists():  # else another writer took it for an abandoned one in between
            folder.chmod(0o777 & ~_umask())  # mkdtemp's folders are closed to the account that a server runs under
            return folder, lock


def _lock(folder: Path) -> int | None:
    """Returns a descriptor that holds the folder's lock; None where another process holds it or removed the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove_abandoned(directory: Path) -> None:
    for folder in directory.glob(f"{UNFINISHED}*"):
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _publish(folder: Path, directory: Path) -> Path:
    for path in (*folder.rglob("*"), folder):
        _flush(path)
    number = (versions(directory) or [0])[-1] + 1
    while True:
        target = directory / str(number)
        try:
            folder.rename(target)  # fails where another writer was faster: its folder is there and not empty
        except OSError:
            if not target.exists():
                raise
            number += 1
        else:
            _flush(directory)
            return target


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path) -> None:
    """Checks that a folder can be made and written, and leaves nothing behind.

    Raises:
        ModelError: It cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror}",
            expected="a folder in which this account may make files",
            fix="Set output to another folder, or give this account the right to write there.",
        ) from None


def _not_writable(directory: Path, error: OSError) -> ModelError:
    return ModelError(
        f"{directory} cannot be written: {error.strerror or error}",
        expected="a folder in which this account may make folders",
        fix=f"Choose another folder, or give this account the right to write in {directory}.",
    )
