"""Loops for tests: those of this machine, and ones that no processor should be given."""

from __future__ import annotations

import platform
import sys

import pytest

from backends.cpu import assembler_arm as arm
from backends.cpu import assembler_x86 as x86
from backends.cpu.loops import MachineLoop, loops_of
from backends.cpu.topology import cpu_topology

MACHINE = platform.machine()
LOOPS = loops_of(cpu_topology().identity) if sys.platform == "linux" else []
needs_loops = pytest.mark.skipif(not LOOPS, reason="no loops for this processor")


def loop_of(name: str, x86_body: bytes, arm_body: list[int]) -> MachineLoop:
    """Return a loop with this body, of one operation."""
    if MACHINE == "x86_64":
        return MachineLoop(name, "float32", 1, x86.function(b"", x86_body, b""))
    return MachineLoop(name, "float32", 1, arm.function([], arm_body))


def illegal() -> MachineLoop:
    """Return a loop that every processor refuses."""
    return loop_of("illegal", b"\x0f\x0b", [0])  # ud2; udf 0


def endless() -> MachineLoop:
    """Return a loop whose first iteration does not end."""
    return loop_of("endless", b"\xeb\xfe", [0x14000000])  # jmp or b to itself


def multiplications(count: int) -> MachineLoop:
    """Return a loop of dependent integer multiplications; an operation is all of them."""
    # imul rsi, rdi; mul x3, x3, x4
    return loop_of("multiplications", b"\x48\x0f\xaf\xf7" * count, [0x9B047C63] * count)


def additions(count: int) -> MachineLoop:
    """Return a loop of dependent additions beside those of the chain; an operation is all of them."""
    # add rsi, rdi; add x3, x3, x4
    return loop_of("additions", b"\x48\x01\xfe" * count, [0x8B040063] * count)
