"""The chips that come with the harness: peaks follow from units and clocks, and have sources."""

import re
from itertools import pairwise

import pytest

from bench.catalog.chip_table import FORMATS, peak_from_units
from bench.catalog.chips import get_chip, load_chips, load_tables

# Where units × FLOPs a cycle × clock is not the rate of the data sheet, and why.
OFF_THE_FORMULA = {
    "a10g": "sums up in float32 at half rate, unlike other boards of its compute capability",
    "l40": "the data sheet has half of the L40S's rates for the same chip",
    "ascend-910a": "the vendor rounds 262 and 524 down to 256 and 512",
}

# Where an eight-bit rate is not once to twice that of 16 bits, and why.
UNUSUAL_EIGHT_BITS = {
    "a10g": "has no eight-bit rate here",
    "b300-sxm": "Blackwell Ultra gave up integer units for more float4",
    "gb300": "Blackwell Ultra gave up integer units for more float4",
    "rubin-sxm": "announced; integers are slower, float8 faster than the pattern",
    "geforce-rtx-4090": "float32 accumulation halves the 16-bit rate, and int8 needs none",
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
    for dtype in {"int8", "float8_e4m3"} & set(rates) if name not in UNUSUAL_EIGHT_BITS else ():
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
    assert sum(value is not None for value in computed) > 200


def test_the_shipped_table_is_tidy():
    table = load_tables()["shipped"]
    used = {
        source
        for entry in (*table.chips.values(), *table.architectures.values())
        for source in entry.sources
    }
    for chip in table.chips.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", chip.id)
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
        ("ascend-910b1", 373.9, 400),
        ("ascend-910b2", 353.9, 376),
        ("ascend-910b3", 294.9, 313),
        ("ascend-910b4", 245.8, 280),
        ("ascend-910c-die", 353.9, 376),
        ("ascend-910c", 707.8, 752),
        ("ascend-950pr", 432, 486),
        ("ascend-950dt", 486, 547),
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
    assert "medium confidence" in get_chip("ascend-910b1").limits("float16").peak_source
    assert "(announced): 17500 TFLOP/s" in get_chip("rubin-sxm").limits("float8_e4m3").peak_source


def test_what_is_not_known_has_no_peak():
    limits = get_chip("h100-sxm").limits("hf32")
    assert limits.peak_tflops is None
    assert limits.peak_gbps == 3350
    assert get_chip("mlu590").limits("bfloat16").peak_source is None


@pytest.mark.parametrize("name", ["mi308x", "ascend-910c-9362-die"])
def test_a_disputed_rate_is_no_peak(name):
    limits = get_chip(name).limits("bfloat16")
    assert limits.peak_tflops is None
    assert "no peak for bfloat16, as sources disagree" in limits.peak_source
