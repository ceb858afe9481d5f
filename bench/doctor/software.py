"""The versions of Python, torch and its extensions, and whether they can be imported.

torch loads the extensions that are installed (entry points `torch.backends`) whenever it is imported.
One that lacks its vendor's libraries makes a plain `import torch` fail, in every program; workers of
bench switch that off, and a backend imports its own extension.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import bench
from bench.backend import Finding
from bench.python_process import python_command, python_environment

# Run in a process of its own: what it imports may crash or hang.
IMPORTS = """
import json, sys
from importlib.metadata import entry_points
def sentence(error):
    return " ".join(f"{type(error).__name__}: {error}".split())
answer = {"extensions": {}}
try:
    import torch
    answer["version"], answer["path"] = torch.__version__, torch.__path__[0]
except BaseException as error:
    answer["error"] = sentence(error)
else:
    for point in entry_points(group="torch.backends"):
        try:
            point.load()()
            answer["extensions"][point.name] = None
        except BaseException as error:
            answer["extensions"][point.name] = sentence(error)
sys.stdout.write("\\n" + json.dumps(answer) + "\\n")
sys.stdout.flush()
import os; os._exit(0)
"""


def examine(timeout_s: float) -> list[Finding]:
    """Find what is installed, and what of it does not work."""
    versions = f"bench {bench.__version__}, Python {platform.python_version()} ({sys.executable})"
    return [Finding("ok", "versions", versions), *_torch(timeout_s)]


def _torch(timeout_s: float) -> list[Finding]:
    try:
        answer = _import(timeout_s)
    except subprocess.TimeoutExpired:
        return [
            Finding(
                "fail",
                "torch",
                f"importing it was not done after {timeout_s:g} s",
                "python -X importtime -c 'import torch'",
            )
        ]
    except (OSError, ValueError) as error:
        return [
            Finding("fail", "torch", f"could not be examined: {error}", "python -c 'import torch'")
        ]
    if "error" in answer:
        return [
            Finding(
                "fail",
                "torch",
                f"cannot be imported: {answer['error']}",
                "pip install torch    # the build for your device: pytorch.org/get-started",
            )
        ]
    extensions = [_extension(name, reason) for name, reason in answer["extensions"].items()]
    return [Finding("ok", "torch", f"{answer['version']} ({answer['path']})"), *extensions]


def _extension(name: str, error: str | None) -> Finding:
    package = _package(name)
    if error is None:
        return Finding("ok", f"torch: {name}", f"{package} loads")
    return Finding(
        "warn",
        f"torch: {name}",
        f"{package} is installed and cannot be loaded ({error}), so that a plain `import torch` fails "
        "in this environment; bench works nevertheless with its other backends. Fix it with the "
        "environment script of the vendor's toolkit, or let torch leave its extensions alone",
        "export TORCH_DEVICE_BACKEND_AUTOLOAD=0",
    )


def _package(extension: str) -> str:
    """Name the package of an extension, with its version."""
    for point in entry_points(group="torch.backends"):
        if point.name == extension and point.dist is not None:
            return f"{point.dist.name} {point.dist.version}"
    return extension


def _import(timeout_s: float) -> dict[str, Any]:
    """Run IMPORTS and return its answer. Raises ValueError with the process's last words if there is none."""
    done = subprocess.run(
        python_command(IMPORTS),
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        env=python_environment(),
        check=False,
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    words = done.stderr.strip().splitlines()[-1:] or ["no output"]
    raise ValueError(f"the process that imports it ended with {done.returncode}: {words[0]}")
