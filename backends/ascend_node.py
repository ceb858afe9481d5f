"""What an Ascend node has and lacks: torch-npu, CANN, the driver, permissions; no NPU is touched."""

from __future__ import annotations

import ctypes
import importlib
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

SET_ENV = ("/usr/local/Ascend/ascend-toolkit/set_env.sh", "/usr/local/Ascend/cann/set_env.sh")


def torch_release() -> str:
    """Return torch's version as torch-npu numbers its own: 2.13.0 of 2.13.0+cpu."""
    return torch.__version__.partition("+")[0]


def package_problem() -> str | None:
    """Return why torch-npu is not there or does not fit torch, None when it does."""
    wanted = torch_release()
    try:
        found = version("torch-npu")
    except PackageNotFoundError:
        return f"torch-npu is not installed; install it with: pip install torch-npu=={wanted}"
    if found.split(".")[:2] != wanted.split(".")[:2]:
        return (
            f"torch-npu {found} does not fit torch {wanted}; "
            f"install the one that does with: pip install torch-npu=={wanted}"
        )
    return None


@cache
def npu() -> Any:
    """Return torch-npu's module `npu`, imported.

    Operators without an NPU kernel are made to fail: by default torch-npu would run them on the
    processor, and only warn.
    """
    os.environ.setdefault("TORCH_NPU_FALLBACK_CPU_DISABLE", "1")
    return importlib.import_module("torch_npu").npu


def import_problem() -> str | None:
    """Import torch-npu; return why that fails, None when it succeeds."""
    try:
        npu()
    except ImportError as error:
        scripts = [path for path in SET_ENV if Path(path).exists()]
        source = scripts[0] if scripts else "its set_env.sh (after installing CANN)"
        return f"CANN is not found ({error}); source {source} first"
    except Exception as error:  # torch-npu raises bare Exceptions for incomplete installations
        return " ".join(str(error).split("[ERROR]")[0].split())
    return None


def no_device_reason() -> str:
    """Return why CANN sees no NPU."""
    hidden = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    nodes = sorted(map(str, Path("/dev").glob("davinci[0-9]*")))
    if hidden is not None:
        return f"ASCEND_RT_VISIBLE_DEVICES={hidden!r} leaves no NPU visible; unset or correct it"
    if not nodes:
        return "there is no NPU: no /dev/davinci* (in a container, pass them through)"
    locked = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if locked:
        return (
            f"no permission on {locked[0]}; add the user to its group: "
            f"sudo usermod -aG HwHiAiUser {os.environ.get('USER', '$USER')}"
        )
    return f"{nodes[0]} is there, but CANN sees no NPU; npu-smi info says what state it is in"


def simulated() -> bool:
    """Tell whether the CANN that is loaded is the stand-in of this project's tests."""
    try:
        return hasattr(ctypes.CDLL("libascendcl.so"), "cann_simulator")
    except OSError:
        return False


def version_file(part: str) -> str | None:
    """Return the version of an installed part, driver or firmware, None where unknown."""
    try:
        text = Path(f"/usr/local/Ascend/{part}/version.info").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return lines.get("Version") or lines.get("version")
