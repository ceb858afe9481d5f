"""One visit to a case in a worker: allocate, verify, sample, and check what the samples left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.backend import (
    TIMINGS,
    Backend,
    Device,
    HandsOver,
    HasReference,
    Limits,
    Prepared,
    Staged,
    Telemetry,
    TelemetrySampler,
)
from bench.errors import DeviceLost, OutOfMemory, Unsupported
from bench.kernels.base import Kernel, Operand
from bench.kernels.verification import Verification
from bench.measure.border import checked
from bench.measure.case_work import describe_case, host_bytes, memory_shortage
from bench.measure.outputs import Outputs, disagreement, fingerprint
from bench.measure.protocol import ALLOCATE, CaseWork, Measure, Outcome
from bench.measure.ranks import RankTimes, group_backend
from bench.measure.sampling import Goal, Progress, Sampler, Samples
from bench.measure.timing import CheckedRun, WrongTiming

# So many samples of a layer's stages are enough to see where its time goes.
MOST_PROFILES = 30

# Outputs that come later than an idle device's by this much, and by half of a sample, are suspicious.
LATE_S = 0.02
LATE_ATTEMPTS = 3


@dataclass
class Visit:
    """What a visit needs of the worker that it runs in."""

    request: Measure
    backend: Backend
    kernel: Kernel
    sampler: Sampler
    progress: Progress
    send_work: Callable[[CaseWork], None]
    wait_for_others: Callable[[], None]  # until every device that measures together is warm

    def run(self, phases: dict[str, float]) -> Outcome:
        """Return how the visit ended; adds to `phases` where its time went.

        Raises Unsupported, OutOfMemory, DeviceLost, or whatever the backend raises.
        """
        clock = _Phases(phases)
        request, kernel = self.request, self.kernel
        device = find_device(self.backend.devices(), request.device_index)
        shortage = memory_shortage(kernel.routing_bytes())
        self.progress("describe", [])
        if request.describe and shortage is None:
            self.send_work(describe_case(kernel, request.seed))
        implementation = choose(self.backend, kernel, request.implementation, device)
        if shortage := shortage or memory_shortage(host_bytes(kernel)):
            raise OutOfMemory(shortage)
        # Peaks and bandwidths hold for the whole run: the first visit asks for them.
        limits = None
        # Those of one device say nothing about links between several.
        if request.verified is None and request.place is None:
            reported = self.backend.limits(device, kernel.dtype)
            limits = checked(reported, Limits, f"limits() of backend {request.backend}")
        clock.done("limits")

        self.progress(ALLOCATE, [])
        inputs = kernel.make_inputs(request.seed)
        if request.place is None:
            prepared = self.backend.prepare(kernel, implementation, device, inputs)
        else:
            prepared = group_backend(self.backend).lead(
                kernel, implementation, device, request.place, request.seed
            )
        clock.done("allocate")
        try:
            outcome = self._measure(inputs, prepared, device, clock)
        except BaseException:
            # What went wrong first is what counts; a broken device may not even release memory.
            with suppress(Exception):
                prepared.close()
            raise
        prepared.close()
        return replace(
            outcome,
            implementation=implementation,
            flush_bytes=prepared.flush_bytes,
            compile_s=getattr(prepared, "compile_s", None),
            phases_s=phases,
            limits=limits or outcome.limits,
        )

    def _measure(
        self,
        inputs: Mapping[str, Operand],
        prepared: Prepared,
        device: Device,
        clock: _Phases,
    ) -> Outcome:
        """Verify an allocated case, sample it, and check what the samples left behind."""
        request, phases = self.request, clock.phases
        self.progress("verify", [])
        check, verified, bits = self._verify(inputs, prepared)
        del inputs
        clock.done("verify")
        outcome = Outcome(
            "ok",
            verified=check.passed,
            rel_error=check.rel_error,
            tolerance=check.tolerance,
            compared=check.compared,
            fingerprint=bits,
            timing=prepared.timing,
        )
        if not check.passed:
            return replace(outcome, status="wrong_result", error=check.explanation)
        if prepared.timing not in TIMINGS:
            known = ", ".join(TIMINGS)
            error = f"timing is {prepared.timing!r:.40}; expected one of {known}"
            return replace(outcome, status="wrong_timing", error=error)
        ranks = RankTimes(prepared)
        run = CheckedRun(
            ranks.run,
            prepared.timing,
            simulated=device.simulated,
            meets=request.place is not None,
        )
        try:
            samples, reading = self._sample(run, prepared, device)
            clock.done("sample")
            reference_s = self._reference_s(device)
            left, remark = self._check(prepared, verified, bits, check.tolerance, samples)
        except WrongTiming as wrong:
            return replace(outcome, status="wrong_timing", error=str(wrong))
        clock.done("check")
        if left is not None:
            return replace(outcome, status="wrong_result", verified=False, error=left)
        stages = self._profile(prepared, samples) if request.stages else {}
        phases["calibrate"], phases["warm_up"] = samples.calibrate_s, samples.warm_up_s
        phases["sample"] = samples.sample_s
        return replace(
            outcome,
            values_s=list(samples.run.values),
            warm_ups=list(samples.run.warmups),
            metadata={**samples.run.get_metadata(), "round": request.round},
            loops=samples.loops,
            stop_reason=samples.stop_reason,
            stages=stages,
            ranks_s=ranks.medians_s(len(samples.run.values), samples.loops),
            telemetry=reading,
            remarks=[text for text in (run.remark(), remark) if text],
            reference_s=reference_s,
        )

    def _verify(
        self, inputs: Mapping[str, Operand], prepared: Prepared
    ) -> tuple[Verification, Outputs, str]:
        """Return the verification, the outputs that it is of, and their fingerprint.

        Outputs whose every bit is that of an earlier visit's need no reference.
        """
        outputs = _copied(prepared.outputs())
        bits = fingerprint(outputs)
        earlier = self.request.verified
        if earlier is not None and bits == earlier.fingerprint:
            check = Verification(
                earlier.rel_error, earlier.tolerance, passed=True, compared=earlier.compared
            )
        else:
            check = self.kernel.verify(inputs, outputs, self.request.seed)
        if isinstance(prepared, HandsOver):
            prepared.take_outputs()  # spoils them: what is there after timing, timing has written
        return check, outputs, bits

    def _sample(
        self, run: CheckedRun, prepared: Prepared, device: Device
    ) -> tuple[Samples, Telemetry]:
        """Return the samples, and what the sensors said meanwhile. Raises WrongTiming."""
        request = self.request
        telemetry = _Watched(self.backend.telemetry(device))

        def before_values() -> None:
            if request.together:
                self.wait_for_others()
            telemetry.start()

        try:
            samples = self.sampler.sample(
                request.label,
                run,
                Goal(
                    request.time_budget_s, request.samples, request.precision, request.least_samples
                ),
                self.progress,
                before_values,
                request.loops,
            )
        finally:
            reading = telemetry.stop()
        executions = samples.loops * len(samples.run.values)
        if reading.energy_j is not None:
            reading = replace(reading, energy_j=reading.energy_j / executions)
        return samples, reading

    def _reference_s(self, device: Device) -> float | None:
        if not isinstance(self.backend, HasReference):
            return None
        try:
            return float(self.backend.reference_seconds(device))
        except Exception:
            return None  # it only explains; what is wrong with the device, the case itself will say

    def _check(
        self, prepared: Prepared, verified: Outputs, bits: str, tolerance: float, samples: Samples
    ) -> tuple[str | None, str | None]:
        """Return what is wrong with the outputs that timed executions left, and a remark on them.

        Raises WrongTiming where the work was still under way when `run` returned.
        """
        began = time.perf_counter()
        left = _outputs_left(prepared)
        took_s = time.perf_counter() - began
        last_s = samples.run.values[-1] * samples.loops
        # Outputs of a group are checked on every rank before they are here, which takes its time.
        if took_s > LATE_S + last_s / 2 and self.request.place is None:
            _check_finished(prepared, samples.loops, last_s)
        if fingerprint(left) == bits:
            return None, None
        wrong = disagreement(verified, left, tolerance)
        if wrong is not None:
            return f"right before timing, wrong after it: {wrong}", None
        return None, "not reproducible bit by bit: outputs vary within rounding"

    def _profile(self, prepared: Prepared, samples: Samples) -> dict[str, list[float]]:
        """Return the seconds of one execution in each stage, sample by sample; empty if unknown."""
        if not isinstance(prepared, Staged):
            return {}
        seconds: dict[str, list[float]] = {}
        for _ in range(min(len(samples.run.values), MOST_PROFILES)):
            for stage, spent_s in (prepared.stages(samples.loops) or {}).items():
                seconds.setdefault(stage, []).append(spent_s / samples.loops)
        return seconds


def _outputs_left(prepared: Prepared) -> Outputs:
    if isinstance(prepared, HandsOver):
        return _copied(prepared.take_outputs())
    return _copied(prepared.outputs())


def _check_finished(prepared: Prepared, loops: int, sample_s: float) -> None:
    """Raise WrongTiming where outputs take longer after a sample than on an idle device.

    A device that works in order hands its outputs over when all that was asked before is done. So
    work that goes on after `run` has returned shows as a wait.
    """
    after, idle = [], []
    for _ in range(LATE_ATTEMPTS):
        prepared.run(loops)
        after.append(_seconds_to_output(prepared))
        idle.append(_seconds_to_output(prepared))
    late_s = min(after) - min(idle)
    if late_s > LATE_S / 2 + sample_s / 2:
        raise WrongTiming(
            f"run returned {sample_s:.3g} s before the work was done: outputs came after "
            f"{min(after):.3g} s, on an idle device after {min(idle):.3g} s"
        )


def _seconds_to_output(prepared: Prepared) -> float:
    began = time.perf_counter()
    prepared.outputs()
    return time.perf_counter() - began


def _copied(outputs: Mapping[str, Any]) -> Outputs:
    """Return outputs in memory of their own: a backend may hand over its buffers themselves."""
    return {name: np.array(array) for name, array in outputs.items()}


class _Watched:
    """A sampler of sensors that is stopped exactly if it was started, whatever a case does."""

    def __init__(self, sampler: TelemetrySampler) -> None:
        self._sampler = sampler
        self._started = False

    def start(self) -> None:
        self._started = True
        self._sampler.start()

    def stop(self) -> Telemetry:
        if not self._started:
            return Telemetry()
        return checked(self._sampler.stop(), Telemetry, "the backend's sensors: stop()")


class _Phases:
    """Adds up where the time of a case goes."""

    def __init__(self, phases: dict[str, float]) -> None:
        self.phases = phases
        self._since = time.monotonic()

    def done(self, phase: str) -> None:
        now = time.monotonic()
        self.phases[phase] = now - self._since
        self._since = now


def choose(backend: Backend, kernel: Kernel, wanted: str, device: Device) -> str:
    """Return the implementation to use; raises Unsupported with the reasons if there is none."""
    if wanted != "best":
        reason = backend.unsupported(kernel, wanted, device)
        if reason is not None:
            raise Unsupported(reason)
        return wanted
    reasons: list[str] = []
    for implementation in backend.implementations(kernel.name):
        reason = backend.unsupported(kernel, implementation, device)
        if reason is None:
            return implementation
        reasons.append(reason)
    raise Unsupported(
        "; ".join(dict.fromkeys(reasons))
        or f"backend {backend.name} has no implementation of {kernel.name}"
    )


def find_device(devices: list[Device], index: int) -> Device:
    """Return a device that was there when the run began; raises DeviceLost where it is gone."""
    for device in devices:
        if device.index == index:
            return device
    raise DeviceLost(f"device {index} is not among the {len(devices)} that are left")
