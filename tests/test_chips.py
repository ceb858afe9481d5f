"""The table of chips: every name finds its own chip, and the peaks are what they claim to be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chips import find_chip, get_chip, load_chips, parse_table
from bench.dtypes import DTYPES
from bench.errors import UsageError

NAMES = {
    "NVIDIA A100-SXM4-80GB": "a100-sxm4-80gb",
    "NVIDIA A100-SXM4-40GB": "a100-sxm4-40gb",
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "NVIDIA A100-PCIE-40GB": "a100-pcie-40gb",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA H100 NVL": "h100-nvl",
    "NVIDIA H800": "h800-sxm",
    "NVIDIA H800 PCIe": "h800-pcie",
    "NVIDIA H20": "h20",
    "NVIDIA H200": "h200-sxm",
    "NVIDIA H200 NVL": "h200-nvl",
    "NVIDIA GH200 480GB": "gh200",
    "NVIDIA B200": "b200-sxm",
    "NVIDIA GB200": "gb200",
    "NVIDIA B300 SXM6 AC": "b300-sxm",
    "NVIDIA GB300": "gb300",
    "NVIDIA L4": "l4",
    "NVIDIA L40": "l40",
    "NVIDIA L40S": "l40s",
    "NVIDIA L20": "l20",
    "NVIDIA A40": "a40",
    "Tesla V100-SXM2-16GB": "v100-sxm2",
    "NVIDIA GeForce RTX 4090": "geforce-rtx-4090",
    "AMD Instinct MI300X": "mi300x",
    "Ascend910B1": "ascend-910b1",
    "Ascend910B2": "ascend-910b2",
    "Ascend910B2C": "ascend-910b2c",
    "Ascend910B3": "ascend-910b3",
    "Ascend910B4": "ascend-910b4",
    "Ascend910_9391": "ascend-910c-die",
    "Ascend910_9362": "ascend-910c-560t-die",
    "Ascend910ProA": "ascend-910a",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_drivers_name_finds_its_chip(name):
    found = find_chip(name)
    assert found is not None
    assert found.id == NAMES[name]


@pytest.mark.parametrize(
    "name", ["NVIDIA H100X", "NVIDIA A100X-9", "", "GPU", "NVIDIA L400", "MI30"]
)
def test_an_unknown_name_finds_nothing(name):
    assert find_chip(name) is None


@given(st.text())
def test_any_name_is_taken(name):
    find_chip(name)


def test_no_name_in_the_table_is_ambiguous():
    """Two chips whose patterns explain equally much of a name would be told apart by chance."""
    for name in NAMES:
        found = [
            len(match[0])
            for chip in load_chips().values()
            if chip.pattern and (match := re.search(chip.pattern, name))
        ]
        assert found.count(max(found)) == 1, name


@pytest.mark.parametrize("name", sorted(load_chips()))
def test_peaks_are_plausible(name):
    chip = get_chip(name)
    assert set(chip.peaks) <= {*DTYPES, "fp4", "fp6"}
    half = chip.peaks.get("bfloat16") or chip.peaks.get("float16")
    if half is None or chip.status == "announced":
        return
    for dtype in ("int8", "float8_e4m3"):
        if dtype in chip.peaks and name not in ("b300-sxm", "gb300"):
            # Blackwell Ultra gave its integer units up for more fp4.
            assert 0.4 <= chip.peaks[dtype].tflops / half.tflops <= 4.1
    if chip.marketing_tflops:
        assert chip.marketing_tflops.tflops > half.tflops


def test_an_ascend_is_divided_by_its_cube_units():
    chip = get_chip("ascend-910b2")
    assert chip.limits("bfloat16").peak_tflops == pytest.approx(353.9, abs=0.05)
    assert chip.marketing_tflops.tflops == 376
    assert chip.limits("float32").peak_tflops == 88.5
    assert chip.units * 8192 * chip.clock_mhz * 1e6 / 1e12 == pytest.approx(353.9, rel=1e-3)


def test_limits_name_their_source():
    limits = get_chip("h100-sxm").limits("bfloat16")
    assert limits.peak_tflops == 989
    assert limits.peak_gbps == 3350
    assert "H100" in limits.peak_source
    assert "989" in limits.peak_source
    assert get_chip("h100-sxm").limits("hf32").peak_tflops is None


def test_a_wrong_table_is_named():
    text = "chips: {x: {title: X, vendor: V, source: s, peaks: {}, colour: red}}"
    with pytest.raises(UsageError, match=r"mine: x\.colour: unknown key"):
        parse_table(text, "mine")
    with pytest.raises(UsageError, match="expected a mapping"):
        parse_table("[]", "mine")


def test_unknown_chip():
    with pytest.raises(UsageError, match="did you mean 'h100-sxm'"):
        get_chip("h100-smx")
