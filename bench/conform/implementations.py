"""The check that goes through every implementation: a grid of shapes in each dtype against the reference."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.backend import HandsOver
from bench.conform.cases import DTYPE_ORDER, grid
from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Stopwatch, Subject, make_case, outputs_of, prepared
from bench.errors import OutOfMemory, Unsupported
from bench.kernels.base import Kernel
from bench.measure.border import (
    WrongValue,
    checked_outputs,
    checked_prepared,
    checked_verification,
)
from bench.measure.outputs import disagreement
from bench.measure.timing import WrongTiming

SHOWN_FAULTS = 3
EXECUTIONS = 3


@dataclass
class Tally:
    """What became of the cases of a grid."""

    right: int = 0
    dtypes: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    not_reached: int = 0

    @property
    def text(self) -> str:
        """The cases in numbers."""
        dtypes = [name for name in DTYPE_ORDER if name in self.dtypes]
        text = f"{self.right} cases in {', '.join(dtypes) or 'no dtype'}"
        if self.refused:
            text += f"; {len(self.refused)} unsupported"
        if self.not_reached:
            text += f"; {self.not_reached} not reached in the time"
        return text


def agrees_with_reference(subject: Subject) -> str:
    """Verify every case of the grid that the device supports, before and after executions."""
    assert subject.kernel is not None
    assert subject.implementation is not None
    cases = [
        case
        for parameters in grid(subject.kernel)
        for dtype in DTYPE_ORDER
        if (case := make_case(subject.kernel, parameters, dtype))
    ]
    if not cases:
        raise NotApplicable(f"the checks have no shapes of {subject.kernel}")
    tally, clock = Tally(), Stopwatch(subject.budget_s)
    for case in cases:
        if clock.over and tally.right:
            tally.not_reached += 1
        else:
            _examine(subject, case, subject.implementation, tally)
    if tally.wrong:
        shown = "; ".join(tally.wrong[:SHOWN_FAULTS])
        raise Failed(f"{len(tally.wrong)} wrong, {tally.text}: {shown}")
    if not tally.right:
        raise NotApplicable(f"none of {len(cases)} cases is supported: {tally.refused[0]}")
    return tally.text


def _examine(subject: Subject, case: Kernel, implementation: str, tally: Tally) -> None:
    reason = subject.backend.unsupported(case, implementation, subject.device)
    if reason is not None:
        tally.refused.append(reason)
        return
    try:
        fault = _fault(subject, case, implementation)
    except (Unsupported, OutOfMemory) as error:
        tally.refused.append(str(error))
    except (WrongValue, WrongTiming) as error:
        tally.wrong.append(f"{case.label()}: {error}")
    except Exception as error:
        tally.wrong.append(f"{case.label()}: {type(error).__name__}: {error}"[:300])
    else:
        if fault is None:
            tally.right += 1
            tally.dtypes.add(case.dtype)
        else:
            tally.wrong.append(f"{case.label()}: {fault}")


def _fault(subject: Subject, case: Kernel, implementation: str) -> str | None:
    """Return what is wrong with the outputs of a case; None if nothing is."""
    inputs = case.make_inputs(0)
    with prepared(subject, case, implementation) as ready:
        checked_prepared(ready, "prepare()")
        outputs = outputs_of(ready)
        check = checked_verification(case, inputs, outputs, 0, "outputs()")
        if not check.passed:
            return check.explanation
        if isinstance(ready, HandsOver):
            ready.take_outputs()
        run = subject.checked_run(ready)
        run(run.whole(EXECUTIONS))
        if isinstance(ready, HandsOver):
            left = checked_outputs(ready.take_outputs(), "take_outputs()")
        else:
            left = outputs_of(ready)
    wrong = disagreement(outputs, left, check.tolerance)
    return wrong and f"after {EXECUTIONS} executions: {wrong}"


CHECKS = (
    Check(
        "agrees with the reference",
        "Prepared.outputs",
        "outputs within rounding of the float64 reference, before and after executions",
        agrees_with_reference,
        "implementation",
    ),
)
