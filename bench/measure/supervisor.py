"""Runs cases one after another in worker processes and hands each row on the moment it exists.

The supervisor imports no vendor's library: it cannot be taken down by what it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bench.backend import Device
from bench.cases import Case
from bench.config import Measurement
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.environment import utc_now
from bench.measure.protocol import Measure, Outcome
from bench.measure.row import make_row

Row = dict[str, object]


@dataclass(frozen=True)
class Job:
    """One row to be: a case on a device by an implementation (`best`: the first that can)."""

    case: Case
    device: Device
    implementation: str

    @property
    def key(self) -> tuple[str, int, str]:
        """What distinguishes this job's row from others of the run."""
        return self.case.case_id, self.device.index, self.implementation


def plan(
    cases: Sequence[Case],
    devices: Sequence[Device],
    offered: dict[str, list[str]],
    implementation: str,
) -> list[Job]:
    """Return the jobs of a run; `offered` lists each kernel's implementations, best first.

    `implementation` is `best`, `all`, or a name; a kernel that has no implementation of that name
    is measured by its best one's name and reported as unsupported by the worker.
    """
    jobs = []
    for device in devices:
        for case in cases:
            names = [implementation]
            if implementation == "all":
                names = offered.get(case.kernel.name) or ["best"]
            jobs += [Job(case, device, name) for name in names]
    return jobs


class Observer(Protocol):
    """What wants to be told how a run goes: a progress display, or nobody."""

    def case_started(self, number: int, job: Job) -> None:
        """Job number `number`, counted from zero, begins."""

    def progress(self, phase: str, values_s: list[float]) -> None:
        """The running case is in a phase, and has so many values."""

    def case_finished(self, job: Job, row: Row) -> None:
        """The row of a job is safe on disk."""


class Recorder(Protocol):
    """What keeps rows and samples."""

    def record(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        """Keep a row and the samples behind it, before this returns."""


@dataclass
class Accounting:
    """Where the time of the cases went, in seconds by phase, over all workers."""

    phases_s: dict[str, float]

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Add the phases of one case."""
        for outcome in outcomes:
            for phase, seconds in outcome.phases_s.items():
                self.phases_s[phase] = self.phases_s.get(phase, 0.0) + seconds


class Supervisor:
    """Owns the workers of a run."""

    def __init__(
        self,
        *,
        backend: str,
        measurement: Measurement,
        threads: int | None,
        identity: Row,
        recorder: Recorder,
        observer: Observer,
        first_worker: WorkerProcess | None = None,
        on_worker_output: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._backend = backend
        self._measurement = measurement
        self._threads = threads
        self._identity = identity
        self._recorder = recorder
        self._observer = observer
        self._on_worker_output = on_worker_output
        self._workers: list[WorkerProcess | None] = [None] * measurement.processes
        self._workers[0] = first_worker
        self.accounting = Accounting({})

    def run(self, jobs: Sequence[Job], done: Collection[tuple[str, int, str]] = ()) -> None:
        """Measure every job whose key is not in `done`.

        On KeyboardInterrupt the running job gets a row with status `interrupted`, the workers are
        ended, and the exception goes on.
        """
        lost: dict[int, str] = {}
        try:
            for number, job in enumerate(jobs):
                if job.key in done:
                    continue
                self._observer.case_started(number, job)
                started_at = utc_now()
                if job.device.index in lost:
                    outcomes = [Outcome("device_lost", lost[job.device.index])]
                else:
                    outcomes = self._outcomes(job, started_at)
                if outcomes[-1].status == "device_lost":
                    lost.setdefault(job.device.index, outcomes[-1].error or "device lost")
                self._finish(job, started_at, outcomes)
        finally:
            self.close()

    def _outcomes(self, job: Job, started_at: str) -> list[Outcome]:
        """Let each process measure the job in turn, up to the first that fails."""
        outcomes: list[Outcome] = []
        try:
            for index in range(len(self._workers)):
                outcomes.append(self._measure(index, job))
                if outcomes[-1].status != "ok":
                    break
        except KeyboardInterrupt:
            self._finish(job, started_at, [Outcome("interrupted", "stopped by the user")])
            raise
        return outcomes

    def _measure(self, index: int, job: Job) -> Outcome:
        worker = self._workers[index]
        if worker is None:
            worker = self._workers[index] = WorkerProcess(self._threads)
        kernel = job.case.kernel
        request = Measure(
            kernel=kernel.name,
            parameters=kernel.parameters(),
            label=job.case.label,
            backend=self._backend,
            implementation=job.implementation,
            device_index=job.device.index,
            seed=self._measurement.seed,
            precision=self._measurement.precision,
            time_budget_s=self._measurement.time_budget_s / len(self._workers),
        )
        limit_s = self._measurement.case_timeout_s
        phase = "start"

        def follow(now_in: str, values_s: list[float]) -> None:
            nonlocal phase
            phase = now_in
            self._observer.progress(now_in, values_s)

        try:
            outcome = worker.measure(request, limit_s, follow)
        except WorkerTimeout:
            text = f"no answer within the case timeout of {limit_s:g} s, during {phase}"
            return self._replace(index, Outcome("timeout", text))
        except WorkerDied as death:
            return self._replace(index, Outcome("crashed", f"{death}, during {phase}"))
        if outcome.traceback:
            self._on_worker_output(outcome.traceback)
        if outcome.status in ("error", "device_lost", "out_of_memory"):
            # What raised may have left the device's context unusable; the next case gets a new one.
            return self._replace(index, outcome)
        return outcome

    def _replace(self, index: int, outcome: Outcome) -> Outcome:
        worker, self._workers[index] = self._workers[index], None
        if worker is not None:
            self._on_worker_output(worker.output())
            worker.discard()
        return outcome

    def _finish(self, job: Job, started_at: str, outcomes: Sequence[Outcome]) -> None:
        # A worker that died could not say which implementation it had chosen; another may have.
        chosen = next((o.implementation for o in outcomes if o.implementation), job.implementation)
        outcomes = [replace(o, implementation=o.implementation or chosen) for o in outcomes]
        row = make_row(
            job.case,
            job.device,
            outcomes,
            seed=self._measurement.seed,
            identity={**self._identity, "started_at": started_at},
        )
        self._recorder.record(row, outcomes)
        self.accounting.add(outcomes)
        self._observer.case_finished(job, row)

    def close(self) -> None:
        """End every worker."""
        for worker in self._workers:
            if worker is not None:
                worker.discard()
        self._workers = [None] * len(self._workers)
