"""Where the backends keep what took time to make: compiled code, measured rates.

A cache may lie in a folder that others write to as well. Files count only if nobody but this user can
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
    """Return the user's cache, or None where there is none that can be written."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home, "accelerator-bench")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def read_own(path: Path, largest_bytes: int) -> bytes | None:
    """Return a file's contents; None if there is none, or one that others can have written.

    Of a file that is larger than `largest_bytes`, only so much is returned.
    """
    try:
        # Not to wait where somebody has put a pipe.
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

    Where that cannot be done, nothing is kept: a cache can be done without.
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
