"""The user's cache, for what takes time to make: compiled code and measured rates.

A cache may be in a folder that others can write to as well. Files count only if nobody but this user can
have written them.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def cache_folder() -> Path | None:
    """Find or make the folder, None where it cannot be written."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home, "accelerator-bench")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def read_own(path: Path, largest_bytes: int) -> bytes | None:
    """Read a file, at most `largest_bytes` of it; None if there is none, or others can have written it."""
    try:
        # O_NONBLOCK: opening a FIFO must not block.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(opened)
        others = stat.S_IWGRP | stat.S_IWOTH
        ours = status.st_uid == os.geteuid() and not status.st_mode & others
        return os.read(opened, largest_bytes) if stat.S_ISREG(status.st_mode) and ours else None
    finally:
        os.close(opened)


def write_own(path: Path, data: bytes) -> None:
    """Replace a file in one step, readable and writable by this user alone.

    Where that fails, nothing is kept: the cache only saves time.
    """
    with suppress(OSError):
        opened, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(opened, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
