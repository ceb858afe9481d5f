"""The parsers of npu-smi on what users have shown of it, on halves of that, and on nonsense."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.ascend.chip import ChipProcess, ChipReading
from backends.ascend.npu_smi import (
    MIB,
    NpuSmi,
    parse_info,
    parse_mapping,
    parse_topic,
)

DATA = Path(__file__).parents[2] / "data" / "npu-smi"
TEXTS = {path.name: path.read_text() for path in sorted(DATA.glob("*.txt"))}
TABLES = [name for name in TEXTS if not name.startswith(("topic", "mapping", "occupied"))]


def seen(name: str) -> list[tuple[object, ...]]:
    return [
        (c.npu, c.chip, c.name, c.power_w, c.temperature_c, c.hbm_used_bytes, c.hbm_total_bytes)
        for c in parse_info(TEXTS[name])
    ]


def mib(used: int, total: int) -> tuple[int, int]:
    return used * MIB, total * MIB


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "24.1.rc3-910B1.txt",
            [
                (0, 0, "910B1", 94.6, 49, *mib(3373, 65536)),
                (1, 0, "910B1", 97.8, 48, *mib(3367, 65536)),
            ],
        ),
        (
            "24.1.1-910B4.txt",
            [
                (0, 0, "910B4", 88.2, 30, *mib(26838, 32768)),
                (1, 0, "910B4", 87.0, 30, *mib(29356, 32768)),
            ],
        ),
        (
            "25.2.1-910C.txt",
            [
                (0, 0, "Ascend910", 166.5, 38, *mib(3131, 65536)),
                (0, 1, "Ascend910", None, 37, *mib(2886, 65536)),
                (1, 0, "Ascend910", 168.1, 37, *mib(3125, 65536)),
            ],
        ),
        (
            "26.0.rc2-910C.txt",
            [
                (0, 0, "Ascend910", 162.6, 34, *mib(3419, 65536)),
                (0, 1, "Ascend910", None, 34, *mib(2874, 65536)),
            ],
        ),
        (
            "24.1.0-910ProB.txt",
            [
                (0, 0, "910ProB", 78.0, 38, *mib(18, 32768)),
                (1, 0, "910ProB", 75.8, 38, *mib(8, 32768)),
            ],
        ),
        (
            "24.1.rc2-310P3.txt",
            [(1, 0, "310P3", None, 59, None, None), (1, 1, "310P3", None, 58, None, None)],
        ),
    ],
)
def test_what_users_have_shown(name, expected):
    assert seen(name) == expected


def test_health_and_utilization():
    chip = parse_info(TEXTS["24.1.rc3-910B1.txt"])[0]
    assert (chip.health, chip.aicore_percent) == ("OK", 0)
    assert chip.clock_mhz is None, "the overview does not say it"


def test_processes_are_those_of_the_chip_or_unknown():
    (idle,) = parse_info(TEXTS["24.1.rc1-910B4-idle.txt"])
    assert idle.processes == ()
    first, second = parse_info(TEXTS["910B2C-process.txt"])
    assert first.processes == (ChipProcess(124528, "python3.8", 17400 * MIB),)
    assert second.processes is None, "of card 1 nothing was said"
    assert parse_info(TEXTS["24.1.rc3-910B1.txt"])[0].processes is None, "the table was cut off"


def test_a_process_table_with_a_further_column():
    head = TEXTS["26.0.rc2-910C.txt"]
    first, second = parse_info(head + "\n" + TEXTS["26.0.rc2-910C-process.txt"])[:2]
    assert first.processes == (ChipProcess(632268, "python3.1", 197 * MIB),)
    assert second.processes == (), "the card is spoken of, and the process is on the other die"


def test_a_device_of_another_container_shows_no_chip():
    assert parse_info(TEXTS["occupied.txt"]) == []


def test_topics():
    chip = ChipReading(1, 0)
    usages = parse_topic(TEXTS["topic-usages-910B1.txt"], ChipReading(0, 0))
    assert (usages.aicore_percent, usages.hbm_bandwidth_percent) == (0, 0)
    assert usages.hbm_total_bytes == 65536 * MIB
    common = parse_topic(TEXTS["topic-common-910B1.txt"], chip)
    assert (common.clock_mhz, common.rated_clock_mhz) == (800, 1800)
    assert (common.power_w, common.temperature_c) == (93.4, 46), "not the controller's 38 °C"
    inference = parse_topic(TEXTS["topic-common-310P.txt"], chip)
    assert (inference.temperature_c, inference.power_w) == (43, None), "13.4 W is the controller's"
    old = parse_topic(TEXTS["topic-common-910.txt"], ChipReading(0, 0))
    assert (old.clock_mhz, old.power_w) == (100, 298.6)
    assert parse_topic("Health Status : Alarm", chip).health == "Alarm"


def test_a_topic_of_another_chip_says_nothing_about_this_one():
    assert parse_topic(TEXTS["topic-common-910B1.txt"], ChipReading(1, 1)) == ChipReading(1, 1)


def test_mapping():
    assert parse_mapping(TEXTS["mapping-910B3.txt"]) == {(0, 0): 0, (1, 0): 1}
    newer = "NPU ID  Slot ID  Chip ID  Chip Phy-ID  Chip Name\n5 22 0 5 Ascend950PR\n"
    assert parse_mapping(newer) == {}, "a physical id is not a logic id"
    wide = "NPU ID  Chip ID  Chip Logic ID  Chip Phy-ID  Chip Name\n0 1 1 1 Ascend910\n"
    assert parse_mapping(wide) == {(0, 1): 1}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_cut_off_loses_chips_but_invents_nothing(name):
    text = TEXTS[name]
    whole = parse_info(text)
    for end in range(0, len(text), 7):
        part = parse_info(text[:end])
        for chip, known in zip(part, whole, strict=False):
            assert {chip.npu, chip.chip} == {known.npu, known.chip}
            assert chip.hbm_used_bytes in (None, known.hbm_used_bytes)
            assert chip.power_w in (None, known.power_w)


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_damaged_texts_are_read_without_an_error(name, data):
    text = TEXTS[name]
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    text = text[:at] + data.draw(st.text(max_size=20)) + text[at + length :]
    for chip in parse_info(text):
        check(chip)
    check(parse_topic(text, ChipReading(0, 0)))
    parse_mapping(text)


@given(st.text(alphabet="|+=-0123456789/ \n:NPUChipAB(%)٣²", max_size=300))
def test_nonsense_is_read_without_an_error(text):
    for chip in parse_info(text):
        check(chip)
    parse_mapping(text)


def check(chip: ChipReading) -> None:
    assert chip.aicore_percent is None or 0 <= chip.aicore_percent <= 100
    if chip.hbm_used_bytes is not None:
        assert chip.hbm_total_bytes
        assert chip.hbm_used_bytes <= chip.hbm_total_bytes


def test_huge_numbers_are_unknown():
    digits = "9" * 5000
    text = TEXTS["24.1.rc3-910B1.txt"].replace("94.6", digits).replace("3373", digits)
    assert parse_info(text)[0].power_w is None
    assert parse_info(text)[0].hbm_used_bytes is None


@pytest.fixture
def program(tmp_path):
    """Install a program that prints the real outputs."""

    def install(info: str, *, common: str = "topic-common-910B1.txt") -> NpuSmi:
        path = tmp_path / "npu-smi"
        path.write_text(
            "#!/bin/sh\n"
            f'case "$2 $3" in "-m "*) cat {DATA}/mapping-910B3.txt;;\n'
            f'"-t common") cat {DATA}/{common};;\n'
            f"*) cat {DATA}/{info};; esac\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return NpuSmi(str(path))

    return install


def test_the_program_is_asked(program):
    smi = program("24.1.rc3-910B1.txt")
    assert smi.unavailable() is None
    chips = smi.chips()
    assert [chip.logic_id for chip in chips] == [0, 1]
    reading = smi.read(chips[1])
    assert (reading.power_w, reading.clock_mhz) == (93.4, 800)


def test_the_program_is_missing_or_refused(program, tmp_path):
    assert "is not on the PATH" in (NpuSmi(str(tmp_path / "nothing")).unavailable() or "")
    reason = program("occupied.txt").unavailable()
    assert reason is not None
    assert "the device is used" in reason
    assert NpuSmi(os.devnull).chips() == []
