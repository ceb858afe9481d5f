"""The files beside a result file: its samples and its journal.

Both are written by the run that holds the lock of the result file. They are replaced whole, so that a kill, a
full disk or a power failure leaves the old content or the new one. Links are not followed, and what is not a
regular file is refused: the names follow from the result file's, and anybody may have put something there.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from bench.errors import UsageError
from bench.results.locked_file import sync_folder

ADVICE = "move it away, or name another result file with -o"


def read_sidecar(path: Path) -> bytes | None:
    """Return a file's content, None if there is none.

    Raises UsageError for a link, a pipe, a folder, or a file that cannot be read.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        reasons = {errno.ELOOP: "is a link", errno.ENAMETOOLONG: "is too long for a file's name"}
        reason = reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")
        raise UsageError(f"{path} {reason}; {ADVICE}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a regular file; {ADVICE}")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def replace_sidecar(path: Path, content: bytes) -> int:
    """Put a file with this content, on disk, in the place of another; returns it open for writing.

    Raises OSError; the old file is then still there.
    """
    partial = _partial(path)
    partial.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(partial, flags, 0o666)
    try:
        write_all(descriptor, content)
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def remove_leftover(path: Path) -> None:
    """Remove what a killed run may have left of a file; a link goes, not what it points to."""
    try:
        _partial(path).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{_partial(path)} cannot be removed: {error.strerror}; {ADVICE}"
        ) from None


def write_all(descriptor: int, data: bytes) -> None:
    """Write data, and return when the disk has it."""
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def _partial(path: Path) -> Path:
    """Return the name of a file while it is written: no longer than the file's own."""
    return path.with_suffix(".part")
