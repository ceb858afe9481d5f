"""What `bench doctor` examines on Ascend nodes: device files, driver, CANN, torch-npu, chips, processes.

A CANN that is installed elsewhere is located by the variables that its set_env.sh sets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backends.ascend import node as ascend_node
from backends.ascend.chip import ChipReading, Sensors
from backends.ascend.settings import SETTINGS
from backends.ascend.telemetry import find_sensors
from bench.backend import Finding

# What a process opens besides its chip; a container needs all of them.
SHARED_NODES = ("davinci_manager", "devmm_svm", "hisi_hdc")
HOME_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")

HOT_C = 85.0
# On an idle chip, the driver itself holds a few GiB.
HELD_BYTES = 6 << 30

# Settings that make every operator slower (hiascend.com, environment variable reference).
SLOW_SETTINGS = {
    "ASCEND_LAUNCH_BLOCKING": ("1", "the host waits for each operator"),
    "TASK_QUEUE_ENABLE": ("0", "operators are not queued"),
    "ASCEND_GLOBAL_LOG_LEVEL": ("0", "the runtime logs everything"),
    "ASCEND_SLOG_PRINT_TO_STDOUT": ("1", "the runtime prints its log"),
}


def affinity() -> set[int]:
    """List the processors that this process may run on."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


@dataclass(frozen=True)
class Node:
    """Where to look: the file system, the environment, the packages and the sensors."""

    root: Path = ascend_node.ROOT
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Callable[[str], str | None] = ascend_node.installed
    find_sensors: Callable[[], tuple[Sensors | None, str | None]] = find_sensors
    processors: set[int] = field(default_factory=affinity)


def diagnose(node: Node | None = None) -> list[Finding]:
    """Examine this node."""
    node = node or Node()
    return [
        *_nodes(node),
        *_driver(node),
        *_cann(node),
        *_torch_npu(node),
        *_settings(node),
        *_chips(node),
    ]


def _nodes(node: Node) -> Iterator[Finding]:
    """Look for the chips' device files, and whether this user may open them."""
    devices = node.root / "dev"
    chips = ascend_node.chip_nodes(node.root)
    shared = [name for name in SHARED_NODES if (devices / name).exists()]
    passed = " ".join(f"--device=/dev/{name}" for name in ("davinci0", *SHARED_NODES))
    if not chips:
        yield Finding(
            "fail",
            "NPU",
            "no /dev/davinci*: this machine has none, or the container was started without",
            f"docker run {passed} …",
        )
        return
    if len(shared) < len(SHARED_NODES):
        missing = ", ".join(f"/dev/{name}" for name in SHARED_NODES if name not in shared)
        yield Finding(
            "fail", "NPU", f"{missing} missing in this container", f"docker run {passed} …"
        )
    closed = ascend_node.closed_node([*chips, *shared], node.root)
    if closed is not None:
        yield Finding(
            "fail",
            "permission",
            f"/dev/{closed} may not be opened by this user; it belongs to the group {ascend_node.GROUP}",
            ascend_node.JOIN_GROUP,
        )
    else:
        yield Finding(
            "ok", "NPU", f"{len(chips)} device{'' if len(chips) == 1 else 's'}: {', '.join(chips)}"
        )


def _driver(node: Node) -> Iterator[Finding]:
    version = ascend_node.version_file("driver", node.root)
    if version is not None:
        yield Finding("ok", "driver", version)
    else:
        yield Finding(
            "warn",
            "driver",
            "no /usr/local/Ascend/driver/version.info: not installed, or not passed into this container",
            "docker run -v /usr/local/Ascend/driver:/usr/local/Ascend/driver …",
        )


def _cann(node: Node) -> Iterator[Finding]:
    """Look for CANN: set in the environment, installed but not set, or missing."""
    for name in HOME_VARIABLES:
        home = node.environment.get(name)
        if home and _below(node, home).is_dir():
            yield Finding(
                "ok", "CANN", f"{_cann_version(_below(node, home)) or 'version unknown'} ({home})"
            )
            return
        if home:
            yield Finding("fail", "CANN", f"{name}={home} does not exist", f"unset {name}")
            return
    script = ascend_node.set_env_script(node.root)
    if script is not None:
        yield Finding(
            "fail",
            "CANN",
            "CANN is installed, but its environment is not set in this shell",
            f"source {script}",
        )
        return
    yield Finding(
        "fail",
        "CANN",
        "not found: it needs the toolkit and the kernels of the chip (hiascend.com, CANN, downloads)",
        "sudo bash Ascend-cann-toolkit_VERSION_linux-$(uname -m).run --install",
    )


def _cann_version(home: Path) -> str | None:
    for path in (*sorted(home.glob("*-linux/ascend_toolkit_install.info")), home / "version.cfg"):
        match = re.search(r"^version=(\S+)", _read(path), re.MULTILINE)
        if match is not None:
            return match[1]
    return None


def _torch_npu(node: Node) -> Iterator[Finding]:
    """Check that torch-npu is installed and matches torch, which has the same version."""
    torch, extension = node.installed("torch"), node.installed("torch-npu")
    mend = ascend_node.install_command(torch)
    if extension is None:
        yield Finding("fail", "torch-npu", "not installed", mend)
    elif not ascend_node.fits(torch, extension):
        yield Finding("fail", "torch-npu", f"{extension} does not fit torch {torch}", mend)
    else:
        yield Finding("ok", "torch-npu", extension)


def _settings(node: Node) -> Iterator[Finding]:
    visible = node.environment.get("ASCEND_RT_VISIBLE_DEVICES")
    if visible is not None:
        yield Finding("ok", "visible", f"ASCEND_RT_VISIBLE_DEVICES={visible}")
    slow = [
        (name, value, what)
        for name, (value, what) in SLOW_SETTINGS.items()
        if node.environment.get(name) == value
    ]
    for name, value, what in slow:
        yield Finding("warn", "setting", f"{name}={value}: {what}", f"unset {name}")
    for name in SETTINGS:
        if name in node.environment and name not in (setting[0] for setting in slow):
            yield Finding("ok", name, f"{node.environment[name]}, which rows have in device_state")
    yield from _binding(node)


def _binding(node: Node) -> Iterator[Finding]:
    """Check whether launches come from one NUMA node: from a far one, each takes longer."""
    folders = (node.root / "sys/devices/system/node").glob("node[0-9]*")
    nodes = [processors(_read(folder / "cpulist")) for folder in folders]
    used = [held for held in nodes if held & node.processors]
    if len(used) < 2 or node.environment.get("CPU_AFFINITY_CONF", "0")[:1] != "0":
        return
    yield Finding(
        "warn",
        "NUMA",
        f"this process may run on {len(used)} NUMA nodes, and launches from a far one take longer",
        "export CPU_AFFINITY_CONF=1    # or numactl --cpunodebind; npu-smi info -t topo shows the near one",
    )


def processors(text: str) -> set[int]:
    """Parse a list of processors as Linux writes it, `0-3,8`."""
    listed: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        listed |= set(range(int(first), int(last or first) + 1))
    return listed


def _chips(node: Node) -> Iterator[Finding]:
    """Check each chip's health, temperature and processes."""
    sensors, reason = node.find_sensors()
    if sensors is None:
        yield Finding(
            "warn",
            "sensors",
            f"{reason}: rows will have no power, clock and temperature",
            "source /usr/local/Ascend/driver/bin/setenv.bash",
        )
        return
    chips = sensors.chips()
    troubles = [finding for chip in chips for finding in _chip(chip)]
    yield from troubles
    if not troubles:
        yield Finding(
            "ok", "chips", f"{len(chips)} by {sensors.name}: healthy, and no process uses them"
        )


def _chip(chip: ChipReading) -> Iterator[Finding]:
    name = f"chip {chip.logic_id}"
    if chip.health not in (None, "OK"):
        yield Finding(
            "warn",
            name,
            f"health: {chip.health}",
            f"npu-smi info -t health -i {chip.npu} -c {chip.chip}",
        )
    if chip.temperature_c is not None and chip.temperature_c >= HOT_C:
        yield Finding(
            "warn",
            name,
            f"{chip.temperature_c:g} °C: it will throttle",
            f"npu-smi info -t temp -i {chip.npu} -c {chip.chip}",
        )
    if chip.processes:
        processes = ", ".join(
            f"{process.name or 'process'} ({process.pid})"
            + (f" {process.memory_bytes / 2**30:.1f} GiB" if process.memory_bytes else "")
            for process in chip.processes[:3]
        )
        pids = " ".join(str(process.pid) for process in chip.processes)
        yield Finding(
            "warn", name, f"used by {processes}", f"ps -fp {pids}    # stop it, or use another chip"
        )
    elif (chip.hbm_used_bytes or 0) > HELD_BYTES:
        yield Finding(
            "warn",
            name,
            f"{(chip.hbm_used_bytes or 0) / 2**30:.0f} GiB are in use by a process that is not visible here: "
            "in another container, or of another user",
            f"npu-smi info -t proc-mem -i {chip.npu} -c {chip.chip}    # on the host, as root",
        )


def _below(node: Node, path: str) -> Path:
    return node.root / path.lstrip("/")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
