"""Loops measured in a process of their own: each of this machine's, and ones that end or hang it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends import cpu_rates
from backends.cpu_loops import Loop
from backends.cpu_rates import measure_rates
from backends.cpu_topology import cpu_topology
from tests.backends.machine_loops import (
    LOOPS,
    additions,
    endless,
    illegal,
    multiplications,
    needs_loops,
)

TOPOLOGY = cpu_topology()
CORES = TOPOLOGY.usable_cores


def measure(*loops: Loop, threads: int = 1, **options) -> cpu_rates.Measured:
    return measure_rates(loops, threads, TOPOLOGY.cpus, passes=3, **options)


@needs_loops
def test_every_loop_of_this_machine_is_measured() -> None:
    measured = measure(*LOOPS, threads=CORES)
    assert set(measured.rates) | set(measured.refused) == {loop.name for loop in LOOPS}
    for name, rate in measured.rates.items():
        assert 0.3e9 < rate.clock_hz < 10e9, name
        # Two operations per cycle at least; AMX has 2048, and the widest SVE is 2048 bits.
        assert 1 < rate.per_cycle < 20_000, name


@needs_loops
def test_wider_loops_do_not_take_more_for_less() -> None:
    """float32 has twice the lanes of float64 and, on every vector unit known, at least its rate."""
    rates = measure(*LOOPS, threads=CORES).rates
    by_kind: dict[str, dict[str, float]] = {}
    for loop in LOOPS:
        if loop.name in rates:
            by_kind.setdefault(loop.instructions, {})[loop.dtype] = rates[loop.name].per_cycle
    pairs = [each for each in by_kind.values() if {"float64", "float32"} <= set(each)]
    assert pairs
    for pair in pairs:
        assert pair["float32"] > 0.9 * 2 * pair["float64"] or pair["float32"] > pair["float64"]


@needs_loops
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_multiplication_takes_three_or_more_cycles() -> None:
    """Three on every x86-64 core of the last fifteen years, two to five on Arm's."""
    measured = measure(replace(multiplications(50), operations=50))
    (rate,) = measured.rates.values()
    cycles = 1 / rate.per_cycle
    assert (
        round(cycles) in (3,) if cpu_topology().identity.architecture == "x86_64" else (2, 3, 4, 5)
    )
    assert cycles == pytest.approx(round(cycles), rel=0.1)


@needs_loops
def test_a_refused_loop_costs_only_itself() -> None:
    measured = measure(additions(40), illegal(), multiplications(20))
    assert set(measured.rates) == {additions(40).name, multiplications(20).name}
    assert "SIGILL" in measured.refused[illegal().name]


@needs_loops
def test_a_loop_that_hangs_costs_only_itself() -> None:
    measured = measure(endless(), additions(40), timeout_s=3)
    assert set(measured.refused) == {endless().name}
    assert "did not end within 3 s" in measured.refused[endless().name]
    assert set(measured.rates) == {additions(40).name}


@needs_loops
def test_two_that_are_refused() -> None:
    broken = [replace(illegal(), instructions=f"illegal {n}") for n in range(2)]
    measured = measure(broken[0], broken[1])
    assert measured.rates == {}
    assert set(measured.refused) == {loop.name for loop in broken}


@needs_loops
def test_hopeless_machines_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_rates, "TOTAL_TIMEOUT_S", 0.0)
    measured = measure(illegal(), additions(40))
    assert measured.rates == {}
    assert set(measured.refused) == {illegal().name, additions(40).name}


@needs_loops
def test_tiles_that_linux_does_not_permit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A number that no kernel knows stands for an old kernel's refusal."""
    probe = tmp_path / "probe.py"
    text = cpu_rates.PROBE.read_text().replace(
        "ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18",
        "ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x10FF, 18",
    )
    assert "0x10FF" in text
    probe.write_text(text)
    monkeypatch.setattr(cpu_rates, "PROBE", probe)
    measured = measure(replace(additions(30), tiles=True), multiplications(20))
    assert "Linux does not permit AMX" in measured.refused[additions(30).name]
    assert set(measured.rates) == {multiplications(20).name}


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    measured = measure(additions(10))
    assert measured.rates == {}
    assert "no process could be started" in measured.refused[additions(10).name]


def test_a_probe_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text("raise SystemExit('no more threads')")
    monkeypatch.setattr(cpu_rates, "PROBE", probe)
    assert measure(additions(10)).refused == {additions(10).name: "no more threads"}


@needs_loops
def test_nothing_of_the_current_folder_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert set(measure(additions(40)).rates) == {additions(40).name}
