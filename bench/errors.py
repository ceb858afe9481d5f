"""Errors of the harness. A user's mistake ends in a sentence and an exit code, never in a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """An error that the user can fix; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class UsageError(BenchError):
    """Bad options, configs or input files; nothing was measured and nothing was written."""

    exit_code = 2


class InputWarning(UserWarning):
    """A part of an input file was skipped or reinterpreted; the rest is used."""


class Unsupported(Exception):
    """A device or implementation cannot run a case; becomes a row with status `unsupported`."""


class OutOfMemory(Exception):
    """A case needs more memory than the device has; becomes a row with status `out_of_memory`."""


class PeerLost(Exception):
    """Another rank of the group did not answer, or has closed its connection."""


class DeviceLost(Exception):
    """The device stopped responding; the remaining cases on it cannot run either."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest of `choices`, or "" if none is close."""
    known = [str(choice) for choice in choices]
    longer = [choice for choice in known if len(name) > 2 and choice.startswith(name)]
    close = longer or difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_of(name: str, choices: Iterable[str]) -> str:
    """Return the hint that follows an unknown name: the closest known name, and all known names."""
    known = list(choices)
    return f"{nearest(name, known)}; known: {', '.join(known) or 'none'}"
