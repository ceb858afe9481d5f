"""Python processes that import nothing from the current folder, and whose code is this process's own.

`python -m` and `python -c` put the current folder first on the module path: a torch.py or json.py
there, or a copy of bench, would run instead of what is installed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bench
from bench.errors import BenchError

# Python 3.10 does not know PYTHONSAFEPATH: there the code itself takes the current folder away.
_LEAVE_CURRENT_FOLDER = "import sys; sys.path = [folder for folder in sys.path if folder]\n"


class ForeignCode(BenchError):
    """A worker runs another bench than its supervisor."""


def python_command(code: str, *arguments: str) -> list[str]:
    """Return the command that runs `code` in this Python; start it in `python_environment`."""
    return [sys.executable, "-c", _LEAVE_CURRENT_FOLDER + code, *arguments]


def python_environment() -> dict[str, str]:
    """Return this process's environment, for a Python that imports nothing from the current folder.

    What it starts inherits that. An empty entry of PYTHONPATH means the current folder, and is mostly
    left by `PYTHONPATH=$PYTHONPATH:/a/folder`; a folder that is named stays.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    named = [folder for folder in environment.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    if named:
        environment["PYTHONPATH"] = os.pathsep.join(named)
    # A backend imports its own torch extension; a broken one must not break all others.
    environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    return environment


def code_identity() -> dict[str, str]:
    """Return which bench this process runs: its version and its folder."""
    return {"version": bench.__version__, "folder": str(Path(bench.__file__).resolve().parent)}


def check_identity(theirs: object) -> None:
    """Raise ForeignCode unless a worker told the identity of this process's code."""
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
