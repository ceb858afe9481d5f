"""Rates kept for the boot: when they are believed, when they are measured again, that they grow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.cpu import rates_cache
from backends.cpu.loops import MachineLoop
from backends.cpu.rates import LoopRate, Measured
from backends.cpu.rates_cache import MEASURE_AGAIN_S, kept_rates, larger
from backends.cpu.topology import CpuIdentity

CPU = CpuIdentity("x86_64", "Linux", "GenuineIntel", 6, 1, "CPU", frozenset())
LOOPS = [MachineLoop("FMA", "float32", 8, b"\xc3")]
FAST, SLOW = LoopRate(2e9, 1e9), LoopRate(1e9, 1e9)


class Machine:
    """Stands for the processor: counts how often it was measured, and has the rates that it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.boot = folder, folder / "boot_id"
        self.boot.write_text("first\n")
        self.rate, self.measured = SLOW, 0

    def measure(self, loops: Sequence[MachineLoop], *_: object) -> Measured:
        self.measured += 1
        return Measured({loop.name: self.rate for loop in loops}, {})

    def ask(
        self, threads: int = 2, cpus: Sequence[int] = (0, 1), cpu: CpuIdentity = CPU
    ) -> LoopRate:
        kept = kept_rates(cpu, LOOPS, threads, cpus, self.folder, self.boot)
        return kept.rates[LOOPS[0].name]

    @property
    def file(self) -> Path:
        (path,) = self.folder.glob("cpu-rates-*.json")
        return path

    def age(self, seconds: float) -> None:
        """Make what is kept older."""
        kept = json.loads(self.file.read_text())
        for entry in kept["entries"].values():
            entry["measured_at"] -= seconds
        self.file.write_text(json.dumps(kept))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(rates_cache, "measure_rates", machine.measure)
    return machine


def test_measured_once_per_boot(machine: Machine) -> None:
    assert [machine.ask() for _ in range(3)] == [SLOW] * 3
    assert machine.measured == 1
    machine.boot.write_text("second\n")
    machine.rate = FAST
    assert machine.ask() == FAST
    assert machine.measured == 2


def test_measured_once_per_cpus_threads_and_processor(machine: Machine) -> None:
    other = CpuIdentity("x86_64", "Linux", "GenuineIntel", 6, 2, "CPU", frozenset())
    for _ in range(2):
        machine.ask()
        machine.ask(threads=1)
        machine.ask(cpus=(0, 2))
        machine.ask(cpu=other)
    assert machine.measured == 4


@pytest.mark.parametrize("seconds", [MEASURE_AGAIN_S + 1, -1e6])
def test_what_is_old_or_of_the_future_is_measured_again_and_only_grows(
    machine: Machine, seconds: float
) -> None:
    for rate, expected in ((SLOW, SLOW), (FAST, FAST), (SLOW, FAST)):
        machine.rate = rate
        assert machine.ask() == expected
        assert machine.ask() == expected
        machine.age(seconds)
    assert machine.measured == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"boot": "first"}',
        b'{"boot": "first", "entries": {"KEY": null}}',
        b'{"boot": "first", "entries": {"KEY": {"measured_at": NOW, "rates": {}}}}',
        RATES
        := b'{"boot": "first", "entries": {"KEY": {"measured_at": NOW, "refused": {}, "rates": '
        b'{"FMA: float32": {"per_second": 1e30, "clock_hz": 1e9}}, "more": 1}}}',
        RATES.replace(b', "more": 1', b"").replace(b"1e30", b"NaN"),
        RATES.replace(b', "more": 1', b"").replace(b"1e30", b"Infinity"),
        RATES.replace(b', "more": 1', b"").replace(b"1e30", b"-1"),
        RATES.replace(b', "more": 1', b"").replace(b"1e30", b'"1e30"'),
        b"[" * 100_000,
    ],
)
def test_what_makes_no_sense_is_measured_again(machine: Machine, content: bytes) -> None:
    machine.ask()
    (key,) = json.loads(machine.file.read_text())["entries"]
    now = str(time.time()).encode()
    machine.file.write_bytes(content.replace(b"KEY", key.encode()).replace(b"NOW", now))
    assert machine.ask() == SLOW
    assert machine.measured == 2
    machine.ask()
    assert machine.measured == 2


def test_a_sane_file_is_believed(machine: Machine) -> None:
    machine.ask()
    machine.file.write_text(machine.file.read_text().replace("1000000000.0", "3000000000.0"))
    assert machine.ask().per_second == 3e9
    assert machine.measured == 1


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_is_not_believed(machine: Machine, mode: int) -> None:
    machine.ask()
    machine.file.chmod(mode)
    machine.rate = FAST
    assert machine.ask() == FAST
    assert machine.file.stat().st_mode & 0o777 == 0o600


def test_what_belongs_to_another_is_not_believed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ask()
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    machine.ask()
    assert machine.measured == 2


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_waited_for(machine: Machine, kind: str) -> None:
    machine.ask()
    path = machine.file
    if kind == "link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.with_name("elsewhere"))
    else:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    machine.ask()
    assert machine.measured == 2


def test_a_folder_that_cannot_be_written_is_no_error(machine: Machine) -> None:
    missing = machine.folder / "missing"
    for expected in (1, 2):
        kept_rates(CPU, LOOPS, 2, (0, 1), missing, machine.boot)
        assert machine.measured == expected


def test_without_a_boot_nothing_is_kept(machine: Machine) -> None:
    machine.boot.unlink()
    machine.ask()
    machine.ask()
    assert machine.measured == 2
    assert not list(machine.folder.iterdir())


def test_no_temporary_file_stays(machine: Machine) -> None:
    machine.ask()
    assert {path.name for path in machine.folder.iterdir()} == {"boot_id", machine.file.name}


NAMES = st.sampled_from("abc")
RATE = st.builds(LoopRate, st.floats(1, 1e15), st.floats(1e8, 1e10))
MEASURED = st.builds(Measured, st.dictionaries(NAMES, RATE), st.dictionaries(NAMES, st.text()))


@given(MEASURED, MEASURED)
def test_rates_only_grow(before: Measured, now: Measured) -> None:
    both = larger(before, now)
    assert set(both.rates) == set(before.rates) | set(now.rates)
    for name, rate in both.rates.items():
        known = [each.rates[name] for each in (before, now) if name in each.rates]
        assert rate in known
        assert rate.per_second == max(each.per_second for each in known)
    assert not set(both.refused) & set(both.rates)
    assert set(both.refused) <= set(now.refused)
