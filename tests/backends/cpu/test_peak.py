"""Peaks of processors: the choice among measured loops, its sentence, and torch's products below it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from backends.cpu.loops import MachineLoop, loops_of
from backends.cpu.peak import cpu_peak
from backends.cpu.rates import LoopRate, Measured, measure_rates
from backends.cpu.topology import CpuIdentity, CpuTopology, cpu_topology
from bench.processors import CpuQuota
from tests.backends.cpu.machine_loops import LOOPS, illegal, needs_loops

AVX512 = "avx2 fma avx512f avx512bw"
GENOA = f"{AVX512} avx512_vnni avx512_bf16"
AMX = f"{GENOA} avx_vnni avx512_fp16 amx_tile amx_bf16 amx_int8"
ARMV86 = "asimd asimdhp asimddp sve svebf16 svei8mm i8mm bf16"
DTYPES = ("float64", "float32", "float16", "bfloat16", "int8")
CLOCK_HZ = 2e9


def x86(flags: str, system: str = "Linux") -> CpuIdentity:
    return CpuIdentity("x86_64", system, "GenuineIntel", 6, 1, "CPU", frozenset(flags.split()))


def arm(flags: str, system: str = "Linux") -> CpuIdentity:
    return CpuIdentity("aarch64", system, "Arm", 8, 1, "CPU", frozenset(flags.split()))


def topology(
    identity: CpuIdentity, cores: int = 4, quota: float | None = None, hybrid: bool = False
) -> CpuTopology:
    limit = None if quota is None else CpuQuota(quota, throttled_s=0.0)
    return CpuTopology(identity, tuple(range(cores)), cores, limit, None, hybrid)


def rates(per_cycle: Mapping[str, float], refused: Mapping[str, str] | None = None):
    """Return what stands for the measurement: operations per cycle by the loops' names."""

    def measure(
        cpu: CpuIdentity, loops: Sequence[MachineLoop], threads: int, cpus: Sequence[int]
    ) -> Measured:
        assert set(per_cycle) <= {loop.name for loop in loops}
        measured = {name: LoopRate(each * CLOCK_HZ, CLOCK_HZ) for name, each in per_cycle.items()}
        return Measured(measured, refused or {})

    return measure


def equal_rates(cpu: CpuIdentity, loops: Sequence[MachineLoop], *_: object) -> Measured:
    return Measured({loop.name: LoopRate(64 * CLOCK_HZ, CLOCK_HZ) for loop in loops}, {})


def test_the_fastest_loop_of_a_dtype_wins() -> None:
    measure = rates(
        {
            "AVX2 FMA: float32": 32,
            "AVX-512 FMA: float32": 64,
            "AVX2 FMA: float64": 16,
            "AVX-512 FMA: float64": 15,
            "AVX512-BF16 VDPBF16PS: bfloat16": 32,
            "AVX512-VNNI VPDPBUSD: int8": 256,
        }
    )
    peak = cpu_peak(2, topology(x86(AMX)), measure)
    assert [peak.tflops(dtype) for dtype in DTYPES] == [
        pytest.approx(each * 2 * CLOCK_HZ / 1e12) for each in (16, 64, 64, 64, 256)
    ]
    assert peak.source("float64").startswith("AVX2 FMA, in registers on 2 cores")
    assert peak.source("float32") == (
        "AVX-512 FMA, in registers on 2 cores: 64 FLOP/cycle × 2 × 2.00 GHz, measured"
    )
    # VDPBF16PS starts every other cycle on some processors: converting to float32 is faster.
    assert "AVX-512 FMA of numbers converted to float32" in peak.source("bfloat16")
    assert "256 OP/cycle" in peak.source("int8")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2 fma", {"AVX2 FMA", "AVX2 VPMADDUBSW"}),
        (f"{AVX512} avx512_vnni", {"AVX-512 FMA", "AVX512-VNNI VPDPBUSD"}),
        (AMX, {"AVX512-FP16 FMA", "AVX512-BF16 VDPBF16PS", "AVX-VNNI", "AMX-BF16", "AMX-INT8"}),
        (f"{AMX} amx_fp16", {"AMX-FP16"}),
        ("amx_bf16", set()),  # without tiles, nothing
        ("avx", set()),
    ],
)
def test_instruction_sets_of_x86(flags: str, expected: set[str]) -> None:
    names = [loop.name for loop in loops_of(x86(flags))]
    assert len(set(names)) == len(names)
    assert all(any(name.startswith(each) for name in names) for each in expected)
    assert bool(names) == bool(expected)


def test_instruction_sets_of_arm() -> None:
    loops = loops_of(arm(ARMV86))
    expected = {"NEON FMLA", "NEON BFMMLA", "NEON SDOT", "NEON SMMLA", "SVE FMLA", "SVE SMMLA"}
    assert expected <= {loop.instructions for loop in loops}
    assert all(loop.scalable == loop.instructions.startswith("SVE") for loop in loops)
    assert {loop.dtype for loop in loops} == set(DTYPES)


@pytest.mark.parametrize("dtype", ["tf32", "hf32", "float8_e4m3"])
def test_formats_that_no_instruction_multiplies_have_no_peak(dtype: str) -> None:
    peak = cpu_peak(2, topology(x86(AMX)), equal_rates)
    assert peak.tflops(dtype) is None
    assert f"no {dtype} instructions" in peak.source(dtype)


@pytest.mark.parametrize(
    ("threads", "cores", "quota", "expected"),
    # Within a quota's period, all threads run.
    [(1, 4, None, 1), (8, 4, None, 4), (4, 4, 1.5, 4), (1, 4, 0.5, 1), (2, 4, 16.0, 2)],
)
def test_cores_in_use(threads: int, cores: int, quota: float | None, expected: int) -> None:
    asked: list[int] = []

    def measure(
        cpu: CpuIdentity, loops: Sequence[MachineLoop], threads: int, *_: object
    ) -> Measured:
        asked.append(threads)
        return equal_rates(cpu, loops)

    peak = cpu_peak(threads, topology(x86(GENOA), cores, quota), measure)
    assert [peak.cores_in_use] == asked == [expected]
    assert ("limited" in peak.source("float32")) == (quota is not None and quota < cores)


def test_no_threads_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="threads: 0"):
        cpu_peak(0)


def test_hybrid_is_an_upper_bound_and_says_so() -> None:
    laptop = topology(x86("avx2 fma avx_vnni"), hybrid=True)
    assert "upper bound" in cpu_peak(4, laptop, equal_rates).source("float32")


@pytest.mark.parametrize(
    ("cpu", "reason"),
    [
        (x86("avx"), "no vector multiply-add"),
        (CpuIdentity("riscv64", "Linux", "", None, None, "CPU", frozenset()), "no vector"),
        (arm("", system="Darwin"), "on Linux only, and this is Darwin"),
        (x86("avx2 fma", system="Windows"), "on Linux only"),
        (arm("asimd sme"), "SME"),
    ],
)
def test_without_loops_there_is_no_peak_and_a_reason(cpu: CpuIdentity, reason: str) -> None:
    def never(*_: object) -> Measured:
        raise AssertionError("nothing is to be measured")

    peak = cpu_peak(1, topology(cpu), never)
    assert [peak.tflops(dtype) for dtype in DTYPES] == [None] * len(DTYPES)
    assert reason in peak.source("float32")


def test_refused_instructions_are_the_reason_for_no_peak() -> None:
    refused = {loop.name: "mprotect refused executable memory" for loop in loops_of(x86(GENOA))}
    peak = cpu_peak(1, topology(x86(GENOA)), rates({}, refused))
    assert peak.tflops("float32") is None
    assert peak.source("float32") == ("no float32 peak for CPU: mprotect refused executable memory")


def measured_now(cpu: CpuIdentity, loops: Sequence[MachineLoop], threads: int, cpus: Sequence[int]):
    """Measure, whatever is kept, with a loop among them that no processor executes."""
    return measure_rates([illegal(), *loops], threads, cpus)


def product(dtype: str, size: int):
    """Return a product of torch's of two square matrices."""
    torch = pytest.importorskip("torch")
    if dtype == "int8":
        left, right = torch.randint(-127, 128, (2, size, size), dtype=torch.int8)
        return lambda: torch._int_mm(left, right)
    left, right = torch.randn(2, size, size).to(getattr(torch, dtype))
    return lambda: torch.mm(left, right)


def fastest_tflops(dtype: str, size: int, seconds: float = 0.15) -> float:
    """Return the rate of the fastest of several products."""
    multiply = product(dtype, size)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times) / 1e12


@needs_loops
def test_real_products_stay_below_the_peak() -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    before = cpu_peak(threads, measure=measured_now)
    reached = {
        (dtype, size): fastest_tflops(dtype, size)
        for dtype in ("float64", "float32", "bfloat16", "int8")
        for size in (512, 768, 1024)
    }
    # The clock may have risen since, when a neighbor on the same host fell silent.
    after = cpu_peak(threads, measure=measured_now)
    for (dtype, size), tflops in reached.items():
        bound = max(before.tflops(dtype) or 0, after.tflops(dtype) or 0)
        assert 0 < tflops / bound < 1.02, f"{dtype} {size}: {after.source(dtype)}"
    assert illegal().name in after.measured.refused


@needs_loops
def test_this_machine_has_a_peak_in_each_dtype() -> None:
    peak = cpu_peak(1)
    assert peak.cores_in_use == 1
    float64, float32 = peak.tflops("float64"), peak.tflops("float32")
    assert float64 is not None
    assert float32 is not None
    assert 0 < float64 < float32
    for dtype in ("float16", "bfloat16", "int8"):
        assert (peak.tflops(dtype) or 0) >= float32
        assert "in registers on 1 core:" in peak.source(dtype)


@pytest.mark.skipif(
    "AMX-BF16: bfloat16" not in {loop.name for loop in LOOPS}, reason="a processor without AMX"
)
def test_amx_multiplies_two_tiles_in_sixteen_cycles() -> None:
    """16,384 operations in 16 cycles: Intel's optimization reference manual, 20.3."""
    turns = []
    for _ in range(6):  # a neighbor can disturb any one
        peak = cpu_peak(cpu_topology().usable_cores, measure=measured_now)
        fastest = peak.fastest("bfloat16")
        if fastest is None or fastest[0].instructions != "AMX-BF16":
            pytest.skip(f"AMX is refused: {peak.measured.refused}")
        turns.append(fastest[1].per_cycle)
        if turns[-1] == pytest.approx(1024, rel=0.1):
            return
    pytest.fail(f"operations per cycle: {turns}")
