"""Where `--output` goes: a file that appears when it is whole, or what no file can take the place of."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tfxl.errors import TfxlError

STDOUT = 1
"""The descriptor of standard output."""


@contextmanager
def new_file(path: Path, *, read: Path | None = None) -> Iterator[TextIO]:
    """Opens a file for writing that appears under its name only when it is whole.

    A link is followed. What is no file, such as a pipe or /dev/stdout, is written to directly.

    Args:
        path: The file.
        read: A file that is read meanwhile, which it must not be.

    Raises:
        TfxlError: The path is that file, is a folder, or lies in a folder that does not exist.
    """
    if read is not None and path.exists() and read.exists() and path.samefile(read):
        raise TfxlError(f"--output {path} is the file that is read", expected="another file", fix="Choose a new name.")
    if (stream := _stream(path)) is not None:
        with stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    if target.is_dir() or not target.parent.is_dir():
        raise TfxlError(
            f"--output {path}",
            expected="the name of a file in a folder that exists",
            fix=f"Make the folder {target.parent}, or choose another place.",
        )
    # A name of its own: another process may write the same file.
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _stream(path: Path) -> TextIO | None:
    """Opens what no file can take the place of: a device, a pipe, standard output; None for all other paths."""
    try:
        found = path.stat()
    except OSError:  # there is nothing yet
        return None
    with suppress(OSError):  # standard output may be closed
        if os.path.samestat(found, os.fstat(STDOUT)):
            # It may be a file too (`--output /dev/stdout >> FILE`): opened by its name, what it holds would be lost.
            return os.fdopen(os.dup(STDOUT), "w", encoding="utf-8", newline="\n")
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return None
    return path.open("w", encoding="utf-8", newline="\n")
