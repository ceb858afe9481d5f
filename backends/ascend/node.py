"""What an Ascend node has and lacks: torch-npu, CANN, the driver, permissions; no NPU is touched.

Paths are those of Huawei's installers (hiascend.com, CANN installation guide). `root` is the root of the
file system, so that tests can lay a node out in a folder.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path("/")
SET_ENV = (
    "usr/local/Ascend/ascend-toolkit/set_env.sh",
    "usr/local/Ascend/cann/set_env.sh",
    "usr/local/Ascend/nnae/set_env.sh",
    "root/Ascend/ascend-toolkit/set_env.sh",
)
GROUP = "HwHiAiUser"  # owns /dev/davinci*
JOIN_GROUP = f"sudo usermod --append --groups {GROUP} $USER    # then log in again"


def installed(package: str) -> str | None:
    """Look up the version of an installed package without importing it; None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fits(torch: str | None, extension: str) -> bool:
    """Whether a torch-npu matches a torch: both have the same release, as 2.1.0.post10 and 2.1.0."""
    release = _release(torch)
    return release is None or re.match(rf"{re.escape(release)}(?!\d)", extension) is not None


def install_command(torch: str | None) -> str:
    """Compose the command that installs the torch-npu for a torch."""
    return f"pip install torch-npu=={_release(torch) or 'VERSION_OF_TORCH'}"


def _release(torch: str | None) -> str | None:
    match = re.match(r"\d+\.\d+\.\d+", torch or "")
    return match[0] if match else None


def package_problem() -> str | None:
    """Say why torch-npu is missing or does not match torch; None if it does."""
    torch, extension = installed("torch"), installed("torch-npu")
    if extension is None:
        return f"torch-npu is not installed; install it with: {install_command(torch)}"
    if not fits(torch, extension):
        return (
            f"torch-npu {extension} does not fit torch {torch}; "
            f"install the matching one with: {install_command(torch)}"
        )
    return None


@cache
def npu() -> Any:
    """Import torch-npu's module `npu`.

    Operators without an NPU kernel are set to fail: by default, torch-npu runs them on the processor
    with no more than a warning.
    """
    os.environ.setdefault("TORCH_NPU_FALLBACK_CPU_DISABLE", "1")
    return importlib.import_module("torch_npu").npu


def import_problem() -> str | None:
    """Import torch-npu; say why that fails, None when it succeeds."""
    try:
        npu()
    except ImportError as error:
        script = set_env_script() or "its set_env.sh (after installing CANN)"
        return f"CANN is not found ({error}); source {script} first"
    except Exception as error:  # torch-npu raises bare Exceptions for incomplete installations
        return " ".join(str(error).split("[ERROR]")[0].split())
    return None


def set_env_script(root: Path = ROOT) -> Path | None:
    """Locate the script that sets CANN's environment, None where CANN is not installed."""
    return next((Path("/") / script for script in SET_ENV if (root / script).exists()), None)


def chip_nodes(root: Path = ROOT) -> list[str]:
    """List the names of the chips' device files."""
    names = (path.name for path in (root / "dev").glob("davinci[0-9]*"))
    return sorted(names, key=lambda name: (len(name), name))


def closed_node(names: list[str], root: Path = ROOT) -> str | None:
    """Find the first device file that this user may not open, None if all may be opened."""
    closed = (name for name in names if not os.access(root / "dev" / name, os.R_OK | os.W_OK))
    return next(closed, None)


def permission_problem(root: Path = ROOT) -> str | None:
    """Say why this user may not open a chip; None if all may be opened."""
    closed = closed_node(chip_nodes(root), root)
    if closed is None:
        return None
    return f"no permission on /dev/{closed}, which belongs to the group {GROUP}; {JOIN_GROUP}"


def no_device_reason(root: Path = ROOT) -> str:
    """Say why CANN sees no NPU."""
    hidden = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if hidden is not None:
        return f"ASCEND_RT_VISIBLE_DEVICES={hidden!r} leaves no NPU visible; unset or correct it"
    nodes = chip_nodes(root)
    if not nodes:
        return "there is no NPU: no /dev/davinci* (in a container, pass them through)"
    unseen = f"/dev/{nodes[0]} exists, but CANN sees no NPU; npu-smi info shows its state"
    return permission_problem(root) or unseen


def simulated() -> bool:
    """Whether the CANN that is loaded is the simulator of this project's tests."""
    try:
        return hasattr(ctypes.CDLL("libascendcl.so"), "cann_simulator")
    except OSError:
        return False


def version_file(part: str, root: Path = ROOT) -> str | None:
    """Read the version of an installed part, driver or firmware, None where unknown."""
    try:
        text = (root / f"usr/local/Ascend/{part}/version.info").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"^\s*[Vv]ersion\s*=\s*(\S+)", text, re.MULTILINE)
    return match[1] if match else None
