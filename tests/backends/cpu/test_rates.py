"""Loops measured in a process of their own: each of this machine's, and ones that end or hang it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.cpu import rates
from backends.cpu.loops import MachineLoop
from backends.cpu.rates import measure_rates
from backends.cpu.topology import cpu_topology
from tests.backends.cpu.machine_loops import (
    LOOPS,
    additions,
    endless,
    illegal,
    multiplications,
    needs_loops,
)

TOPOLOGY = cpu_topology()
CORES = TOPOLOGY.usable_cores


def measure(*loops: MachineLoop, threads: int = 1, **options) -> rates.Measured:
    return measure_rates(loops, threads, TOPOLOGY.cpus, passes=3, **options)


@needs_loops
def test_every_loop_of_this_machine_is_measured() -> None:
    measured = measure(*LOOPS, threads=CORES)
    assert set(measured.rates) | set(measured.refused) == {loop.name for loop in LOOPS}
    for name, rate in measured.rates.items():
        # However busy the machine: more than one operation per ns, fewer than AMX times ten.
        assert 1e9 < rate.per_second < 1e14, name
        assert rate.clock_hz > 0, name


@needs_loops
def test_float32_is_faster_than_float64() -> None:
    """It has twice the lanes. The best of several turns: a neighbor can slow any one."""
    turns = [measure(*LOOPS, threads=CORES).rates for _ in range(3)]
    best = {
        (loop.instructions, loop.dtype): max(
            turn[loop.name].per_second for turn in turns if loop.name in turn
        )
        for loop in LOOPS
        if any(loop.name in turn for turn in turns)
    }
    kinds = {kind for kind, _ in best if {(kind, "float64"), (kind, "float32")} <= set(best)}
    assert kinds
    for kind in kinds:
        assert best[kind, "float32"] > best[kind, "float64"], kind


@needs_loops
def test_a_multiplication_takes_three_or_more_cycles() -> None:
    """Three on every x86-64 core of the last fifteen years, two to five on Arm's."""
    loop = replace(multiplications(50), operations=50)
    known = (3,) if cpu_topology().identity.architecture == "x86_64" else (2, 3, 4, 5)
    turns = (1 / rate.per_cycle for _ in range(8) for rate in measure(loop).rates.values())
    assert any(cycles == pytest.approx(each, rel=0.1) for cycles in turns for each in known)


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
    monkeypatch.setattr(rates, "TOTAL_TIMEOUT_S", 0.0)
    measured = measure(illegal(), additions(40))
    assert measured.rates == {}
    assert set(measured.refused) == {illegal().name, additions(40).name}


@needs_loops
def test_tiles_that_linux_does_not_permit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A number that no kernel knows stands for an old kernel's refusal."""
    probe = tmp_path / "probe.py"
    text = rates.PROBE.read_text().replace(
        "ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18",
        "ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x10FF, 18",
    )
    assert "0x10FF" in text
    probe.write_text(text)
    monkeypatch.setattr(rates, "PROBE", probe)
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
    monkeypatch.setattr(rates, "PROBE", probe)
    assert measure(additions(10)).refused == {additions(10).name: "no more threads"}


@needs_loops
def test_nothing_of_the_current_folder_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert set(measure(additions(40)).rates) == {additions(40).name}
