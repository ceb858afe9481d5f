"""The measured clock: its machine code, which repetition counts, and what happens without it."""

from __future__ import annotations

import math
import platform
import struct
import threading
from collections import namedtuple
from itertools import pairwise

import psutil
import pytest

from backends import cpu_clock
from backends.cpu_clock import (
    Clock,
    chain_code,
    fastest_overlapping_ns,
    fastest_s,
    measure_clock,
    reported_clock,
)

X86 = platform.machine().lower() in ("x86_64", "amd64") and platform.system() == "Linux"


def test_x86_loop_jumps_back_to_its_first_addition() -> None:
    code = chain_code("x86_64", links=7, iterations=0x12345)
    assert code is not None
    assert code[:5] == b"\xb8" + struct.pack("<I", 0x12345)
    assert code[64 : 64 + 21] == b"\x48\x01\xca" * 7
    assert code[-1:] == b"\xc3"
    (distance,) = struct.unpack("<i", code[-5:-1])
    assert len(code) - 1 + distance == 64


def test_arm_loop_jumps_back_to_its_first_addition() -> None:
    code = chain_code("aarch64", links=7, iterations=0x12345)
    assert code is not None
    words = struct.unpack(f"<{len(code) // 4}I", code)
    assert ((words[1] >> 5 & 0xFFFF) << 16) | (words[0] >> 5 & 0xFFFF) == 0x12345
    assert words[4:11] == (0x8B020021,) * 7
    branch = len(words) - 2
    assert words[branch] & 0xFF00001F == 0x54000001  # b.ne
    assert branch + (words[branch] >> 5 & 0x7FFFF) - 2**19 == 4


def test_no_code_for_another_architecture() -> None:
    assert chain_code("riscv64", 100, 1000) is None


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([[(0, 100), (100, 180), (180, 270)]], 80),
        # The first thread's 50 was run while the second had not begun, its last when that was over.
        ([[(0, 50), (50, 150), (150, 190)], [(45, 185)]], 100),
        # No repetition lies inside the window in which both work: all count.
        ([[(0, 100)], [(50, 140)]], 90),
    ],
)
def test_only_repetitions_with_all_at_work_count(
    spans: list[list[tuple[int, int]]], expected: int
) -> None:
    assert fastest_overlapping_ns(spans) == expected


def fastest_in_turn(*codes: bytes) -> list[float]:
    """Return each code's least time of several turns, of which one at least is undisturbed."""
    turns = [[fastest_s(code, 1) or math.inf for code in codes] for _ in range(5)]
    return [min(times) for times in zip(*turns, strict=True)]


@pytest.mark.skipif(not X86, reason="the machine code is x86-64")
def test_an_addition_takes_one_cycle() -> None:
    """A multiplication takes three cycles on every x86-64 core of the last fifteen years.

    If additions were joined or eliminated the ratio would be larger, and the clock wrong.
    """
    add = chain_code("x86_64", links=50, iterations=20_000)
    assert add is not None
    body = b"\x48\x0f\xaf\xd1" * 50 + b"\xff\xc8"  # imul rdx, rcx; …; dec eax
    multiply = add[:64] + body + b"\x0f\x85" + struct.pack("<i", -(len(body) + 6)) + b"\xc3"
    three, one = fastest_in_turn(multiply, add)
    assert three / one == pytest.approx(3, rel=0.05)


@pytest.mark.skipif(not X86, reason="the machine code is x86-64")
def test_the_loop_itself_costs_nothing() -> None:
    short = chain_code("x86_64", links=25, iterations=80_000)
    long = chain_code("x86_64", links=200, iterations=10_000)
    assert short is not None
    assert long is not None
    times = fastest_in_turn(short, long)
    assert times[0] == pytest.approx(times[1], rel=0.05)


@pytest.mark.skipif(not X86, reason="the machine code is x86-64")
def test_the_clock_is_plausible_and_repeatable() -> None:
    clocks = [measure_clock(2) for _ in range(4)]
    assert {clock.source for clock in clocks} == {"measured"}
    hertz = sorted(clock.hz for clock in clocks if clock.hz is not None)
    assert all(0.5e9 < each < 7e9 for each in hertz)
    # The clock itself may change in between, when a neighbour on the same host begins or ends.
    assert min(high / low for low, high in pairwise(hertz)) < 1.1


def test_all_threads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: set[int] = set()

    class Recorder:
        def __init__(self, code: bytes) -> None:
            del code

        def run(self) -> None:
            ran.add(threading.get_ident())

    monkeypatch.setattr(cpu_clock, "_Executable", Recorder)
    assert fastest_s(b"", threads=3) is not None
    assert len(ran) == 3


def test_refused_memory_falls_back_to_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: bytes) -> None:
        raise OSError(13, "mprotect refused executable memory")

    frequency = namedtuple("frequency", "current min max")
    monkeypatch.setattr(cpu_clock, "_Executable", refuse)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: frequency(2000.0, 800.0, 3500.0))
    assert measure_clock() == Clock(3.5e9, "reported by the operating system, not measured")
    monkeypatch.setattr(psutil, "cpu_freq", lambda: frequency(2000.0, 0.0, 0.0))
    assert measure_clock().hz == 2e9


def test_a_thread_that_cannot_start_leaves_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def limited(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    class Idle:
        def __init__(self, code: bytes) -> None:
            del code

        def run(self) -> None:
            return

    monkeypatch.setattr(cpu_clock, "_Executable", Idle)
    monkeypatch.setattr(threading.Thread, "start", limited)
    assert fastest_s(b"", threads=2) is None
    started[0].join(timeout=5)
    assert not started[0].is_alive()


def test_an_unknown_clock_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    assert reported_clock() == Clock(None, "unknown")

    def fail() -> None:
        raise NotImplementedError

    monkeypatch.setattr(psutil, "cpu_freq", fail)
    assert reported_clock().hz is None
