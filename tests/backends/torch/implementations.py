"""Runs every implementation of a case on the processor, and holds it against the kernel's reference."""

from __future__ import annotations

from backends.cpu.backend import CpuBackend
from bench.backend import Device

BACKEND = CpuBackend()
DEVICE = Device(index=0, name="test", chip="test", cache_bytes=None)


def run_all(case, seed=0):
    """Return the verification of each implementation that takes the case."""
    checks = {}
    for name in BACKEND.implementations(case.name):
        # Compiling takes seconds; tests/backends/test_compiled.py has its own cases.
        if name != "compiled" and BACKEND.unsupported(case, name, DEVICE) is None:
            inputs = case.make_inputs(seed)
            prepared = BACKEND.prepare(case, name, DEVICE, inputs)
            checks[name] = case.verify(inputs, prepared.outputs(), seed)
            assert prepared.run(2) > 0
            again = case.verify(inputs, prepared.outputs(), seed)
            assert again == checks[name], "running must not change what is computed"
            prepared.close()
    return checks


def assert_all_right(case, seed=0):
    checks = run_all(case, seed)
    assert checks
    for name, check in checks.items():
        assert check.passed, (name, check)
