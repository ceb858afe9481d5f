"""The schema of a table of chips, and the messages for a wrong one."""

import pytest

from bench.catalog.chip_table import parse_table, peak_from_units
from bench.errors import UsageError


def test_peak_from_units():
    assert peak_from_units(24, 8192, 1.8e9) == pytest.approx(353.8944)


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


@pytest.mark.parametrize(
    ("wrong", "instead", "said"),
    [
        ("vendor: V", "vendor: V\n    colour: red", r"t.yaml:6: chips.mine.colour: unknown key"),
        ("vendor: V", "", r"chips.mine.vendor: is missing"),
        ("tflops: 10", "tflop: 10", r"t.yaml:9: chips.mine.peaks.bfloat16.tflop: unknown key"),
        ("tflops: 10", "tflops: 0", r"bfloat16.tflops: expected more than 0, got 0"),
        ("tflops: 10", "tflops: ten", r"bfloat16.tflops: expected a number, got 'ten'"),
        ("bfloat16:", "bf16:", r"chips.mine.peaks.bf16: unknown dtype .*bfloat16"),
        ("tflops: 10, sources: [me]", "tflops: 10, sources: [us]", r"unknown source 'us'"),
        (
            "vendor: V",
            "vendor: V\n    pattern: '('",
            r"mine.pattern: '\(' is not a regular expression",
        ),
        ("vendor: V", "vendor: V\n    units: 4", r"chips.mine.units: need `architecture`"),
        ("vendor: V", "vendor: V\n    architecture: x", r"unknown architecture 'x'"),
        (
            "vendor: V",
            "vendor: V\n    bandwidth_sources: [us]",
            r"mine.bandwidth_sources: unknown source 'us'",
        ),
        (
            "vendor: V",
            "vendor: V\n    bandwidth_confidence: disputed",
            r"bandwidth_confidence: ",
        ),
        ("sources: {me", "peaks: 1\nsources: {me", r"t.yaml:1: peaks: unknown key"),
        ("  mine:", "  mine: 3\n  yours:", r"chips.mine: expected a mapping, got 3"),
    ],
)
def test_a_wrong_table_is_refused_with_file_line_and_key(wrong, instead, said):
    assert wrong in CHIP
    with pytest.raises(UsageError, match=said):
        parse_table(CHIP.replace(wrong, instead, 1), "t.yaml")


def test_a_bandwidth_has_its_own_sources_and_confidence():
    bandwidth = "vendor: V\n    bandwidth_gbps: 1600"
    table = parse_table(CHIP.replace("vendor: V", bandwidth), "t.yaml")
    assert table.chips["mine"].bandwidth_text() == "1600 GB/s (me)"
    bandwidth += "\n    bandwidth_sources: [you]\n    bandwidth_confidence: medium"
    text = CHIP.replace("vendor: V", bandwidth).replace("{me", "{you: yours, me")
    limits = parse_table(text, "t.yaml").chips["mine"].limits("bfloat16")
    assert limits.peak_source.endswith("; 1600 GB/s, medium confidence (you)")


def test_a_table_that_is_no_mapping_is_refused():
    with pytest.raises(UsageError, match="expected a mapping"):
        parse_table("[]", "t.yaml")
