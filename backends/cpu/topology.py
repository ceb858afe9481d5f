"""The processor, and how much of it this process may use: name, cores, caches, quota.

Linux publishes this as text (/proc/cpuinfo, /sys, cgroups), which is read below a `root` folder, so that
tests can have the files of other machines. Elsewhere, `platform` and psutil are asked. Nothing here
fails: what is unknown is None or empty.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processors import PROCESSORS, CpuQuota, cpu_quota

# MIDR_EL1 implementer and part; names as in LLVM's TargetParser/Host.cpp and Arm's manuals.
ARM_CORE_NAMES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse N1",
    (0x41, 0xD40): "Neoverse V1",
    (0x41, 0xD49): "Neoverse N2",
    (0x41, 0xD4F): "Neoverse V2",
    (0x41, 0xD83): "Neoverse V3AE",
    (0x41, 0xD84): "Neoverse V3",
    (0x41, 0xD8E): "Neoverse N3",
    (0x46, 0x001): "A64FX",
    (0x48, 0xD01): "Kunpeng 920 (TSV110)",
    (0x4E, 0x010): "Olympus",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1A",
}
ARM_VENDORS = {0x41: "Arm", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA", 0x51: "Qualcomm"}
ARM_VENDORS |= {0x61: "Apple", 0xC0: "Ampere"}


@dataclass(frozen=True)
class CpuIdentity:
    """Instruction sets and microarchitecture, which decide a core's peak rates.

    `vendor` is x86's ("GenuineIntel") or Arm's implementer in words ("Arm"); `model` is x86's model
    or Arm's part number; `flags` are the kernel's names of the instruction sets.
    """

    architecture: str
    system: str
    vendor: str
    family: int | None
    model: int | None
    name: str
    flags: frozenset[str]


@dataclass(frozen=True)
class CpuTopology:
    """The processor as this process may use it.

    `physical_cores` counts the cores behind the CPUs of the affinity mask, SMT siblings once. A
    virtual machine may hide that two of its CPUs are siblings; then they count as two.
    `quota` is the CPU time that a container may use, None when it is not limited.
    `llc_bytes` sums the distinct last-level caches that these CPUs share.
    `hybrid` says that the CPUs are not all of one kind (performance and efficiency cores).
    """

    identity: CpuIdentity
    cpus: tuple[int, ...]
    physical_cores: int
    quota: CpuQuota | None
    llc_bytes: int | None
    hybrid: bool

    @property
    def usable_cores(self) -> int:
        """Cores that this process can keep busy, which a quota may limit."""
        if self.quota is None:
            return self.physical_cores
        return min(self.physical_cores, self.quota.threads)


def cpu_topology(
    root: Path = Path("/"), cpus: Collection[int] | None = None, architecture: str | None = None
) -> CpuTopology:
    """Describe the processor whose files lie below `root`, seen by a process bound to `cpus`.

    Without `cpus` it is those that this process may use.
    """
    chosen = tuple(sorted(PROCESSORS if cpus is None else cpus))
    blocks = parse_cpuinfo(_read(root / "proc/cpuinfo"))
    lead = _fastest_cpu(root, chosen)
    return CpuTopology(
        identity=identity(blocks, lead, architecture or platform.machine(), platform.system()),
        cpus=chosen,
        physical_cores=physical_cores(root, chosen, blocks),
        quota=cpu_quota(root),
        llc_bytes=llc_bytes(root, chosen),
        hybrid=_is_hybrid(root, chosen, blocks),
    )


def parse_cpuinfo(text: str) -> dict[int, dict[str, str]]:
    """Split /proc/cpuinfo into the fields of each logical CPU, by its number."""
    blocks: dict[int, dict[str, str]] = {}
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if separator and key == "processor" and value.isdigit():
            fields = blocks[int(value)] = {}
        elif separator:
            fields[key] = value
    return blocks


def identity(
    blocks: dict[int, dict[str, str]], lead: int, architecture: str, system: str
) -> CpuIdentity:
    """Identify the processor from the fields of CPU `lead`, or of any where that one is missing."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture.lower(), architecture)
    fields = blocks.get(lead) or next(iter(blocks.values()), {})
    flags = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    family, model = _integer(fields.get("cpu family")), _integer(fields.get("model"))
    vendor, name = fields.get("vendor_id", ""), fields.get("model name", "")
    if "CPU implementer" in fields:
        implementer, model = _integer(fields["CPU implementer"]), _integer(fields.get("CPU part"))
        vendor = ARM_VENDORS.get(implementer or 0, fields["CPU implementer"])
        unnamed = f"{vendor} part {fields.get('CPU part', '?')}"
        # A "model name" on Arm, where there is one, is "ARMv8 Processor rev 1": it names nothing.
        name = ARM_CORE_NAMES.get((implementer or 0, model or 0), unnamed)
    elif not fields:
        name = _brand() or platform.processor()
        vendor = "Apple" if name.startswith("Apple") else ""
    return CpuIdentity(machine, system, vendor, family, model, name or machine, flags)


def parse_cpu_list(text: str) -> frozenset[int]:
    """Read the kernel's list format: "0-3,8" is {0, 1, 2, 3, 8}."""
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def physical_cores(root: Path, cpus: Collection[int], blocks: dict[int, dict[str, str]]) -> int:
    """Count the distinct cores behind `cpus`: by sysfs, else /proc/cpuinfo, else psutil."""
    cores: set[object] = set()
    for cpu in cpus:
        topology = _cpu_folder(root, cpu) / "topology"
        siblings = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
        fields = blocks.get(cpu, {})
        if siblings.strip():
            cores.add(parse_cpu_list(siblings))
        elif "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
        else:
            cores.add(cpu)
    if not blocks:
        return max(1, min(len(cores), psutil.cpu_count(logical=False) or len(cores)))
    return max(1, len(cores))


def llc_bytes(root: Path, cpus: Iterable[int]) -> int | None:
    """Sum the sizes of the distinct last-level data caches of `cpus`; None where none is listed.

    /proc/cpuinfo's "cache size" does not serve: it is one slice's L2 on AMD and the L3 on Intel.
    """
    caches: dict[tuple[int, frozenset[int]], int] = {}
    for cpu in cpus:
        last: tuple[int, frozenset[int], int] | None = None
        for index in sorted((_cpu_folder(root, cpu) / "cache").glob("index*")):
            level, size = _integer(_read(index / "level")), _size(_read(index / "size"))
            if level is None or size is None or _read(index / "type").strip() == "Instruction":
                continue
            shared = parse_cpu_list(_read(index / "shared_cpu_list")) or frozenset({cpu})
            if last is None or level > last[0]:
                last = (level, shared, size)
        if last is not None:
            caches[last[0], last[1]] = last[2]
    return sum(caches.values()) or None


def _is_hybrid(root: Path, cpus: Collection[int], blocks: dict[int, dict[str, str]]) -> bool:
    fast = parse_cpu_list(_read(root / "sys/devices/cpu_core/cpus"))
    parts = {blocks[cpu].get("CPU part") for cpu in cpus if cpu in blocks}
    return len(parts) > 1 or (bool(fast) and not fast.issuperset(cpus))


def _fastest_cpu(root: Path, cpus: Collection[int]) -> int:
    """Pick the CPU that stands for all: one of the fastest kind, where there are several kinds."""
    fast = parse_cpu_list(_read(root / "sys/devices/cpu_core/cpus"))

    def speed(cpu: int) -> tuple[bool, int]:
        return cpu in fast, _integer(_read(_cpu_folder(root, cpu) / "cpu_capacity")) or 0

    return max(cpus, key=speed, default=0)


def _brand() -> str:
    """Ask macOS for the processor's name ("Apple M2"); "" elsewhere."""
    if platform.system() != "Darwin":
        return ""
    try:
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu_folder(root: Path, cpu: int) -> Path:
    return root / f"sys/devices/system/cpu/cpu{cpu}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _integer(text: str | None) -> int | None:
    try:
        return int((text or "").strip(), 0)
    except ValueError:
        return None


def _size(text: str) -> int | None:
    """Read "32768K" as bytes."""
    text = text.strip()
    unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
    number = _integer(text.rstrip("KMG"))
    return None if number is None else number * unit
