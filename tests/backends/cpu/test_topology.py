"""Processors of other machines, as their files describe them, read by the code that reads ours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from backends.cpu.topology import (
    cpu_topology,
    identity,
    llc_bytes,
    parse_cpu_list,
    parse_cpuinfo,
    physical_cores,
)

SPR = """processor : {n}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
cache size\t: 107520 KB
physical id\t: 0
core id\t\t: {core}
flags\t\t: fpu avx2 fma avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8

"""
ARM = """processor\t: {n}
BogoMIPS\t: 2100.00
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU implementer\t: {implementer}
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 1

"""


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write `files` below `root` and return it."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def sysfs(cpu: int, siblings: str, caches: Iterable[tuple[int, str, str, str]]) -> dict[str, str]:
    """The files of one CPU: its siblings and its caches as (level, type, size, shared with)."""
    folder = f"sys/devices/system/cpu/cpu{cpu}"
    files = {f"{folder}/topology/thread_siblings_list": siblings + "\n"}
    for number, (level, kind, size, shared) in enumerate(caches):
        values = {"level": level, "type": kind, "size": size, "shared_cpu_list": shared}
        for name, value in values.items():
            files[f"{folder}/cache/index{number}/{name}"] = f"{value}\n"
    return files


def test_sapphire_rapids_counts_siblings_once(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": "".join(SPR.format(n=n, core=n // 2) for n in range(4))}
    for n in range(4):
        pair = f"{n // 2 * 2}-{n // 2 * 2 + 1}"
        levels = [(1, "Data", "48K", pair), (1, "Instruction", "32K", pair)]
        files |= sysfs(n, pair, [*levels, (2, "Unified", "2048K", pair)])
        files |= sysfs(n, pair, [*levels, (3, "Unified", "107520K", "0-3")])
    topology = cpu_topology(tree(tmp_path, files), cpus=range(4), architecture="x86_64")
    assert topology.identity.vendor == "GenuineIntel"
    assert (topology.identity.family, topology.identity.model) == (6, 0x8F)
    assert topology.identity.name == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"
    assert {"amx_bf16", "avx512_fp16"} <= topology.identity.flags
    assert topology.physical_cores == topology.usable_cores == 2
    assert topology.llc_bytes == 105 * 2**20
    assert not topology.hybrid


def test_siblings_apart_in_number_and_affinity_to_one_of_them(tmp_path: Path) -> None:
    # Zen 5 desktop numbers the second threads 8 to 15; two chiplets have an L3 each.
    files: dict[str, str] = {"proc/cpuinfo": "processor : 0\ncpu family : 26\nmodel : 68\n"}
    for n in range(16):
        siblings, chiplet = f"{n % 8},{n % 8 + 8}", "0-3,8-11" if n % 8 < 4 else "4-7,12-15"
        files |= sysfs(n, siblings, [(3, "Unified", "32768K", chiplet)])
    root = tree(tmp_path, files)
    everything, one_chiplet = cpu_topology(root, range(16)), cpu_topology(root, [0, 1, 8, 9, 10])
    assert (everything.physical_cores, everything.llc_bytes) == (8, 64 * 2**20)
    assert (one_chiplet.physical_cores, one_chiplet.llc_bytes) == (3, 32 * 2**20)


@pytest.mark.parametrize(
    ("implementer", "part", "name", "vendor"),
    [
        ("0x41", "0xd40", "Neoverse V1", "Arm"),  # Graviton 3
        ("0x41", "0xd4f", "Neoverse V2", "Arm"),  # Grace, Graviton 4
        ("0x48", "0xd01", "Kunpeng 920 (TSV110)", "HiSilicon"),
        ("0x41", "0xfff", "Arm part 0xfff", "Arm"),
        ("0x99", "0x001", "0x99 part 0x001", "0x99"),
    ],
)
def test_arm_is_named_by_implementer_and_part(
    implementer: str, part: str, name: str, vendor: str
) -> None:
    text = "".join(ARM.format(n=n, implementer=implementer, part=part) for n in range(2))
    cpu = identity(parse_cpuinfo(text), 0, "aarch64", "Linux")
    assert (cpu.name, cpu.vendor, cpu.model) == (name, vendor, int(part, 16))
    assert {"sve", "i8mm", "bf16"} <= cpu.flags


def test_arm_big_and_little_are_hybrid_and_the_big_one_names_it(tmp_path: Path) -> None:
    text = ARM.format(n=0, implementer="0x41", part="0xd05")
    text += ARM.format(n=1, implementer="0x41", part="0xd0b")
    files = {"proc/cpuinfo": text}
    files |= {
        f"sys/devices/system/cpu/cpu{n}/cpu_capacity": f"{c}\n" for n, c in [(0, 300), (1, 1024)]
    }
    root = tree(tmp_path, files)
    assert cpu_topology(root, [0, 1], "arm64").hybrid
    assert cpu_topology(root, [0, 1], "arm64").identity.name == "Cortex-A76"
    assert not cpu_topology(root, [0], "arm64").hybrid


def test_hybrid_laptop(tmp_path: Path) -> None:
    files = {"sys/devices/cpu_core/cpus": "0-3\n", "sys/devices/cpu_atom/cpus": "4-7\n"}
    files["proc/cpuinfo"] = "".join(f"processor : {n}\ncore id : {n}\n\n" for n in range(8))
    for n in range(8):
        siblings = f"{n // 2 * 2}-{n // 2 * 2 + 1}" if n < 4 else str(n)
        files |= sysfs(n, siblings, [(3, "Unified", "12288K", "0-7")])
    root = tree(tmp_path, files)
    assert cpu_topology(root, range(8)).physical_cores == 6
    assert cpu_topology(root, range(8)).hybrid
    assert not cpu_topology(root, [0, 2]).hybrid


def test_without_sysfs_the_core_ids_of_cpuinfo_count() -> None:
    blocks = parse_cpuinfo("".join(SPR.format(n=n, core=n // 2) for n in range(6)))
    nowhere = Path("/nonexistent")
    assert physical_cores(nowhere, range(6), blocks) == 3
    assert llc_bytes(nowhere, range(6)) is None


@pytest.mark.parametrize(
    ("quota", "usable"), [("50000", 1), ("150000", 1), ("230000", 2), ("900000", 4), ("max", 4)]
)
def test_a_quota_is_rounded_down(tmp_path: Path, quota: str, usable: int) -> None:
    files = {"proc/cpuinfo": "".join(SPR.format(n=n, core=n) for n in range(4))}
    files |= {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"}
    topology = cpu_topology(tree(tmp_path, files), cpus=range(4))
    assert (topology.physical_cores, topology.usable_cores) == (4, usable)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-3,8\n", {0, 1, 2, 3, 8}), ("5", {5}), ("", set()), ("\n", set()), ("x-2", set())],
)
def test_cpu_list(text: str, expected: set[int]) -> None:
    assert parse_cpu_list(text) == expected


def test_a_machine_without_files_is_described(tmp_path: Path) -> None:
    topology = cpu_topology(tmp_path, cpus=[0], architecture="sparc64")
    assert topology.identity.architecture == "sparc64"
    assert topology.identity.name
    assert not topology.identity.flags
    assert topology.physical_cores == topology.usable_cores == 1
    assert (topology.quota, topology.llc_bytes) == (None, None)


def test_this_machine() -> None:
    topology = cpu_topology()
    assert topology.identity.name
    assert 1 <= topology.usable_cores <= topology.physical_cores <= len(topology.cpus)
    assert len(topology.cpus) <= (os.cpu_count() or 1)
