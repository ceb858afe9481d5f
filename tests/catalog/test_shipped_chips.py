"""The chips that come with the harness: peaks follow from units and clocks, and have sources."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import pytest

from bench.catalog.chip_table import FORMATS, peak_from_units
from bench.catalog.chips import get_chip, load_chips, load_tables

# Where units × FLOPs a cycle × clock is not the rate of the data sheet, and why.
OFF_THE_FORMULA = {
    "a10g": "sums up in float32 at half rate, unlike other boards of its compute capability",
    "l40": "the data sheet has half of the L40S's rates for the same chip",
}

# Boards whose driver holds back as much memory as that of a reported one.
SAME_MEMORY = {
    "a10g": "a10",
    "h800-pcie": "h100-pcie",
    "l40": "l40s",
    "rtx-pro-6000-blackwell-workstation": "rtx-pro-6000-blackwell-max-q",
}

# Where an eight-bit rate is not once to twice that of 16 bits, and why.
UNUSUAL_EIGHT_BITS = {
    "b300-sxm": "Blackwell Ultra gave up integer units for more float4",
    "gb300": "Blackwell Ultra gave up integer units for more float4",
    "rubin-sxm": "announced; integers are slower, float8 faster than the pattern",
    "geforce-rtx-4090": "float32 accumulation halves the 16-bit rate, and int8 needs none",
    "geforce-rtx-4090-d": "float32 accumulation halves the 16-bit rate, and int8 needs none",
    "geforce-rtx-2080-ti": "float32 accumulation halves the 16-bit rate, and int8 needs none",
}


@pytest.mark.parametrize("name", sorted(load_chips()))
def test_peaks_are_plausible(name):
    chip = get_chip(name)
    rates = {dtype: peak.tflops for dtype, peak in chip.peaks.items()}
    half = rates.get("bfloat16", rates.get("float16"))
    order = ["float64", "float32", "tf32", "float16", "bfloat16", "float8_e4m3", "float4_e2m1"]
    if name != "gaudi3":  # whose float16 runs at a quarter of bfloat16's rate
        assert rates.get("float16", half) == half
    known = [rates[dtype] for dtype in order if dtype in rates]
    assert all(slow <= fast for slow, fast in pairwise(known)), rates
    usual = half is not None and name not in UNUSUAL_EIGHT_BITS
    for dtype in {"int8", "float8_e4m3"} & set(rates) if usual else ():
        # 2.03, not 2: the L40S data sheet quotes its rates at two clocks.
        assert half <= rates[dtype] <= 2.03 * half, dtype
    for dtype, slower in chip.vector.items():
        assert slower.tflops < rates[dtype]
    for dtype, total in chip.marketing.items():
        assert dtype not in rates or total.tflops > rates[dtype]


def computed_tflops(chip, dtype):
    """Units × FLOPs per cycle × clock; None where one of the three is unknown."""
    clock_mhz = chip.peaks[dtype].clock_mhz or chip.clock_mhz
    flops = chip.architecture.flops_per_cycle.get(dtype) if chip.architecture else None
    if None in (chip.units, flops, clock_mhz):
        return None
    return peak_from_units(chip.units, flops, clock_mhz * 1e6)


@pytest.mark.parametrize("name", sorted(load_chips()))
def test_units_cycles_and_clock_give_the_peak(name):
    chip = get_chip(name)
    for dtype, peak in chip.peaks.items():
        computed = computed_tflops(chip, dtype)
        if computed is not None and peak.confidence != "disputed":
            close = computed == pytest.approx(peak.tflops, rel=0.02)
            known = name in OFF_THE_FORMULA and (name, dtype) != ("a10g", "float32")
            assert close is not known or (name, dtype) == ("l40", "float32"), (dtype, computed)


def test_most_of_the_table_is_confirmed_by_that():
    computed = [
        computed_tflops(chip, dtype) for chip in load_chips().values() for dtype in chip.peaks
    ]
    assert sum(value is not None for value in computed) > 400


def test_what_is_said_to_be_computed_can_be():
    for chip in load_chips().values():
        for dtype, peak in chip.peaks.items():
            if "computed" in peak.sources:
                assert computed_tflops(chip, dtype) is not None, (chip.id, dtype)


def reported_mib():
    """What nvidia-smi, npu-smi or rocm-smi showed as a chip's memory, by chip."""
    file = Path(__file__).parents[1] / "data/device_names.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["chip"]: int(row["memory_mib"]) for row in rows if row["memory_mib"]}


def test_memory_is_what_drivers_report_in_decimal_gigabytes():
    reported = reported_mib()
    assert len(reported) > 35
    for name, mib in reported.items():
        if get_chip(name).memory_gb is not None:  # None: one name, several sizes
            assert get_chip(name).memory_gb == pytest.approx(mib * 2**20 / 1e9, rel=1e-3), name


def test_other_memory_is_that_of_a_sibling_or_a_whole_number_of_gibibytes():
    reported = reported_mib()
    for name in set(load_chips()) - set(reported) - {"rubin-sxm", "gb10"}:  # which count 10^9
        memory = get_chip(name).memory_gb
        if memory is not None:
            gib = memory * 1e9 / 2**30
            sibling = reported.get(SAME_MEMORY.get(name, ""), 0) / 2**10
            assert gib == pytest.approx(sibling or round(gib), rel=1e-3), name


def test_the_shipped_table_is_tidy():
    table = load_tables()["shipped"]
    used = {
        source
        for entry in (*table.chips.values(), *table.architectures.values())
        for source in entry.sources
    }
    for chip in table.chips.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", chip.id)
        used |= set(chip.bandwidth_sources)
        for rates in (chip.peaks, chip.vector, chip.marketing):
            assert set(rates) <= set(FORMATS)
            used |= {source for peak in rates.values() for source in peak.sources}
            disputed = [peak for peak in rates.values() if peak.confidence == "disputed"]
            assert all(peak.note for peak in disputed)
        if chip.status == "announced":
            assert all(peak.confidence == "low" for peak in chip.peaks.values())
        if chip.per == "chip" or chip.status == "announced":
            assert not chip.names
            assert chip.pattern is None
    assert used == set(table.sources)


@pytest.mark.parametrize(
    ("name", "cube", "total"),
    [
        ("ascend-910b1", 363.7, 400),
        ("ascend-910b2", 353.9, 376),
        ("ascend-910b3", 294.9, 313),
        ("ascend-910b4", 245.8, 280),
        ("ascend-910c-die", 353.9, 376),
        ("ascend-910c", 707.8, 752),
        ("ascend-950pr-9589", 432.5, 486),
        ("ascend-950dt-9591", 486.5, 547),
    ],
)
def test_an_ascend_is_divided_by_its_cube_units(name, cube, total):
    chip = get_chip(name)
    for dtype in ("float16", "bfloat16"):
        assert chip.limits(dtype).peak_tflops == pytest.approx(cube, abs=0.05)
        assert str(total) not in chip.limits(dtype).peak_source
    assert chip.marketing["float16"].tflops == total


def test_a_product_is_held_against_the_units_that_can_make_it():
    h100 = get_chip("h100-sxm")
    assert h100.limits("float64").peak_tflops == 67
    assert h100.vector["float64"].tflops == 34
    assert h100.peaks["float32"].unit == "vector"
    assert get_chip("mi300x").limits("float64").peak_tflops == 163.4


def test_limits_name_chip_rate_and_source():
    assert get_chip("h100-sxm").limits("bfloat16").peak_source == (
        "NVIDIA H100 SXM5: 989 TFLOP/s bfloat16, dense (ml-engineering, aiconfigurator, verl); "
        "3350 GB/s (ml-engineering, aiconfigurator)"
    )
    assert "1979 TOP/s int8" in get_chip("h100-sxm").limits("int8").peak_source
    assert "vector units" in get_chip("h100-sxm").limits("float32").peak_source
    assert "medium confidence" in get_chip("ascend-950dt-9591").limits("float16").peak_source
    assert "(announced): 17500 TFLOP/s" in get_chip("rubin-sxm").limits("float8_e4m3").peak_source


def test_what_is_not_known_has_no_peak():
    limits = get_chip("h100-sxm").limits("hf32")
    assert limits.peak_tflops is None
    assert limits.peak_gbps == 3350
    assert get_chip("mlu590").limits("bfloat16").peak_source is None


@pytest.mark.parametrize(("name", "dtype"), [("mi308x", "bfloat16"), ("gb10", "float16")])
def test_a_disputed_rate_is_no_peak(name, dtype):
    limits = get_chip(name).limits(dtype)
    assert limits.peak_tflops is None
    assert f"no peak for {dtype}, as sources disagree" in limits.peak_source


@pytest.mark.parametrize(
    ("name", "cubes", "clock_mhz", "tflops"),
    [
        ("ascend-910a", 32, 1000, 262.1),
        ("ascend-910b-2019", 30, 900, 221.2),
        ("ascend-910b1", 24, 1850, 363.7),
        ("ascend-910c-9391-die", 24, 1850, 363.7),
        ("ascend-910c-560t-die", 20, 1500, 245.8),
        ("ascend-950dt-9571", 28, 1650, 378.5),
        ("ascend-950dt-9582", 32, 1650, 432.5),
        ("ascend-950dt-9592", 36, 1650, 486.5),
        ("ascend-310p3", 8, 1060, 69.5),
    ],
)
def test_grades_of_ascend_chips(name, cubes, clock_mhz, tflops):
    chip = get_chip(name)
    assert (chip.units, chip.clock_mhz) == (cubes, clock_mhz)
    assert chip.limits("float16").peak_tflops == pytest.approx(tflops, abs=0.05)


def test_ascend_bandwidths_count_decimal_gigabytes():
    for chip in load_chips().values():
        if chip.vendor == "Huawei" and chip.bandwidth_gbps is not None:
            assert chip.bandwidth_gbps in {204.8, 800, 1200, 1400, 1600, 3200, 4000}
            assert chip.bandwidth_confidence != "high"
            assert "confidence" in chip.limits("hf32").peak_source
