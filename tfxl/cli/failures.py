"""Turns what goes wrong outside tfxl into got, expected and fix: the command line, disks, permissions, memory."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

import typer

from tfxl.errors import TfxlError, did_you_mean

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The base of what the command line's parser raises; where it lives depends on Typer's version."""

_FIXES = {
    errno.ENOSPC: ("room on the disk", "Free some space, or choose another place."),
    errno.EDQUOT: ("room within your quota", "Free some space, or choose another place."),
    errno.EACCES: ("permission to use it", "Change its permissions, or choose another place."),
    errno.EPERM: ("permission to use it", "Change its permissions, or choose another place."),
    errno.EROFS: ("a disk that can be written to", "Choose another place."),
    errno.ENOENT: ("a file or folder that exists", "Correct the path, or make its folder."),
    errno.EEXIST: ("a name that is free", "Choose another name, or remove what is there."),
    errno.ENOTDIR: ("a folder", "A file stands where a folder is needed: choose another place."),
    errno.EISDIR: ("a file", "A folder stands where a file is needed: choose another place."),
}
_OTHER = ("a file or device that works", "Check the path, the disk and the network.")


def explain(error: Exception) -> TfxlError | None:
    """Returns the error as got, expected and fix; None if it is no mistake that a person made, but a bug."""
    if isinstance(error, TfxlError):
        return error
    if isinstance(error, UsageError):
        return _usage(error)
    if isinstance(error, OSError):
        expected, fix = _FIXES.get(error.errno or 0, _OTHER)
        places = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        reason = error.strerror or str(error) or type(error).__name__
        return TfxlError(f"{places}: {reason}" if places else reason, expected=expected, fix=fix)
    return _from_tensorflow(error)


def check_verb(arguments: Sequence[str], verbs: Sequence[str]) -> None:
    """Refuses an unknown verb.

    Raises:
        TfxlError: The first word is no verb.
    """
    if arguments and not arguments[0].startswith("-") and arguments[0] not in verbs:
        raise TfxlError(
            f"tfxl {arguments[0]}",
            expected=f"one of {', '.join(verbs)}",
            fix=f"{did_you_mean(arguments[0], verbs)}Say what to do: tfxl VERB THING [KEY=VALUE …]",
        )


def _usage(error: Exception) -> TfxlError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tfxl"
    flag = getattr(error, "option_name", "")
    if not flag:
        tell = getattr(error, "format_message", error.__str__)
        got, fix = f"{command}: {tell()}", f"{command} --help says more."
    else:
        known = [option for parameter in context.command.params for option in parameter.opts] if context else []
        got = f"{command} {flag}"
        fix = (
            f"{did_you_mean(flag, known)}Settings are given without dashes, as KEY=VALUE, such as training.epochs=3; "
            f"{command} --help shows the options."
        )
    usage = context.get_usage().removeprefix("Usage: ").strip() if context else "tfxl VERB THING [KEY=VALUE …]"
    return TfxlError(got, expected=" ".join(usage.split()), fix=fix)


def _from_tensorflow(error: Exception) -> TfxlError | None:
    """TensorFlow writes files itself and has exceptions of its own for what goes wrong then."""
    if "tensorflow" not in sys.modules:
        return None
    from tfxl.backend import tf

    reason = str(getattr(error, "message", "")).partition("\n")[0]
    if isinstance(error, tf.errors.ResourceExhaustedError):
        if "space" in reason or "quota" in reason:
            return TfxlError(reason, expected=_FIXES[errno.ENOSPC][0], fix=_FIXES[errno.ENOSPC][1])
        return TfxlError(
            reason,
            expected="a step that fits into memory",
            fix="Lower training.batch_size or task.max_length, or set training.accumulation_steps.",
        )
    if isinstance(error, tf.errors.PermissionDeniedError):
        return TfxlError(reason, expected=_FIXES[errno.EACCES][0], fix=_FIXES[errno.EACCES][1])
    return None
