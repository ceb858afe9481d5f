"""One visit to a case in a worker: allocate, verify, sample, and check what the samples left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from bench.backend import (
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
from bench.measure.border import (
    WrongValue,
    checked,
    checked_outputs,
    checked_prepared,
    checked_stages,
)
from bench.measure.case_work import describe_case, host_bytes, memory_shortage
from bench.measure.outputs import Outputs, SeenOutputs, disagreement, fingerprint
from bench.measure.protocol import CaseWork, Measure, Outcome
from bench.measure.sampling import MIN_SAMPLE_S, Goal, Progress, Sampler, Samples
from bench.measure.timing import LATE_S, CheckedRun, WrongTiming, check_finished

# This many samples of a layer's stages show where its time goes.
MOST_PROFILES = 30


@dataclass
class Visit:
    """A visit, with what it needs of its worker."""

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
        implementation = self._choose(device)
        if shortage := shortage or memory_shortage(host_bytes(kernel)):
            raise OutOfMemory(shortage)
        # Peaks and bandwidths hold for the whole run: the first visit asks for them.
        limits = None
        if request.verified is None:
            reported = self.backend.limits(device, kernel.dtype)
            limits = checked(reported, Limits, f"limits() of backend {request.backend}")
        clock.done("limits")

        self.progress("allocate", [])
        inputs = kernel.make_inputs(request.seed)
        prepared = self.backend.prepare(kernel, implementation, device, inputs)
        clock.done("allocate")
        try:
            checked_prepared(prepared, f"prepare() of backend {request.backend}")
            outcome = self._measure(inputs, prepared, device, clock)
        except BaseException:
            # The first error is the one to report; a broken device may not even release memory.
            with suppress(Exception):
                prepared.close()
            raise
        prepared.close()
        launch_s = getattr(prepared, "launch_s", None)
        if limits is not None and launch_s is not None:
            limits = replace(limits, launch_s=launch_s)
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
        run = CheckedRun(
            prepared.run,
            prepared.timing,
            simulated=device.simulated,
            multiple=getattr(prepared, "multiple", 1),
        )
        try:
            samples, reading = self._sample(run, prepared, device)
            host_bound = getattr(prepared, "host_bound", None)
            clock.done("sample")
            reference_s = self._reference_s(device)
            left, remark = self._check(prepared, verified, bits, check.tolerance, samples)
        except WrongTiming as wrong:
            error = f"backend {request.backend}: {wrong}"
            return replace(outcome, status="wrong_timing", error=error)
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
            host_bound=host_bound,
            stages=stages,
            telemetry=reading,
            remarks=[text for text in (run.remark(), remark) if text],
            reference_s=reference_s,
        )

    def _choose(self, device: Device) -> str:
        """Return the implementation to use; raises Unsupported with the reasons if there is none."""
        wanted, kernel, backend = self.request.implementation, self.kernel, self.backend
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

    def _verify(
        self, inputs: Mapping[str, Operand], prepared: Prepared
    ) -> tuple[Verification, Outputs, str]:
        """Return the verification, the outputs that it is of, and their fingerprint.

        Outputs whose every bit is that of an earlier visit's need no reference.
        """
        outputs = checked_outputs(prepared.outputs(), self._what("outputs"))
        bits = fingerprint(outputs)
        earlier = self.request.verified
        if earlier is not None and bits == earlier.fingerprint:
            check = Verification(
                earlier.rel_error, earlier.tolerance, passed=True, compared=earlier.compared
            )
        else:
            check = self._compare(inputs, outputs)
        if isinstance(prepared, HandsOver):
            prepared.take_outputs()  # spoils them: what is there after timing, timing has written
        return check, outputs, bits

    def _compare(self, inputs: Mapping[str, Operand], outputs: Outputs) -> Verification:
        """Compare with the reference. Raises WrongValue where outputs are missing, or are too many."""
        seen, names = SeenOutputs(outputs), ", ".join(sorted(outputs)) or "none"
        try:
            check = self.kernel.verify(inputs, seen, self.request.seed)
        except KeyError as missing:
            raise WrongValue(
                f"{self._what('outputs')} returned {names}; {self.kernel.name} also has {missing}"
            ) from None
        if check.passed and seen.unseen:
            raise WrongValue(
                f"{self._what('outputs')} returned {names}; {self.kernel.name} has no "
                f"{', '.join(seen.unseen)}"
            )
        return check

    def _what(self, method: str) -> str:
        """Name a method of the prepared case, for messages."""
        return f"{method}() of backend {self.request.backend}"

    def _sample(
        self, run: CheckedRun, prepared: Prepared, device: Device
    ) -> tuple[Samples, Telemetry]:
        """Return the samples, and the sensor readings taken meanwhile. Raises WrongTiming."""
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
            return None  # a diagnostic only: what is wrong with the device shows in the case itself

    def _check(
        self, prepared: Prepared, verified: Outputs, bits: str, tolerance: float, samples: Samples
    ) -> tuple[str | None, str | None]:
        """Return what is wrong with the outputs that timed executions left, and a remark on them.

        Raises WrongTiming where the work was still under way when `run` returned.
        """
        began = time.perf_counter()
        left = self._outputs_left(prepared)
        took_s = time.perf_counter() - began
        last_s = samples.run.values[-1] * samples.loops
        # After a short sample the rest of the work may be done by the time that outputs are asked for.
        short = self.request.verified is None and last_s <= 2 * MIN_SAMPLE_S
        if short or took_s > LATE_S + last_s / 2:
            check_finished(prepared, samples.loops, last_s)
        if fingerprint(left) == bits:
            return None, None
        wrong = disagreement(verified, left, tolerance)
        if wrong is not None:
            return f"right before timing, wrong after it: {wrong}", None
        return None, "not reproducible bit by bit: outputs vary within rounding"

    def _outputs_left(self, prepared: Prepared) -> Outputs:
        """Return what the last timed execution left, or where that is lost what one more leaves."""
        if isinstance(prepared, HandsOver):
            return checked_outputs(prepared.take_outputs(), self._what("take_outputs"))
        return checked_outputs(prepared.outputs(), self._what("outputs"))

    def _profile(self, prepared: Prepared, samples: Samples) -> dict[str, list[float]]:
        """Return the seconds of one execution in each stage, sample by sample; empty if unknown."""
        if not isinstance(prepared, Staged):
            return {}
        seconds: dict[str, list[float]] = {}
        for _ in range(min(len(samples.run.values), MOST_PROFILES)):
            stages = checked_stages(prepared.stages(samples.loops), self._what("stages"))
            for stage, spent_s in stages.items():
                seconds.setdefault(stage, []).append(spent_s / samples.loops)
        return seconds


class _Watched:
    """A sampler of sensors that is stopped if and only if it was started, whatever the case does."""

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


def find_device(devices: list[Device], index: int) -> Device:
    """Return a device that was there when the run began; raises DeviceLost where it is gone."""
    for device in devices:
        if device.index == index:
            return device
    raise DeviceLost(f"device {index} is not among the {len(devices)} that are left")
