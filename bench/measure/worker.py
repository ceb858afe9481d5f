"""The worker process: imports the backends, allocates, verifies and measures, one case at a time.

Started as `python -m bench.measure.worker REQUEST_FD ANSWER_FD PARENT_PID`. It may crash, hang or
run out of memory: whatever happens here costs one case, and the supervisor writes it down.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from bench import plugins
from bench.backend import Backend, Device, Finding, Prepared, Staged, Telemetry, TelemetrySampler
from bench.errors import BenchError, DeviceLost, OutOfMemory, Unsupported
from bench.kernels.base import Kernel
from bench.kernels.dtypes import DTYPES
from bench.measure.protocol import (
    BackendDescription,
    Measure,
    Outcome,
    decode,
    encode,
    outcome_to_json,
)
from bench.measure.sampling import Goal, Sampler, Samples

# The supervisor's display needs no more than this many messages a second.
PROGRESS_INTERVAL_S = 0.1

# So many samples of a layer's stages are enough to see where its time goes.
MOST_PROFILES = 30

Progress = Callable[[str, list[float]], None]


class Worker:
    """Serves requests until the supervisor closes its end."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._backends: dict[str, Backend] = {}
        self._sampler: Sampler | None = None
        self._told = 0.0

    def serve(self) -> None:
        """Answer every request in turn."""
        while line := self._requests.readline():
            request = decode(line)
            if request["request"] == "describe":
                answer: Any = [asdict(self.describe(name)) for name in request["backends"]]
            elif request["request"] == "diagnose":
                answer = [asdict(finding) for finding in self.diagnose(request["backend"])]
            else:
                answer = outcome_to_json(self.measure(Measure(**request["measure"])))
            self._send({"message": "done", "answer": answer})

    def describe(self, name: str) -> BackendDescription:
        """Return what a backend offers here, or why it cannot be used."""
        try:
            backend = self._backend(name)
            reason = backend.unavailable()
            if reason is not None:
                return BackendDescription(name, reason)
            return BackendDescription(
                name,
                None,
                priority=backend.priority,
                devices=tuple(backend.devices()),
                versions=backend.versions(),
                implementations={
                    kernel: backend.implementations(kernel) for kernel in plugins.kernels()
                },
            )
        except Exception as error:
            return BackendDescription(name, _sentence(error))

    def diagnose(self, name: str) -> list[Finding]:
        """Return what a backend has to tell `bench doctor`; nothing where it has no such method."""
        try:
            diagnose = getattr(self._backend(name), "diagnose", list)
        except Exception:
            return []  # its description says why
        try:
            return [replace(finding) for finding in diagnose()]
        except Exception as error:
            return [Finding("warn", "diagnosis", f"it failed: {_sentence(error)}")]

    def measure(self, request: Measure) -> Outcome:
        """Run one case from allocation to the last sample; never raises for what the case does."""
        phases: dict[str, float] = {}
        try:
            return self._measure(request, phases)
        except Unsupported as error:
            return Outcome("unsupported", _sentence(error), phases_s=phases)
        except (OutOfMemory, MemoryError) as error:
            return Outcome("out_of_memory", _sentence(error), phases_s=phases)
        except DeviceLost as error:
            return Outcome("device_lost", _sentence(error), phases_s=phases)
        except Exception as error:
            status = "out_of_memory" if _says_out_of_memory(error) else "error"
            trace = traceback.format_exc()
            return Outcome(status, _sentence(error), traceback=trace, phases_s=phases)
        finally:
            gc.collect()

    def _measure(self, request: Measure, phases: dict[str, float]) -> Outcome:
        clock = _Phases(phases)
        backend = self._backend(request.backend)
        device = _find(backend.devices(), request.device_index)
        kernel = plugins.kernels()[request.kernel](**request.parameters)
        implementation = self._choose(backend, kernel, request.implementation, device)
        limits = backend.limits(device, kernel.dtype)
        clock.done("limits")

        self._progress("allocate", [])
        _check_host_memory(kernel)
        inputs = kernel.make_inputs(request.seed)
        prepared = backend.prepare(kernel, implementation, device, inputs)
        clock.done("allocate")
        try:
            self._progress("verify", [])
            check = kernel.verify(inputs, prepared.outputs(), request.seed)
            del inputs
            clock.done("verify")
            outcome = Outcome(
                "ok",
                implementation=implementation,
                verified=check.passed,
                rel_error=check.rel_error,
                tolerance=check.tolerance,
                compared=check.compared,
                timing=prepared.timing,
                flush_bytes=prepared.flush_bytes,
                compile_s=getattr(prepared, "compile_s", None),
                limits=limits,
                phases_s=phases,
            )
            if not check.passed:
                return replace(outcome, status="wrong_result", error=_wrong_result(check))

            if self._sampler is None:
                self._sampler = Sampler()
            telemetry = _Watched(backend.telemetry(device))

            def before_values() -> None:
                if request.gated:
                    self._wait_for_the_others()
                telemetry.start()

            try:
                samples = self._sampler.sample(
                    request.label,
                    prepared.run,
                    Goal(request.precision, request.time_budget_s),
                    self._progress,
                    before_values,
                )
            finally:
                reading = telemetry.stop()
            executions = samples.loops * len(samples.run.values)
            if reading.energy_j is not None:
                reading = replace(reading, energy_j=reading.energy_j / executions)
            clock.done("sample")
            stages = _profile(prepared, samples) if request.stages else {}
            phases["calibrate"], phases["warm_up"] = samples.calibrate_s, samples.warm_up_s
            phases["sample"] = samples.sample_s
            return replace(
                outcome,
                values_s=list(samples.run.values),
                warm_ups=list(samples.run.warmups),
                metadata=dict(samples.run.get_metadata()),
                loops=samples.loops,
                stop_reason=samples.stop_reason,
                stages=stages,
                telemetry=reading,
            )
        finally:
            prepared.close()

    def _wait_for_the_others(self) -> None:
        """Tell that the device is warm, and go on when the supervisor says so."""
        self._send({"message": "ready"})
        self._requests.readline()

    def _backend(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = plugins.load_backend(name)
        return self._backends[name]

    @staticmethod
    def _choose(backend: Backend, kernel: Kernel, wanted: str, device: Device) -> str:
        """Return the implementation to use; raises Unsupported with the reasons if there is none."""
        offered = backend.implementations(kernel.name)
        if wanted != "best":
            reason = backend.unsupported(kernel, wanted, device)
            if reason is not None:
                raise Unsupported(reason)
            return wanted
        reasons: list[str] = []
        for implementation in offered:
            reason = backend.unsupported(kernel, implementation, device)
            if reason is None:
                return implementation
            reasons.append(reason)
        raise Unsupported(
            "; ".join(dict.fromkeys(reasons))
            or f"backend {backend.name} has no implementation of {kernel.name}"
        )

    def _progress(self, phase: str, values: list[float]) -> None:
        now = time.monotonic()
        if not values or now - self._told >= PROGRESS_INTERVAL_S:
            self._told = now
            self._send({"message": "progress", "phase": phase, "values": values})

    def _send(self, message: dict[str, Any]) -> None:
        self._answers.write(encode(message))
        self._answers.flush()


def _profile(prepared: Prepared, samples: Samples) -> dict[str, list[float]]:
    """Return the seconds of one execution in each stage, sample by sample; empty if unknown."""
    if not isinstance(prepared, Staged):
        return {}
    found: dict[str, list[float]] = {}
    for _ in range(min(len(samples.run.values), MOST_PROFILES)):
        for stage, seconds in (prepared.stages(samples.loops) or {}).items():
            found.setdefault(stage, []).append(seconds / samples.loops)
    return found


class _Watched:
    """A sampler of sensors that is stopped exactly if it was started, whatever a case does."""

    def __init__(self, sampler: TelemetrySampler) -> None:
        self._sampler = sampler
        self._started = False

    def start(self) -> None:
        self._started = True
        self._sampler.start()

    def stop(self) -> Telemetry:
        return self._sampler.stop() if self._started else Telemetry()


class _Phases:
    """Adds up where the time of a case goes."""

    def __init__(self, phases: dict[str, float]) -> None:
        self._phases = phases
        self._since = time.monotonic()

    def done(self, phase: str) -> None:
        now = time.monotonic()
        self._phases[phase] = now - self._since
        self._since = now


def _find(devices: list[Device], index: int) -> Device:
    """Return a device that was there when the run began; raises DeviceLost where it is not any more."""
    for device in devices:
        if device.index == index:
            return device
    raise DeviceLost(f"device {index} is not among the {len(devices)} that are left")


def _check_host_memory(kernel: Kernel) -> None:
    """Raise OutOfMemory if the inputs, made on the host in float32, would not fit."""
    needed = kernel.memory_bytes() * 32 // DTYPES[kernel.dtype].bits
    free = psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemory(
            f"inputs take {needed / 2**30:.1f} GiB on the host, {free / 2**30:.1f} GiB are free"
        )


def _wrong_result(check: Any) -> str:
    return (
        f"relative error {check.rel_error:.2g} of {check.compared}; rounding explains "
        f"{check.tolerance:.2g} at most"
    )


def _says_out_of_memory(error: BaseException) -> bool:
    """Tell an allocator's failure from others; torch raises RuntimeError for it on the host."""
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "allocate memory" in text


def _sentence(error: BaseException) -> str:
    """Return an error as one line; the type's name is left out where the text was made for users."""
    text = " ".join(str(error).split())
    if isinstance(error, (BenchError, Unsupported, OutOfMemory, DeviceLost)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its supervisor dies, even if it hangs by then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent_pid:
        os._exit(1)
    # When memory runs out, the worker is to be chosen, not the supervisor that writes the rows.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> None:
    """Serve the supervisor that started this process."""
    request_fd, answer_fd, parent_pid = map(int, sys.argv[1:4])
    faulthandler.enable()
    _die_with_parent(parent_pid)
    with os.fdopen(request_fd, "rb") as requests, os.fdopen(answer_fd, "wb") as answers:
        Worker(requests, answers).serve()
    # Straight out: a library's clean-up at exit must not hang or crash a run that is done.
    os._exit(0)


if __name__ == "__main__":
    main()
