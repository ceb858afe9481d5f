"""The most that this processor's cores can compute: operations a cycle, times cores, times clock.

Operations a cycle follow from the instruction sets (which the kernel lists) and from how many such
instructions the microarchitecture starts a cycle (the tables below, most specific first). Only
multiply-adds count, each as two operations: a product can use nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backends.cpu_clock import Clock, measure_clock
from backends.cpu_topology import CpuIdentity, CpuTopology, cpu_topology

# Where a row's numbers come from; "measured" is with loops of independent instructions.
CPUFP = "measured by github.com/pigirons/cpufp"
VFPBENCH = "measured by github.com/hiroog/vfpbench"
BOTH = f"{CPUFP} and github.com/hiroog/vfpbench"
ARM_GUIDE = "Arm's software optimization guide, as in LLVM's scheduling model"
VPU_COUNT = "Intel's product pages, as in github.com/jeffhammond/vpu-count"
ASSUMED = "not in the table, assumed as wide as the widest known: utilization may be understated"


def _set(*items: int | range) -> frozenset[int]:
    return frozenset(n for item in items for n in ([item] if isinstance(item, int) else item))


@dataclass(frozen=True)
class X86Core:
    """How many vector multiply-add instructions an x86 core starts a cycle, by their width.

    `bf16_512` (VDPBF16PS) is given where it differs from `fma512`, `vnni256` (VPDPBUSD) where it
    differs from `fma256`. `madd` is the int8 rate without VNNI over float32's. `named` narrows the
    match to a pattern in the processor's name.
    """

    name: str
    vendor: str
    family: int
    models: frozenset[int]
    fma256: float
    fma512: float
    source: str
    bf16_512: float | None = None
    vnni256: float | None = None
    madd: float = 2
    named: str = ""


INTEL, AMD, ANY = "GenuineIntel", "AuthenticAMD", _set(range(0x1000))
SKYLAKE_SP, ICE_LAKE_SP = _set(0x55), _set(0x6A, 0x6C)
GOLDEN_COVE_SP = _set(0x8F, 0xCF, 0xAD, 0xAE)  # Sapphire, Emerald and Granite Rapids
ICE_LAKE = _set(0x7D, 0x7E, 0x8C, 0x8D, 0xA7)  # and Tiger and Rocket Lake
HASWELL = _set(0x3C, 0x3D, 0x3F, 0x45, 0x46, 0x47, 0x4F, 0x56)  # and Broadwell
SKYLAKE = _set(0x4E, 0x5E, 0x8E, 0x9E, 0xA5, 0xA6)  # and Kaby, Coffee and Comet Lake
# The performance cores of Alder, Raptor, Meteor, Arrow, Lunar and Panther Lake.
ALDER_LAKE = _set(0x97, 0x9A, 0xAA, 0xAC, 0xB5, 0xB7, 0xBA, 0xBD, 0xBF, 0xC5, 0xC6, 0xCC)
ZEN_1 = _set(range(0x30), range(0x50, 0x60))
ZEN_4 = _set(range(0x10, 0x20), range(0x60, 0x80), range(0xA0, 0xB0))
ZEN_5 = _set(range(0x20), range(0x40, 0x50), range(0x70, 0x80))
ZEN_5_MOBILE = _set(range(0x20, 0x30), range(0x60, 0x70))
ONE_UNIT = r"Bronze 3|Silver 4|Gold 5(?!122|222)"
TEARDOWN = "numberworld.org/blogs/2024_8_7_zen5_avx512_teardown"
LAUNCH_2021 = "servethehome.com/intel-xeon-ice-lake-edition-marks-the-start-and-end-of-an-era"

X86_CORES = (
    # VDPBF16PS starts only every other cycle on these: half of float32's rate.
    X86Core("Golden Cove server", INTEL, 6, GOLDEN_COVE_SP, 2, 2, CPUFP, bf16_512=0.5),
    X86Core("Skylake server, one unit", INTEL, 6, SKYLAKE_SP, 2, 1, VPU_COUNT, named=ONE_UNIT),
    X86Core("Skylake server", INTEL, 6, SKYLAKE_SP, 2, 2, VPU_COUNT),
    X86Core("Ice Lake server", INTEL, 6, ICE_LAKE_SP, 2, 2, LAUNCH_2021),
    X86Core("Ice Lake client", INTEL, 6, ICE_LAKE, 2, 1, VFPBENCH),
    X86Core("Gracemont", INTEL, 6, _set(0xBE), 1, 0, BOTH, vnni256=0.5),
    X86Core("Crestmont", INTEL, 6, _set(0xAF, 0xB6), 1, 0, "assumed as Gracemont, VNNI doubled"),
    X86Core("Darkmont", INTEL, 6, _set(0xDD), 2, 0, f"assumed as Skymont, {CPUFP}"),
    X86Core("Haswell or Broadwell", INTEL, 6, HASWELL, 2, 0, VFPBENCH, madd=1),
    X86Core("Skylake client", INTEL, 6, SKYLAKE, 2, 0, VFPBENCH),
    X86Core("Golden Cove client or later", INTEL, 6, ALDER_LAKE, 2, 0, BOTH),
    X86Core("Zen", AMD, 0x17, ZEN_1, 1, 0, VFPBENCH, madd=1),
    X86Core("Zen", "HygonGenuine", 0x18, ANY, 1, 0, f"assumed as AMD's Zen, {VFPBENCH}", madd=1),
    X86Core("Zen 2", AMD, 0x17, ANY, 2, 0, VFPBENCH, madd=1),
    # Zen 4 executes 512-bit instructions in two halves; confirmed by our own loops, dtype by dtype.
    X86Core("Zen 4", AMD, 0x19, ZEN_4, 2, 1, CPUFP),
    X86Core("Zen 3", AMD, 0x19, ANY, 2, 0, BOTH),
    X86Core("Zen 5, 256-bit units", AMD, 0x1A, ZEN_5_MOBILE, 2, 1, TEARDOWN),
    X86Core("Zen 5", AMD, 0x1A, ZEN_5, 2, 2, BOTH),
)


@dataclass(frozen=True)
class ArmCore:
    """How many 128-bit multiply-adds an Arm core starts a cycle (a 256-bit SVE unit counts twice).

    `float64` is given where it differs; `bfmmla` says whether BFMMLA runs at that rate too.
    """

    name: str
    vendor: str
    parts: frozenset[int]
    pipes: float
    source: str
    float64: float | None = None
    bfmmla: bool = True


ARM_CORES = (
    ArmCore("Neoverse V1", "Arm", _set(0xD40), 4, ARM_GUIDE),
    ArmCore("Neoverse V2", "Arm", _set(0xD4F), 4, ARM_GUIDE),
    ArmCore("Neoverse V3", "Arm", _set(0xD83, 0xD84), 4, f"{VFPBENCH} (its sister Cortex-X4)"),
    ArmCore("Neoverse N1 or Cortex-A76", "Arm", _set(0xD0B, 0xD0C), 2, BOTH),
    ArmCore("Neoverse N2 or N3", "Arm", _set(0xD49, 0xD8E), 2, ARM_GUIDE),
    ArmCore("Cortex-A53, A55 or A72", "Arm", _set(0xD03, 0xD05, 0xD08), 1, BOTH),
    ArmCore("A64FX", "Fujitsu", _set(0x001), 8, "Fujitsu's data sheet"),
    ArmCore("Kunpeng 920 (TSV110)", "HiSilicon", _set(0xD01), 2, CPUFP, float64=1),
    # Linux on Apple's cores does not reach the matrix coprocessor; BFMMLA is slower than float32.
    ArmCore("Apple", "Apple", ANY, 4, BOTH, bfmmla=False),
)


@dataclass(frozen=True)
class Rate:
    """Operations a cycle of one core in a dtype, and by which instructions."""

    per_cycle: float
    how: str


@dataclass(frozen=True)
class CpuPeak:
    """Peak rates of `cores_in_use` cores at `clock`; `rates` lacks the dtypes that have none."""

    core: str
    rates: Mapping[str, Rate]
    table_source: str
    clock: Clock
    cores_in_use: int
    note: str = ""

    @property
    def clock_hz(self) -> float | None:
        """The clock in cycles per second, None where it is not known."""
        return self.clock.hz

    def tflops(self, dtype: str) -> float | None:
        """Return the peak in 1e12 operations per second; None, never a guess, where unknown."""
        rate = self.rates.get(dtype)
        if rate is None or self.clock.hz is None:
            return None
        return rate.per_cycle * self.cores_in_use * self.clock.hz / 1e12

    def source(self, dtype: str) -> str:
        """Say in a sentence how `tflops(dtype)` was computed, or why there is none."""
        rate = self.rates.get(dtype)
        if rate is None:
            reason = self.table_source if not self.rates else f"no {dtype} instructions"
            return f"no {dtype} peak for {self.core}: {reason}"
        if self.clock.hz is None:
            return f"no {dtype} peak for {self.core}: its clock is not known"
        unit = "OP" if dtype == "int8" else "FLOP"
        cores = f"{self.cores_in_use} core{'s' if self.cores_in_use > 1 else ''}"
        clock = f"{self.clock.hz / 1e9:.2f} GHz ({self.clock.source})"
        work = f"{rate.per_cycle:g} {unit}/cycle ({self.core}: {rate.how})"
        return f"{work} × {cores} × {clock}; {self.table_source}{self.note}"


def cpu_peak(
    threads: int, topology: CpuTopology | None = None, clock: Clock | None = None
) -> CpuPeak:
    """Compute the peak of `threads` threads, at most one a physical core that may be used.

    Measures the clock with as many threads, about 50 ms, unless `clock` is given.
    """
    if threads < 1:
        raise ValueError(f"threads: {threads}: at least 1 is needed")
    topology = topology or cpu_topology()
    cores = min(threads, topology.usable_cores)
    core, rates, source = core_rates(topology.identity)
    note = ""
    if topology.hybrid:
        note += "; efficiency cores count as performance cores, an upper bound"
    if topology.cpu_quota is not None and topology.cpu_quota < topology.physical_cores:
        note += f"; CPU time limited to {topology.cpu_quota:g} CPUs"
    return CpuPeak(core, rates, source, clock or measure_clock(cores), cores, note)


def core_rates(cpu: CpuIdentity) -> tuple[str, dict[str, Rate], str]:
    """Return the core's name, its rate in each dtype, and where they come from or why none are."""
    if cpu.system == "Darwin" and cpu.architecture == "aarch64":
        return cpu.name, {}, "its matrix coprocessor is faster than its cores and not documented"
    if cpu.architecture == "x86_64" and {"avx2", "fma"} <= cpu.flags:
        core = next((row for row in X86_CORES if _is_x86(row, cpu)), None)
        core = core or X86Core(cpu.name, cpu.vendor, 0, ANY, 2, 2, ASSUMED)
        return core.name, _best(_x86_rates(core, cpu.flags)), core.source
    if cpu.architecture == "aarch64" and "asimd" in cpu.flags:
        arm = next((r for r in ARM_CORES if r.vendor == cpu.vendor and cpu.model in r.parts), None)
        arm = arm or ArmCore(cpu.name, cpu.vendor, frozenset(), 4, ASSUMED)
        return arm.name, _best(_arm_rates(arm, cpu.flags)), arm.source
    return cpu.name, {}, "no vector multiply-add instructions that are known here"


def _is_x86(core: X86Core, cpu: CpuIdentity) -> bool:
    return (
        (core.vendor, core.family) == (cpu.vendor, cpu.family)
        and cpu.model in core.models
        and re.search(core.named, cpu.name) is not None
    )


def _best(candidates: Iterator[tuple[str, float, str]]) -> dict[str, Rate]:
    """Keep the fastest way to each dtype; of equals, the later, wider one."""
    best: dict[str, Rate] = {}
    for dtype, per_cycle, how in candidates:
        if per_cycle and (dtype not in best or per_cycle >= best[dtype].per_cycle):
            best[dtype] = Rate(per_cycle, how)
    return best


def _x86_rates(core: X86Core, flags: frozenset[str]) -> Iterator[tuple[str, float, str]]:
    """Yield (dtype, operations a cycle, how) for everything that the core can execute."""
    ymm, zmm = core.fma256, core.fma512 if "avx512f" in flags else 0
    fma = max(16 * ymm, 32 * zmm)
    for lanes, dtype in ((8, "float64"), (16, "float32")):
        yield dtype, lanes * ymm, f"AVX2 FMA, {_times(ymm, 256)}"
        yield dtype, 2 * lanes * zmm, f"AVX-512 FMA, {_times(zmm, 512)}"
    for dtype in ("float16", "bfloat16"):
        yield dtype, fma, "converted to float32, FMA"
    if "avx512_fp16" in flags:
        yield "float16", 64 * zmm, f"AVX512-FP16 FMA, {_times(zmm, 512)}, float16 sums"
    if "avx512_bf16" in flags:
        dot = zmm if core.bf16_512 is None else min(zmm, core.bf16_512)
        yield "bfloat16", 64 * dot, f"AVX512-BF16 dot product, {_times(dot, 512)}"
    # VPMADDUBSW and VPMADDWD do together what VPDPBUSD does; older cores have one unit for both.
    yield "int8", core.madd * fma, "VPMADDUBSW and VPMADDWD, no VNNI"
    vnni = ymm if core.vnni256 is None else core.vnni256
    if flags & {"avx_vnni", "avx512_vnni"}:
        yield "int8", 64 * vnni, f"VNNI dot product, {_times(vnni, 256)}"
    if "avx512_vnni" in flags:
        yield "int8", 128 * zmm, f"AVX512-VNNI dot product, {_times(zmm, 512)}"
    # A product of two 1 KiB tiles takes 16 cycles (Intel's optimization manual; cpufp measures it).
    for dtype, flag, per_cycle in (
        ("bfloat16", "amx_bf16", 1024),
        ("float16", "amx_fp16", 1024),
        ("int8", "amx_int8", 2048),
    ):
        if flag in flags:
            yield dtype, per_cycle, "AMX, a product of two 1 KiB tiles in 16 cycles"


def _arm_rates(core: ArmCore, flags: frozenset[str]) -> Iterator[tuple[str, float, str]]:
    """Yield (dtype, operations a cycle, how) for everything that the core can execute."""
    pipes = core.pipes
    doubles = pipes if core.float64 is None else core.float64
    yield "float64", 4 * doubles, f"FMLA, {_times(doubles, 128)}"
    yield "float32", 8 * pipes, f"FMLA, {_times(pipes, 128)}"
    for dtype in ("float16", "bfloat16"):
        yield dtype, 8 * pipes, "converted to float32, FMLA"
    if "asimdhp" in flags:
        yield "float16", 16 * pipes, f"FMLA, {_times(pipes, 128)}, float16 sums"
    if "bf16" in flags and core.bfmmla:
        yield "bfloat16", 32 * pipes, f"BFMMLA, {_times(pipes, 128)}"
    yield "int8", 16 * pipes, f"SMLAL, {_times(pipes, 128)}, no dot product"
    if "asimddp" in flags:
        yield "int8", 32 * pipes, f"SDOT, {_times(pipes, 128)}"
    if "i8mm" in flags:
        yield "int8", 64 * pipes, f"SMMLA, {_times(pipes, 128)}"


def _times(units: float, bits: int) -> str:
    return f"{units:g}×{bits} bit"
