"""Python processes that import nothing from the current folder, and how they ended.

`python -m` and `python -c` put the current folder first on the module path: a torch.py or json.py
there, or a copy of bench, would run instead of what is installed.
"""

from __future__ import annotations

import os
import signal
import sys

# Python 3.10 does not know PYTHONSAFEPATH: there the code itself takes the current folder away.
_LEAVE_CURRENT_FOLDER = "import sys; sys.path = [folder for folder in sys.path if folder]\n"


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


def how_it_ended(returncode: int) -> str:
    """Return a process's end as the predicate of a sentence."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    if name == "SIGKILL":
        return (
            "was killed (SIGKILL): by the kernel if memory ran out, else by a user or a scheduler"
        )
    return f"died of {name}"
