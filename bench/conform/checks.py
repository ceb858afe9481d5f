"""All checks, in the order in which they run."""

from __future__ import annotations

from bench.conform import contract, faults, implementations, power, results, sensors, timing

CHECKS = (
    *contract.CHECKS,
    *results.CHECKS,
    *timing.CHECKS,
    *sensors.CHECKS,
    *faults.CHECKS,
    *power.CHECKS,
    *implementations.CHECKS,
)
BY_NAME = {check.name: check for check in CHECKS}
assert len(BY_NAME) == len(CHECKS)
