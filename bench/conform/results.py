"""Checks of outputs: of the right names and types, those of these inputs, and written by each execution."""

from __future__ import annotations

from bench.backend import HandsOver, Staged
from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Subject, enough_loops, outputs_of, prepared
from bench.measure.border import (
    checked_outputs,
    checked_prepared,
    checked_stages,
    checked_verification,
)
from bench.measure.outputs import Outputs, disagreement

# Executions after which outputs have to be as before.
MANY_EXECUTIONS = 300
REPETITIONS = 3


def attributes(subject: Subject) -> str:
    """Look at the attributes of a prepared case."""
    with subject.prepared() as ready:
        checked_prepared(ready, "prepare()")
        return f"timing {ready.timing}, flush_bytes {ready.flush_bytes}"


def right_outputs(subject: Subject) -> str:
    """Verify the outputs of the probe."""
    case, _ = subject.probe
    inputs = case.make_inputs(0)
    with subject.prepared() as ready:
        outputs = outputs_of(ready)
    check = checked_verification(case, inputs, outputs, 0, "outputs()")
    if not check.passed:
        raise Failed(f"{case.label()}: {check.explanation}")
    return f"{', '.join(sorted(outputs))}: relative error {check.rel_error:.2g}"


def repeated_outputs(subject: Subject) -> str:
    """Ask for outputs again and again."""
    with subject.prepared() as ready:
        first = outputs_of(ready)
        for _ in range(REPETITIONS):
            _expect_equal(subject, first, outputs_of(ready), "asked again")
    return f"the same {REPETITIONS + 1} times"


def outputs_after_executions(subject: Subject) -> str:
    """Ask for outputs after many executions."""
    with subject.prepared() as ready:
        first = outputs_of(ready)
        run = subject.checked_run(ready)
        run(run.whole(MANY_EXECUTIONS))
        _expect_equal(subject, first, outputs_of(ready), f"after {MANY_EXECUTIONS} executions")
    return f"the same after {MANY_EXECUTIONS} executions"


def outputs_left(subject: Subject) -> str:
    """Spoil outputs, execute, and see whether they were written again."""
    with subject.prepared() as ready:
        if not isinstance(ready, HandsOver):
            raise NotApplicable("no take_outputs(): timed executions could leave their work out")
        first = outputs_of(ready)
        ready.take_outputs()
        run = subject.checked_run(ready)
        for loops in (run.whole(1), enough_loops(run)):
            run(loops)
            left = checked_outputs(ready.take_outputs(), "take_outputs()")
            _expect_equal(subject, first, left, f"left by run({loops})")
    return "written by each run, right when it returns"


def inputs_matter(subject: Subject) -> str:
    """Prepare other inputs in between."""
    case, _ = subject.probe
    outputs = []
    for seed in (0, 1, 0):
        with subject.prepared(case, seed) as ready:
            outputs.append(outputs_of(ready))
    first, other, again = outputs
    _expect_equal(subject, first, again, "from equal inputs")
    if disagreement(first, other, case.tolerance()) is None:
        raise Failed("other inputs gave the same outputs")
    return "equal inputs give equal outputs, different inputs different ones"


def _expect_equal(subject: Subject, first: Outputs, now: Outputs, when: str) -> None:
    if wrong := disagreement(first, now, subject.probe[0].tolerance()):
        raise Failed(f"{when}: {wrong}")


def stages(subject: Subject) -> str:
    """Ask for the time of each stage of the first case that has stages."""
    seen = set()
    for kernel, implementation in subject.offered():
        if kernel in seen:
            continue
        seen.add(kernel)
        one = Subject(subject.backend, subject.device, kernel, implementation)
        try:
            case, _ = one.probe
        except NotApplicable:
            continue
        with prepared(one, case, implementation) as ready:
            if not isinstance(ready, Staged):
                continue
            times = checked_stages(ready.stages(2), "stages()")
        if times:
            return f"{kernel}: {', '.join(times)}"
    raise NotApplicable("no case has stages")


CHECKS = (
    Check(
        "prepared case",
        "Prepared",
        "timing is host, events or graph; flush_bytes an int; compile_s seconds",
        attributes,
    ),
    Check(
        "outputs",
        "Prepared.outputs",
        "the kernel's outputs by name, as numpy arrays within rounding of the reference",
        right_outputs,
    ),
    Check("outputs repeat", "Prepared.outputs", "the same outputs each time", repeated_outputs),
    Check(
        "outputs after executions",
        "Prepared.run",
        "outputs do not change with the number of executions",
        outputs_after_executions,
    ),
    Check(
        "outputs left by run",
        "HandsOver.take_outputs",
        "spoiled outputs are written again by the next run",
        outputs_left,
    ),
    Check(
        "inputs decide outputs",
        "Backend.prepare",
        "equal inputs give equal outputs, different inputs different ones",
        inputs_matter,
    ),
    Check("stages", "Staged.stages", "seconds above 0 by stage, or None", stages),
)
