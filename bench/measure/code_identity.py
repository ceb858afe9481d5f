"""Which bench a worker runs: another than the supervisor's could measure, or report, something else."""

from __future__ import annotations

from pathlib import Path

import bench
from bench.errors import BenchError


class ForeignCode(BenchError):
    """A worker runs another bench than its supervisor."""


def code_identity() -> dict[str, str]:
    """Return which bench this process runs: its version and its folder."""
    return {"version": bench.__version__, "folder": str(Path(bench.__file__).resolve().parent)}


def check_identity(theirs: object) -> None:
    """Raise ForeignCode unless a worker runs the same code as this process."""
    ours = code_identity()
    if theirs != ours:
        worker = (
            f"bench {theirs.get('version')} in {theirs.get('folder')}"
            if isinstance(theirs, dict)
            else "something else"
        )
        raise ForeignCode(
            f"the worker runs {worker}, but this is bench {ours['version']} in {ours['folder']}: "
            "nothing was measured with it; install one bench only, check PYTHONPATH, and start again "
            "if bench was upgraded during the run"
        )
