"""The schema of a table of chips, and the messages for a wrong one."""

import pytest

from bench.catalog.chip_table import parse_table, peak_from_units
from bench.errors import UsageError


def test_peak_from_units():
    assert peak_from_units(24, 8192, 1.8e9) == pytest.approx(353.8944)


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


@pytest.mark.parametrize(
    ("wrong", "instead", "said"),
    [
        ("vendor: V", "vendor: V\n    color: red", r"t.yaml:6: chips.my-chip.color: unknown key"),
        ("vendor: V", "", r"chips.my-chip.vendor: is missing"),
        ("tflops: 10", "tflop: 10", r"t.yaml:9: chips.my-chip.peaks.bfloat16.tflop: unknown key"),
        ("tflops: 10", "tflops: 0", r"bfloat16.tflops: expected more than 0, got 0"),
        ("tflops: 10", "tflops: ten", r"bfloat16.tflops: expected a number, got 'ten'"),
        ("bfloat16:", "bf16:", r"chips.my-chip.peaks.bf16: unknown dtype .*bfloat16"),
        ("tflops: 10, sources: [me]", "tflops: 10, sources: [us]", r"unknown source 'us'"),
        (
            "vendor: V",
            "vendor: V\n    pattern: '('",
            r"my-chip.pattern: '\(' is not a regular expression",
        ),
        ("vendor: V", "vendor: V\n    units: 4", r"chips.my-chip.units: need `architecture`"),
        ("vendor: V", "vendor: V\n    architecture: x", r"unknown architecture 'x'"),
        (
            "vendor: V",
            "vendor: V\n    bandwidth_sources: [us]",
            r"my-chip.bandwidth_sources: unknown source 'us'",
        ),
        (
            "vendor: V",
            "vendor: V\n    bandwidth_confidence: disputed",
            r"bandwidth_confidence: ",
        ),
        ("sources: {me", "peaks: 1\nsources: {me", r"t.yaml:1: peaks: unknown key"),
        ("  my-chip:", "  my-chip: 3\n  yours:", r"chips.my-chip: expected a mapping, got 3"),
    ],
)
def test_a_wrong_table_is_refused_with_file_line_and_key(wrong, instead, said):
    assert wrong in CHIP
    with pytest.raises(UsageError, match=said):
        parse_table({"t.yaml": CHIP.replace(wrong, instead, 1)})


def test_a_bandwidth_has_its_own_sources_and_confidence():
    bandwidth = "vendor: V\n    bandwidth_gbps: 1600"
    table = parse_table({"t.yaml": CHIP.replace("vendor: V", bandwidth)})
    assert table.chips["my-chip"].bandwidth_text() == "1600 GB/s (me)"
    bandwidth += "\n    bandwidth_sources: [you]\n    bandwidth_confidence: medium"
    text = CHIP.replace("vendor: V", bandwidth).replace("{me", "{you: yours, me")
    limits = parse_table({"t.yaml": text}).chips["my-chip"].limits("bfloat16")
    assert limits.peak_source.endswith("; 1600 GB/s, medium confidence (you)")


def test_files_of_a_table_share_sources_and_architectures():
    sources, chip = CHIP.split("chips:")
    family = "architectures: {a: {title: A, unit: core, flops_per_cycle: {}, sources: [me]}}"
    chip = "chips:" + chip.replace("vendor: V", "vendor: V\n    architecture: a")
    documents = {"chip.yaml": chip, "family.yaml": family, "sources.yaml": sources}
    assert parse_table(documents).chips["my-chip"].architecture.title == "A"
    with pytest.raises(UsageError, match=r"c2.yaml:2: chips.my-chip: is already in chip.yaml"):
        parse_table({**documents, "c2.yaml": chip})


def test_a_table_that_is_no_mapping_is_refused():
    with pytest.raises(UsageError, match="expected a mapping"):
        parse_table({"t.yaml": "[]"})
