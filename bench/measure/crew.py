"""The workers of a run: which process measures what, and what becomes of one that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from bench.backend import Device
from bench.config.cases import Case
from bench.config.load import Measurement
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.gate import Gate
from bench.measure.protocol import Measure, Outcome

# Devices that measure together go on to the end of the time budget.
NEVER_PRECISE_ENOUGH = 0.0

Progress = Callable[[str, list[float]], None]


@dataclass(frozen=True)
class Job:
    """One row to be: a case on a device by an implementation (`best`: the first that can)."""

    case: Case
    device: Device
    implementation: str
    time_budget_s: float | None = None  # where it is not the run's

    @property
    def key(self) -> tuple[str, int, str]:
        """What distinguishes this job's row from others of the run."""
        return self.case.case_id, self.device.index, self.implementation


class Crew:
    """Owns the workers: as many as `processes` for the devices in turn, or for each of them."""

    def __init__(
        self,
        backend: str,
        measurement: Measurement,
        threads: int | None,
        first_worker: WorkerProcess | None = None,
        on_worker_output: Callable[[str], None] = lambda text: None,
        *,
        stages: bool = False,
    ) -> None:
        self._backend = backend
        self._measurement = measurement
        self._threads = threads
        self._on_worker_output = on_worker_output
        self._stages = stages
        self._first = first_worker
        self._workers: dict[tuple[int, int], WorkerProcess] = {}
        self._lock = threading.Lock()
        self._killed = False

    def outcomes(self, job: Job, progress: Progress, seat: int = 0) -> list[Outcome]:
        """Let each process of a seat measure the job in turn, up to the first that fails."""
        self._fill(seat)
        return self._in_turn(job, progress, seat, None)

    def outcomes_together(self, jobs: Sequence[Job], progress: Progress) -> list[list[Outcome]]:
        """Let each job's device measure at the same time, each by workers of its own.

        The samples of all begin together, and each goes on for its whole time budget, so that no
        device finishes early and leaves the others in a cooler machine. On KeyboardInterrupt the
        workers are ended, and the exception goes on.
        """
        gate = Gate(len(jobs))

        def measure(job: Job) -> list[Outcome]:
            try:
                return self._in_turn(job, progress, job.device.index, gate)
            finally:
                gate.leave()

        for job in jobs:
            self._fill(job.device.index)
        measured: list[Future[list[Outcome]]] = []
        with ThreadPoolExecutor(len(jobs)) as pool:
            try:
                for job in jobs:
                    measured.append(pool.submit(measure, job))
                wait(measured)
            except KeyboardInterrupt:
                self.kill()
                for _ in jobs[len(measured) :]:
                    gate.leave()
                wait(measured)
                raise
        return [each.result() for each in measured]

    def _in_turn(self, job: Job, progress: Progress, seat: int, gate: Gate | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for process in range(self._measurement.processes):
            outcomes.append(self._measure((seat, process), job, progress, gate))
            if outcomes[-1].status != "ok":
                break
        return outcomes

    def _measure(
        self, place: tuple[int, int], job: Job, progress: Progress, gate: Gate | None
    ) -> Outcome:
        kernel = job.case.kernel
        request = Measure(
            kernel=kernel.name,
            parameters=kernel.parameters(),
            label=job.case.label,
            backend=self._backend,
            implementation=job.implementation,
            device_index=job.device.index,
            seed=self._measurement.seed,
            precision=self._measurement.precision if gate is None else NEVER_PRECISE_ENOUGH,
            time_budget_s=(job.time_budget_s or self._measurement.time_budget_s)
            / self._measurement.processes,
            gated=gate is not None,
            stages=self._stages,
        )
        limit_s = self._measurement.case_timeout_s
        phase = "start"

        def follow(now_in: str, values_s: list[float]) -> None:
            nonlocal phase
            phase = now_in
            progress(now_in, values_s)

        try:
            outcome = self._workers[place].measure(
                request, limit_s, follow, gate.pass_through if gate else None
            )
        except WorkerTimeout:
            text = f"no answer within the case timeout of {limit_s:g} s, during {phase}"
            return self._replace(place, Outcome("timeout", text))
        except WorkerDied as death:
            return self._replace(place, Outcome("crashed", f"{death}, during {phase}"))
        if outcome.traceback:
            self._on_worker_output(outcome.traceback)
        if outcome.status in ("error", "device_lost", "out_of_memory"):
            # What raised may have left the device's context unusable; the next case gets a new one.
            return self._replace(place, outcome)
        return outcome

    def _fill(self, seat: int) -> None:
        """Start the workers that a seat lacks.

        In the main thread: Linux ends a worker when the thread that started it ends, for it is told
        to die with its parent.
        """
        for process in range(self._measurement.processes):
            if (seat, process) not in self._workers:
                self._workers[seat, process] = self._first or WorkerProcess(self._threads)
                self._first = None

    def _replace(self, place: tuple[int, int], outcome: Outcome) -> Outcome:
        with self._lock:
            if self._killed:
                return replace(outcome, status="interrupted", error="stopped by the user")
            worker = self._workers.pop(place)
        self._on_worker_output(worker.output())
        worker.discard()
        return outcome

    def kill(self) -> None:
        """End every worker, also those that other threads are waiting for."""
        with self._lock:
            self._killed = True
            for worker in self._workers.values():
                worker.kill()

    def close(self) -> None:
        """End every worker and forget them; no thread may be waiting for one any more."""
        self.kill()
        for worker in [*self._workers.values(), *([self._first] if self._first else [])]:
            worker.discard()
        self._workers, self._first = {}, None
