"""The command line, `tfxl VERB THING [KEY=VALUE …]`; the only place in tfxl that prints.

Every verb (`verbs`, `searching`) is a thin wrapper over a Python function, which it imports only when it is called, so
that help and lists are there at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer

from tfxl.cli import failures, terminal
from tfxl.cli.searching import app

FAILED, INTERRUPTED, NOBODY_READS = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says.

    Args:
        arguments: The words after `tfxl`; those of the process if None.

    Returns:
        The exit code: 0, 2 for a mistake that is explained, 130 if interrupted, 141 if nobody reads the output.

    Raises:
        Exception: Anything that is a bug keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has nowhere to go; Python would complain about it on leaving.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except Exception as error:
        explained = failures.explain(error)
        if explained is None:
            raise
        terminal.show_error(explained)
        return FAILED


def _run(words: Sequence[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal's encoding lacks is written as its number
        sys.stdout.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    failures.check_verb(words, sorted(getattr(command, "commands", {})))
    try:
        # Not command.main, which would turn interrupts and closed pipes into exits of its own.
        with command.make_context("tfxl", list(words) or ["--help"]) as context:
            command.invoke(context)
        code = 0
    except typer.Exit as left:
        code = left.exit_code
    sys.stdout.flush()
    return code
