"""Opens a regular file for one writer at a time, and says who has it if that is another process."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from bench.errors import UsageError


def read_at_most(descriptor: int, most: int) -> bytes:
    """Read the first `most` bytes, or fewer where the file is shorter."""
    parts, size = [], 0
    while size < most and (part := os.pread(descriptor, min(most - size, 1 << 24), size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents. Raises UsageError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {folder} for the results: {error.strerror}; "
            "name another file with -o"
        ) from None


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file to read and write it; returns a descriptor.

    Raises UsageError for anything else, but lets FileExistsError through.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not block.
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | flags, 0o666)
    except FileExistsError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file with -o") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a regular file; name another with -o")
    return descriptor


def lock(path: Path, descriptor: int) -> list[str]:
    """Lock a file for this process; returns warnings if the file system has no locks.

    Raises UsageError if another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{path}: another run{_holder(descriptor)} is writing this file; wait for its end, or "
            "name another with -o"
        ) from None
    except OSError as error:
        return [
            f"{path}: cannot be locked ({error.strerror}): take care that no other run writes it"
        ]
    return []


def _holder(descriptor: int) -> str:
    """Name the process that has a file locked, from Linux's `1: FLOCK ADVISORY WRITE PID DEV:INODE`."""
    status = os.fstat(descriptor)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if device in fields and "FLOCK" in fields and int(fields[fields.index(device) - 1]) > 0:
                return f" (process {fields[fields.index(device) - 1]})"
    return ""


def sync_folder(folder: Path) -> None:
    """Force a new file's name to disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
