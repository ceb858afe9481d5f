"""Host, time and versions: the columns that are the same for a whole run."""

from __future__ import annotations

import platform
import secrets
import socket
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import bench


def new_run_id() -> str:
    """Return an identifier that sorts by time and does not collide between nodes of a cluster."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def git_commit() -> str | None:
    """Return the commit that the harness runs from, with `-dirty` for local changes; else None."""
    source = Path(bench.__file__).resolve().parent
    if not (source.parent / ".git").exists():
        return None
    command = ["git", "-C", str(source.parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def identity() -> dict[str, object]:
    """Return the columns that say who measured: host, commit, versions."""
    return {
        "host": socket.gethostname(),
        "git_commit": git_commit(),
        "harness_version": bench.__version__,
        "python": platform.python_version(),
    }
