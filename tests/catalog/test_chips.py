"""Finding a chip by the name that its driver reports, in the shipped table and in those of plug-ins."""

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.catalog.chip_table import parse_table
from bench.catalog.chips import find_architecture, find_chip, get_chip, load_chips
from bench.errors import UsageError

CHIP = """\
sources: {me: my own measurement}
chips:
  mine:
    title: Mine
    vendor: V
    names: {My Chip: here}
    sources: [me]
    peaks:
      bfloat16: {tflops: 10, sources: [me]}
"""

SEEN = {
    "NVIDIA A100-SXM4-80GB": "a100-sxm4-80gb",
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "NVIDIA A100-PCIE-40GB": "a100-pcie-40gb",
    "NVIDIA A800-SXM4-80GB": "a800-sxm4-80gb",
    "NVIDIA A10G": "a10g",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
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
    "NVIDIA L40S": "l40s",
    "NVIDIA L20": "l20",
    "Tesla V100-SXM2-16GB": "v100-sxm2",
    "Tesla T4": "t4",
    "NVIDIA GeForce RTX 3090": "geforce-rtx-3090",
    "NVIDIA GeForce RTX 4090": "geforce-rtx-4090",
    "NVIDIA GeForce RTX 5090": "geforce-rtx-5090",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000-blackwell-server",
    "AMD Instinct MI300X": "mi300x",
    "AMD Instinct MI355X": "mi355x",
    "Intel(R) Data Center GPU Max 1550": "max-1550",
    "Intel(R) Arc(TM) Pro B60 Graphics": "arc-pro-b60",
    "TPU v4": "tpu-v4",
    "TPU v5 lite": "tpu-v5e",
    "TPU v5": "tpu-v5p",
    "TPU v6 lite": "tpu-v6e",
    "Ascend910A": "ascend-910a",
    "Ascend910B": "ascend-910a",
    "Ascend910ProA": "ascend-910a",
    "Ascend910ProB": "ascend-910a",
    "Ascend910PremiumA": "ascend-910a",
    "Ascend910B1": "ascend-910b1",
    "910B1": "ascend-910b1",
    "Ascend910B2": "ascend-910b2",
    "Ascend910B2C": "ascend-910b2c",
    "Ascend910B3": "ascend-910b3",
    "Ascend910B4": "ascend-910b4",
    "910B4": "ascend-910b4",
    "Ascend910B4-1": "ascend-910b4-1",
    "Ascend910_9391": "ascend-910c-die",
    "Ascend910_9392": "ascend-910c-die",
    "Ascend910_9381": "ascend-910c-die",
    "Ascend910_9382": "ascend-910c-die",
    "Ascend910_9372": "ascend-910c-560t-die",
    "Ascend910_9361": "ascend-910c-560t-die",
    "Ascend910_9362": "ascend-910c-9362-die",
    "Ascend950PR": "ascend-950pr",
    "Ascend950PR_9582": "ascend-950pr",
    "Ascend950DT": "ascend-950dt",
}

BY_ANALOGY = {
    "NVIDIA A100-SXM4-40GB": "a100-sxm4-40gb",
    "A100-SXM4-40GB": "a100-sxm4-40gb",
    "NVIDIA A30": "a30",
    "NVIDIA A40": "a40",
    "NVIDIA H100 NVL": "h100-nvl",
    "NVIDIA H100 SXM5": "h100-sxm",
    "NVIDIA GH200 144G HBM3e": "gh200-144gb",
    "NVIDIA L4": "l4",
    "NVIDIA L40": "l40",
    "Tesla V100-SXM2-32GB": "v100-sxm2",
    "GeForce RTX 3090": "geforce-rtx-3090",
    "AMD Instinct MI250X": "mi250x-gcd",
    "AMD Instinct MI325X": "mi325x",
    "AMD Instinct MI308X": "mi308x",
    "GAUDI2": "gaudi2",
    "GAUDI3": "gaudi3",
    "MLU590": "mlu590",
    "P800": "p800",
    "  NVIDIA H200 ": "h200-sxm",
}

# Variants, slices, neighbours, and names that more than one chip has: each contains a known name.
UNKNOWN = [
    "",
    "GPU",
    "H",
    "NVIDIA A100X",
    "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
    "NVIDIA H100",
    "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
    "NVIDIA H20-3e",
    "NVIDIA GH200",
    "NVIDIA H200 SXM NVL",
    "NVIDIA L400",
    "NVIDIA L40G",
    "NVIDIA A10",
    "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    "AMD Instinct MI250X/MI250",
    "AMD Instinct MI30",
    "Rubin",
    "TPU7x",
    "Apple M4 Max",
    "Ascend910",
    "Ascend910B5",
    "Ascend910_9363",
]


@pytest.mark.parametrize("name", [*SEEN, *BY_ANALOGY])
def test_a_drivers_name_finds_its_own_chip(name):
    found = find_chip(name)
    assert found is not None
    assert found.id == {**SEEN, **BY_ANALOGY}[name]


def test_every_name_that_a_table_spells_out_belongs_to_one_chip():
    spelled = [(name, chip.id) for chip in load_chips().values() for name in chip.names]
    assert len(spelled) == len({name for name, _ in spelled})
    assert {name: find_chip(name).id for name, _ in spelled} == dict(spelled)
    assert set(SEEN) <= {name for name, _ in spelled}


@pytest.mark.parametrize("name", [*SEEN, *BY_ANALOGY, *UNKNOWN])
def test_no_two_patterns_match_one_name(name):
    fits = [chip.id for chip in load_chips().values() if chip.fits(name.strip())]
    assert len(fits) <= 1
    if fits and name in SEEN:
        assert fits == [SEEN[name]]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_finds_nothing(name):
    assert find_chip(name) is None


@given(st.text() | st.text(string.ascii_letters + string.digits + " -_()", max_size=30))
def test_any_name_is_taken(name):
    assert find_chip(name) is None or find_chip(name).id in load_chips()


@given(st.sampled_from(sorted(SEEN)), st.text(string.ascii_letters + string.digits, min_size=1))
def test_a_longer_name_is_not_the_chip_within_it(name, more):
    found = find_chip(name + more)
    assert found is None or name + more in {**SEEN, **BY_ANALOGY} or found.names.get(name + more)


@pytest.mark.parametrize(
    ("target", "name", "units", "clock_mhz", "tflops"),
    [
        ("sm_70", "Tesla V100-PCIE-16GB", 80, 1380, 113),
        ("sm_75", "Quadro RTX 8000", 72, 1770, 130.5),
        ("sm_80", "NVIDIA A100X", 108, 1440, 318.5),
        ("sm_86", "NVIDIA RTX A6000", 84, 1800, 154.8),
        ("sm_86", "NVIDIA GeForce RTX 3080", 68, 1710, 59.5),
        ("sm_89", "NVIDIA RTX 6000 Ada Generation", 142, 2505, 364.2),
        ("sm_89", "NVIDIA GeForce RTX 4080", 76, 2505, 97.5),
        ("sm_90", "NVIDIA GH200", 132, 1830, 989.4),
        ("sm_100", "NVIDIA B100", 148, 1856, 2250.3),
        ("sm_120", "NVIDIA GeForce RTX 5080", 84, 2617, 112.6),
    ],
)
def test_an_unlisted_chip_has_a_computed_peak(target, name, units, clock_mhz, tflops):
    assert find_chip(name) is None
    limits = find_architecture(target, name).limits("float16", units, clock_mhz)
    assert limits.peak_tflops == pytest.approx(tflops, abs=0.1)
    assert limits.peak_gbps is None
    assert "computed from SM count × FLOP/cycle × clock" in limits.peak_source
    assert f"{units} ×" in limits.peak_source


def test_an_unknown_architecture_has_none():
    assert find_architecture("sm_61") is None
    assert find_architecture("sm_70").limits("bfloat16", 80, 1530).peak_tflops is None
    # GeForce cards of compute capability 7.5 come with and without tensor cores.
    turing = find_architecture("sm_75", "NVIDIA GeForce GTX 1660")
    assert turing.limits("float16", 22, 1785).peak_tflops is None


def test_two_chips_of_one_pattern_are_none():
    table = parse_table(CHIP.replace("names: {My Chip: here}", "pattern: My .*"), "t.yaml")
    mine = table.chips["mine"]
    assert find_chip("My Chip", [mine]) is mine
    assert find_chip("My Chip", [mine, mine.model_copy(update={"id": "other"})]) is None


def test_a_package_of_ones_own_brings_its_chips(tmp_path):
    (tmp_path / "chips.yaml").write_text(CHIP)
    (tmp_path / "my_chips.py").write_text(
        "from pathlib import Path\nTABLE = Path(__file__).with_name('chips.yaml')\n"
    )
    info = tmp_path / "my_chips-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-chips\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bench.chips]\nmine = my_chips:TABLE\n")
    source = (
        "from bench.catalog.chips import find_chip, load_chips;"
        "print(find_chip('My Chip').limits('bfloat16').peak_source, 'h100-sxm' in load_chips())"
    )

    def run():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", source]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert run().stdout.strip() == "Mine: 10 TFLOP/s bfloat16, dense (me) True"
    (tmp_path / "chips.yaml").write_text(CHIP.replace("mine:", "h100-sxm:"))
    assert "is already in the table of the plug-in 'mine'; give it another id" in run().stderr
    (tmp_path / "my_chips.py").write_text("TABLE = 3\n")
    assert "expected the path of a YAML file, got 3" in run().stderr


def test_unknown_chip():
    with pytest.raises(UsageError, match="did you mean 'h100-sxm'"):
        get_chip("h100-smx")
