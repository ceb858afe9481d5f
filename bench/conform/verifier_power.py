"""Checks of the verifier itself: it must see faults in outputs that this device has computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conform.check import Check
from bench.conform.outcomes import Failed
from bench.conform.subject import Subject, outputs_of
from bench.kernels.base import Kernel, Operand
from bench.measure.border import checked_verification
from bench.measure.outputs import Outputs


def sees_faults(subject: Subject) -> str:
    """Put faults into the outputs of one case of the kernel, one at a time, and verify each."""
    case, implementation = subject.choose()
    inputs = case.make_inputs(0)
    outputs = _outputs(subject, case, implementation, inputs)
    right = checked_verification(case, inputs, outputs, 0, "outputs()")
    if not right.passed:
        raise Failed(f"{case.label()}, {implementation}: {right.explanation}")
    faults: dict[str, Outputs] = {
        f"one wrong element of {name}": {**outputs, name: _one_wrong(array)}
        for name, array in outputs.items()
    }
    stale = case.make_inputs(1)
    faults["stale outputs"] = _outputs(subject, case, implementation, stale, seed=1)
    if swapped := _two_experts_swapped(inputs):
        faults["two experts swapped"] = _outputs(subject, case, implementation, swapped)
    for fault, wrong in faults.items():
        if case.verify(inputs, wrong, 0).passed:
            raise Failed(f"{case.label()}: not seen: {fault}")
    return f"seen: {', '.join(faults)}"


def _outputs(
    subject: Subject,
    case: Kernel,
    implementation: str,
    inputs: Mapping[str, Operand],
    seed: int = 0,
) -> Outputs:
    ready = subject.backend.prepare(case, implementation, subject.device, inputs)
    try:
        return outputs_of(ready)
    finally:
        ready.close()


def _one_wrong(array: NDArray[Any]) -> NDArray[Any]:
    """Change one element in the middle by what is typical of all; an integer by one."""
    wrong: NDArray[Any] = array.copy()
    place = tuple(size // 2 for size in array.shape)
    if array.dtype.kind == "f":
        wrong[place] += np.sqrt(np.square(array.astype(np.float64)).mean()) or 1
    else:
        wrong[place] += 1
    return wrong


def _two_experts_swapped(inputs: Mapping[str, Operand]) -> dict[str, Operand] | None:
    """Exchange the matrices of the first two experts; None where there are no experts."""
    names = ("up", "gate", "down") if "up" in inputs else ("b",) if "ends" in inputs else ()
    changed = dict(inputs)
    for name in (one for base in names for one in (base, f"{base}_scale") if one in inputs):
        array = inputs[name].array.copy()
        array[[0, 1]] = array[[1, 0]]
        changed[name] = Operand(array, inputs[name].dtype)
    return changed if names else None


CHECKS = (
    Check(
        "verifier sees faults",
        "Kernel.verify",
        "wrong elements, stale outputs and swapped experts do not pass",
        sees_faults,
        "kernel",
    ),
)
