"""Finding a chip by the name that its driver reports, in the shipped table and in those of plug-ins."""

import csv
import os
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.catalog.chip_table import parse_table
from bench.catalog.chips import find_architecture, find_chip, get_chip, load_chips
from bench.errors import UsageError

# Names that drivers reported, and the memory that nvidia-smi, npu-smi or rocm-smi showed beside them.
DEVICE_NAMES = Path(__file__).parents[1] / "data/device_names.csv"

CHIP = """\
sources: {me: my own measurement}
chips:
  my-chip:
    title: My chip
    vendor: V
    names: {My Chip: here}
    sources: [me]
    peaks:
      bfloat16: {tflops: 10, sources: [me]}
"""

SEEN = {row["name"]: row["chip"] for row in csv.DictReader(DEVICE_NAMES.read_text().splitlines())}

BY_ANALOGY = {
    "A100-SXM4-40GB": "a100-sxm4-40gb",
    "NVIDIA H100 SXM5": "h100-sxm",
    "GeForce RTX 3090": "geforce-rtx-3090",
    "NVIDIA GeForce RTX 5090 D V2": "geforce-rtx-5090-d-v2",
    "AMD Instinct MI250": "mi250-gcd",
    "GAUDI2": "gaudi2",
    "GAUDI3": "gaudi3",
    "MLU590": "mlu590",
    "P800": "p800",
    "  NVIDIA H200 ": "h200-sxm",
}

# Variants, slices, neighbors, and names that more than one chip has: each contains a known name.
UNKNOWN = [
    "",
    "GPU",
    "H",
    "NVIDIA A100X",
    "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
    "NVIDIA H100",
    "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
    "NVIDIA GH200",
    "NVIDIA H200 SXM NVL",
    "NVIDIA L400",
    "NVIDIA L40G",
    "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "AMD Instinct MI250X/MI250",  # two boards, which differ in the number of CUs
    "AMD Instinct MI250X / MI250",
    "AMD Instinct MI30",
    "Rubin",
    "TPU7x",
    "Apple M4 Max",
    "Ascend910",
    "Ascend910B5",
    "Ascend910_9361",  # in no release of CANN
    "Ascend950PR",  # npu-smi's name of grades of 28 to 36 Cube units
    "Ascend950DT",
]


@pytest.mark.parametrize("name", [*SEEN, *BY_ANALOGY])
def test_a_drivers_name_finds_its_own_chip(name):
    chip = find_chip(name)
    assert chip is not None
    assert chip.id == {**SEEN, **BY_ANALOGY}[name]


def test_every_name_that_a_table_spells_out_belongs_to_one_chip():
    spelled = [(name, chip.id) for chip in load_chips().values() for name in chip.names]
    assert len(spelled) == len({name for name, _ in spelled})
    assert {name: find_chip(name).id for name, _ in spelled} == dict(spelled)


@pytest.mark.parametrize("name", [*SEEN, *BY_ANALOGY, *UNKNOWN])
def test_no_two_patterns_match_one_name(name):
    fits = [chip.id for chip in load_chips().values() if chip.fits(name.strip())]
    assert len(fits) <= 1
    if fits and name in SEEN:
        assert fits == [SEEN[name]], "the pattern of another chip matches"


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_finds_nothing(name):
    assert find_chip(name) is None


@given(st.text() | st.text(string.ascii_letters + string.digits + " -_()", max_size=30))
def test_any_name_is_taken(name):
    assert find_chip(name) is None or find_chip(name).id in load_chips()


@given(st.sampled_from(sorted(SEEN)), st.text(string.ascii_letters + string.digits, min_size=1))
def test_a_longer_name_is_not_the_chip_within_it(name, more):
    chip = find_chip(name + more)
    assert chip is None or name + more in {**SEEN, **BY_ANALOGY} or chip.names.get(name + more)


@pytest.mark.parametrize(
    ("target", "name", "units", "clock_mhz", "tflops"),
    [
        ("sm_70", "Quadro GV100", 80, 1627, 133.3),
        ("sm_75", "Quadro RTX 8000", 72, 1770, 130.5),
        ("sm_80", "NVIDIA A100X", 108, 1440, 318.5),
        ("sm_86", "NVIDIA RTX A5500", 80, 1665, 136.4),
        ("sm_86", "NVIDIA GeForce RTX 3080", 68, 1710, 59.5),
        ("sm_89", "NVIDIA RTX 5000 Ada Generation", 100, 2550, 261.1),
        ("sm_89", "NVIDIA GeForce RTX 4080", 76, 2505, 97.5),
        ("sm_90", "NVIDIA GH200", 132, 1830, 989.4),
        ("sm_100", "NVIDIA B100", 148, 1856, 2250.3),
        ("sm_120", "NVIDIA GeForce RTX 5080", 84, 2617, 112.6),
        ("gfx90a", "AMD Instinct MI250X/MI250", 110, 1700, 191.5),
        ("gfx90a", "AMD Instinct MI250X/MI250", 104, 1700, 181),
    ],
)
def test_an_unlisted_chip_has_a_computed_peak(target, name, units, clock_mhz, tflops):
    assert find_chip(name) is None
    limits = find_architecture(target, name).limits("float16", units, clock_mhz)
    assert limits.peak_tflops == pytest.approx(tflops, abs=0.1)
    assert limits.peak_gbps is None
    assert "computed from" in limits.peak_source
    assert f"{units} ×" in limits.peak_source


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("sm_90", "NVIDIA H20-3e"),
        ("sm_90", "NVIDIA H20-4e"),
        ("sm_90", "NVIDIA HGX H20"),
        ("sm_89", "NVIDIA L20"),
        ("sm_89", "NVIDIA L20-12Q"),
        ("sm_89", "NVIDIA L2"),
        ("sm_100", "NVIDIA B30A"),
        ("sm_120", "NVIDIA RTX 6000D"),
        ("sm_120", "NVIDIA GeForce RTX 5090 D v3"),
        ("gfx942", "AMD Instinct MI308X"),
        ("gfx942", "AMD Instinct MI308X-O"),
    ],
)
def test_no_peak_is_computed_for_a_family_that_is_cut_by_policy(target, name):
    for dtype in ("float64", "float32", "float16", "bfloat16", "float8_e4m3", "int8"):
        limits = find_architecture(target, name).limits(dtype, 78, 1980)
        assert limits.peak_tflops is None
        assert "cut for export" in limits.peak_source


def test_a_neighbor_of_such_a_family_keeps_its_computed_peak():
    for target, name in [
        ("sm_90", "NVIDIA H200 SXM NVL"),
        ("sm_89", "NVIDIA L40G"),
        ("sm_89", "NVIDIA L4 (24C)"),
        ("sm_100", "NVIDIA B200 PCIe"),
        ("sm_120", "NVIDIA GeForce RTX 5090 Ti"),
        ("gfx942", "AMD Instinct MI300X XCP"),
    ]:
        assert find_architecture(target, name).limits("float16", 78, 1980).peak_tflops


def test_an_h800_loses_its_float64_only():
    h800 = find_architecture("sm_90", "NVIDIA H800 NVL")
    assert h800.limits("float64", 132, 1980).peak_tflops is None
    assert h800.limits("bfloat16", 132, 1830).peak_tflops == pytest.approx(989.4, abs=0.1)


def test_an_unknown_architecture_has_none():
    assert find_architecture("sm_61") is None
    assert find_architecture("sm_70").limits("bfloat16", 80, 1530).peak_tflops is None
    # GeForce cards of compute capability 7.5 come with and without tensor cores.
    turing = find_architecture("sm_75", "NVIDIA GeForce GTX 1660")
    assert turing.limits("float16", 22, 1785).peak_tflops is None


def test_two_chips_of_one_pattern_are_none():
    table = parse_table({"t.yaml": CHIP.replace("names: {My Chip: here}", "pattern: My .*")})
    chip = table.chips["my-chip"]
    assert find_chip("My Chip", [chip]) is chip
    assert find_chip("My Chip", [chip, chip.model_copy(update={"id": "other"})]) is None


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

    assert run().stdout.strip() == "My chip: 10 TFLOP/s bfloat16, dense (me) True"
    (tmp_path / "chips.yaml").write_text(CHIP.replace("my-chip:", "h100-sxm:"))
    assert "is already in the table of the plug-in 'mine'; give it another id" in run().stderr
    (tmp_path / "my_chips.py").write_text("TABLE = 3\n")
    assert "expected the path of a YAML file or of a folder of them, got 3" in run().stderr


def test_unknown_chip():
    with pytest.raises(UsageError, match="did you mean 'h100-sxm'"):
        get_chip("h100-smx")
