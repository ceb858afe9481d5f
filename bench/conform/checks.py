"""All checks, in the order in which they run."""

from __future__ import annotations

from bench.conform import (
    contract,
    faults,
    implementations,
    results,
    sensors,
    timing,
    verifier_power,
)

CHECKS = (
    *contract.CHECKS,
    *results.CHECKS,
    *timing.CHECKS,
    *sensors.CHECKS,
    *faults.CHECKS,
    *verifier_power.CHECKS,
    *implementations.CHECKS,
)
BY_NAME = {check.name: check for check in CHECKS}
assert len(BY_NAME) == len(CHECKS)
