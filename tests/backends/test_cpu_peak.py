"""Peak rates: known processors against their published numbers, and ours against a real product."""

from __future__ import annotations

import time

import pytest

from backends.cpu_clock import Clock
from backends.cpu_peak import ARM_CORES, X86_CORES, CpuPeak, core_rates, cpu_peak
from backends.cpu_topology import CpuIdentity, CpuTopology

INTEL, AMD = "GenuineIntel", "AuthenticAMD"
AVX512 = "avx2 fma avx512f"
GENOA = f"{AVX512} avx512_vnni avx512_bf16"
SPR = f"{GENOA} avx_vnni avx512_fp16"
AMX = f"{SPR} amx_tile amx_bf16 amx_int8"
NEON = "asimd asimdhp asimddp"
ARMV86 = f"{NEON} sve i8mm bf16"
DTYPES = ("float64", "float32", "float16", "bfloat16", "int8")


def x86(vendor: str, family: int, model: int, flags: str, name: str = "CPU") -> CpuIdentity:
    return CpuIdentity("x86_64", "Linux", vendor, family, model, name, frozenset(flags.split()))


def arm(vendor: str, part: int, flags: str, system: str = "Linux") -> CpuIdentity:
    return CpuIdentity("aarch64", system, vendor, 8, part, "CPU", frozenset(flags.split()))


def topology(
    identity: CpuIdentity, cores: int = 4, quota: float | None = None, hybrid: bool = False
) -> CpuTopology:
    return CpuTopology(identity, tuple(range(cores)), cores, quota, None, hybrid)


ZEN_4 = x86(AMD, 0x19, 0x11, GENOA)


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        (ZEN_4, (16, 32, 32, 64, 128)),
        (x86(AMD, 0x19, 0x11, "avx2 fma"), (16, 32, 32, 32, 64)),  # AVX-512 masked by a hypervisor
        (x86(AMD, 0x19, 0x01, "avx2 fma"), (16, 32, 32, 32, 64)),  # Zen 3
        (x86(AMD, 0x17, 0x31, "avx2 fma"), (16, 32, 32, 32, 32)),  # Zen 2
        (x86(AMD, 0x17, 0x01, "avx2 fma"), (8, 16, 16, 16, 16)),  # Zen
        (x86(AMD, 0x1A, 0x02, f"{GENOA} avx_vnni"), (32, 64, 64, 128, 256)),  # Turin
        (x86(AMD, 0x1A, 0x24, f"{GENOA} avx_vnni"), (16, 32, 32, 64, 128)),  # Strix Point
        (x86(AMD, 0x1A, 0x02, "avx2 fma avx_vnni"), (16, 32, 32, 32, 128)),
        (x86(INTEL, 6, 0x8F, AMX), (32, 64, 128, 1024, 2048)),  # Sapphire Rapids
        (x86(INTEL, 6, 0xAD, f"{AMX} amx_fp16"), (32, 64, 1024, 1024, 2048)),  # Granite Rapids
        (x86(INTEL, 6, 0x8F, SPR), (32, 64, 128, 64, 256)),  # AMX masked
        (x86(INTEL, 6, 0x6A, f"{AVX512} avx512_vnni"), (32, 64, 64, 64, 256)),  # Ice Lake server
        (x86(INTEL, 6, 0x7E, f"{AVX512} avx512_vnni"), (16, 32, 32, 32, 128)),  # and client
        (x86(INTEL, 6, 0x55, AVX512, "Xeon(R) Gold 6154"), (32, 64, 64, 64, 128)),
        (x86(INTEL, 6, 0x55, AVX512, "Xeon(R) Gold 5118"), (16, 32, 32, 32, 64)),
        (x86(INTEL, 6, 0x55, AVX512, "Xeon(R) Gold 5122"), (32, 64, 64, 64, 128)),
        (x86(INTEL, 6, 0x55, AVX512, "Xeon(R) Silver 4110"), (16, 32, 32, 32, 64)),
        (x86(INTEL, 6, 0x97, "avx2 fma avx_vnni"), (16, 32, 32, 32, 128)),  # Alder Lake
        (x86(INTEL, 6, 0xBE, "avx2 fma avx_vnni"), (8, 16, 16, 16, 32)),  # N100
        (x86(INTEL, 6, 0x3F, "avx2 fma"), (16, 32, 32, 32, 32)),  # Haswell
        (arm("Arm", 0xD0C, NEON), (8, 16, 32, 16, 64)),  # Neoverse N1, Graviton 2
        (arm("Arm", 0xD49, ARMV86), (8, 16, 32, 64, 128)),  # Neoverse N2
        (arm("Arm", 0xD40, ARMV86), (16, 32, 64, 128, 256)),  # Neoverse V1, Graviton 3
        (arm("Arm", 0xD4F, ARMV86), (16, 32, 64, 128, 256)),  # Neoverse V2, Grace
        (arm("Arm", 0xD08, "asimd"), (4, 8, 8, 8, 16)),  # Cortex-A72
        (arm("Fujitsu", 0x001, f"{NEON} sve"), (32, 64, 128, 64, 256)),  # A64FX
        (arm("HiSilicon", 0xD01, NEON), (4, 16, 32, 16, 64)),  # Kunpeng 920
        (arm("Apple", 0x022, NEON), (16, 32, 64, 32, 128)),  # M1 under Linux
    ],
)
def test_operations_a_cycle(cpu: CpuIdentity, expected: tuple[float, ...]) -> None:
    _, rates, _ = core_rates(cpu)
    assert tuple(rates[dtype].per_cycle for dtype in DTYPES) == expected


def test_grace_has_its_published_peak() -> None:
    # NVIDIA: 7.1 TFLOP/s in float64 for the 144 cores of a Grace superchip, at 3.1 GHz.
    grace = topology(arm("Arm", 0xD4F, ARMV86), cores=144)
    peak = cpu_peak(144, grace, Clock(3.1e9, "given"))
    assert peak.tflops("float64") == pytest.approx(7.1, rel=0.01)


def test_no_row_hides_another() -> None:
    for row in X86_CORES:
        name = "Silver 4110" if row.named else "CPU"
        found = {core_rates(x86(row.vendor, row.family, m, AVX512, name))[0] for m in row.models}
        assert row.name in found, row
    for core in ARM_CORES:
        assert {core_rates(arm(core.vendor, part, NEON))[0] for part in core.parts} == {core.name}


def test_a_sentence_that_can_be_checked() -> None:
    peak = cpu_peak(2, topology(ZEN_4), Clock(3.7e9, "measured"))
    assert peak.clock_hz == 3.7e9
    assert peak.tflops("float32") == pytest.approx(32 * 2 * 3.7e9 / 1e12)
    sentence = peak.source("float32")
    assert "32 FLOP/cycle (Zen 4: AVX-512 FMA, 1×512 bit) × 2 cores × 3.70 GHz" in sentence
    assert "(measured)" in sentence
    assert "128 OP/cycle" in peak.source("int8")
    assert "converted to float32" in peak.source("float16")


@pytest.mark.parametrize("dtype", ["tf32", "hf32", "float8_e4m3"])
def test_formats_that_no_instruction_multiplies_have_no_peak(dtype: str) -> None:
    peak = cpu_peak(2, topology(ZEN_4), Clock(3.7e9, "measured"))
    assert peak.tflops(dtype) is None
    assert f"no {dtype} instructions" in peak.source(dtype)


@pytest.mark.parametrize(
    ("threads", "cores", "quota", "expected"),
    [(1, 4, None, 1), (8, 4, None, 4), (4, 4, 1.5, 2), (4, 4, 0.5, 1), (2, 4, 16.0, 2)],
)
def test_cores_in_use(threads: int, cores: int, quota: float | None, expected: int) -> None:
    peak = cpu_peak(threads, topology(ZEN_4, cores, quota), Clock(1e9, "given"))
    assert peak.cores_in_use == expected
    assert ("limited" in peak.source("float32")) == (quota is not None and quota < cores)


def test_no_threads_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="threads: 0"):
        cpu_peak(0)


def test_hybrid_is_an_upper_bound_and_says_so() -> None:
    laptop = topology(x86(INTEL, 6, 0xBA, "avx2 fma avx_vnni"), hybrid=True)
    assert "upper bound" in cpu_peak(4, laptop, Clock(4e9, "given")).source("float32")


@pytest.mark.parametrize(
    ("cpu", "float32"),
    [
        (x86("GenuineIntel", 19, 1, AMX), 64),
        (x86("CentaurHauls", 7, 0x5B, "avx2 fma"), 32),
        (arm("NVIDIA", 0x010, ARMV86), 32),
    ],
)
def test_an_unknown_core_is_derived_from_its_instruction_sets(
    cpu: CpuIdentity, float32: float
) -> None:
    peak = cpu_peak(1, topology(cpu), Clock(1e9, "given"))
    assert peak.tflops("float32") == float32 * 1e9 / 1e12
    assert "not in the table" in peak.source("float32")


@pytest.mark.parametrize(
    ("cpu", "reason"),
    [
        (x86(INTEL, 6, 0x2A, "avx"), "no vector multiply-add"),
        (CpuIdentity("riscv64", "Linux", "", None, None, "CPU", frozenset()), "no vector"),
        (arm("Apple", 0, "", system="Darwin"), "coprocessor"),
    ],
)
def test_an_unknown_instruction_set_has_no_peak(cpu: CpuIdentity, reason: str) -> None:
    peak = cpu_peak(1, topology(cpu), Clock(1e9, "given"))
    assert [peak.tflops(dtype) for dtype in DTYPES] == [None] * len(DTYPES)
    assert reason in peak.source("float32")


def test_without_a_clock_there_is_no_peak() -> None:
    peak = cpu_peak(1, topology(ZEN_4), Clock(None, "unknown"))
    assert peak.tflops("float32") is None
    assert "clock is not known" in peak.source("float32")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int8"])
def test_a_real_product_stays_below_the_peak(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    peak: CpuPeak = cpu_peak(torch.get_num_threads())
    bound = peak.tflops(dtype)
    if bound is None or peak.clock.source != "measured":
        pytest.skip(peak.source(dtype))
    size = 768
    if dtype == "int8":
        left, right = torch.randint(-127, 128, (2, size, size), dtype=torch.int8)
        multiply = torch._int_mm
    else:
        left, right = torch.randn(2, size, size).to(getattr(torch, dtype))
        multiply = torch.mm
    seconds = []
    for _ in range(12):
        begin = time.perf_counter()
        multiply(left, right)
        seconds.append(time.perf_counter() - begin)
    reached = 2 * size**3 / min(seconds) / 1e12
    # The clock may have risen since, when a neighbour on the same host fell silent.
    after = cpu_peak(torch.get_num_threads()).tflops(dtype) or bound
    assert 0.02 < reached / max(bound, after) < 1.02, peak.source(dtype)
