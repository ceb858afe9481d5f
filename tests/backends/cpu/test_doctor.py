"""Findings on processors: measured peaks, and instructions that are listed and refused."""

from __future__ import annotations

import sys

import pytest

from backends.cpu.backend import CpuBackend
from backends.cpu.doctor import diagnose
from backends.cpu.loops import loops_of
from backends.cpu.peak import CpuPeak
from backends.cpu.rates import LoopRate, Measured
from backends.cpu.topology import CpuIdentity

FLAGS = frozenset(["avx2", "fma", "amx_tile", "amx_bf16"])
LOOPS = tuple(loops_of(CpuIdentity("x86_64", "Linux", "", 6, 1, "CPU", FLAGS)))
AMX = "AMX-BF16: bfloat16"


def test_instructions_that_the_processor_refuses_are_named() -> None:
    rates = {loop.name: LoopRate(64e9, 2e9) for loop in LOOPS if loop.name != AMX}
    peak = CpuPeak("CPU", 2, LOOPS, Measured(rates, {AMX: "the processor refuses it (SIGILL)"}))
    refused, peaks = diagnose(peak)
    assert (refused.level, refused.topic) == ("warn", "instructions")
    assert "lists AMX-BF16 (bfloat16), but the processor refuses it" in refused.text
    assert (peaks.level, peaks.topic) == ("ok", "peaks")
    assert "float32 0.128 TFLOP/s (AVX2 FMA, 32 per cycle and core at 2.00 GHz)" in peaks.text


def test_without_peaks_there_is_a_reason() -> None:
    (finding,) = diagnose(CpuPeak("CPU", 2, (), Measured({}, {}), "no machine code"))
    assert finding.level == "warn"
    assert "no machine code: rows have no utilization" in finding.text


@pytest.mark.skipif(sys.platform != "linux", reason="no loops elsewhere")
def test_this_machine_is_diagnosed() -> None:
    findings = CpuBackend().diagnose()
    assert findings[-1].topic == "peaks"
