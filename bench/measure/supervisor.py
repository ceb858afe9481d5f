"""Plans the jobs of a run, lets the crew measure them, and hands each row on the moment it exists.

The supervisor imports no vendor's library: it cannot be taken down by what it measures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bench.backend import Device
from bench.config.cases import Case
from bench.measure.crew import Crew, Job
from bench.measure.environment import utc_now
from bench.measure.protocol import Outcome
from bench.measure.row import make_row, make_stage_rows
from bench.results.ceilings import Ceilings

Row = dict[str, object]


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
    """Goes through the jobs of a run, and sees to it that each ends as a row."""

    def __init__(
        self,
        *,
        crew: Crew,
        seed: int,
        identity: Row,
        recorder: Recorder,
        observer: Observer,
        ceilings: Mapping[int, Ceilings] | None = None,
    ) -> None:
        self._crew = crew
        self._seed = seed
        self._identity = identity
        self._recorder = recorder
        self._observer = observer
        self._ceilings = ceilings or {}
        self._lost: dict[int, str] = {}
        self.accounting = Accounting({})

    def run(
        self,
        jobs: Iterable[Job],
        done: Collection[tuple[str, int, str]] = (),
        *,
        together: bool = False,
    ) -> None:
        """Measure every job whose key is not in `done`; with `together` all devices of a case at once.

        The next job is asked for when the row of the last is recorded, and may depend on it.
        On KeyboardInterrupt the running jobs get rows with status `interrupted`, the workers are
        ended, and the exception goes on.
        """
        numbered = ((number, job) for number, job in enumerate(jobs) if job.key not in done)
        one_by_one: Iterator[list[tuple[int, Job]]] = ([each] for each in numbered)
        try:
            for batch in batches(list(numbered)) if together else one_by_one:
                self._measure(batch)
        finally:
            self._crew.close()

    def _measure(self, batch: list[tuple[int, Job]]) -> None:
        """Measure jobs at the same time, one a device, and write their rows."""
        for number, job in batch:
            self._observer.case_started(number, job)
        started_at = utc_now()
        running = [job for _, job in batch if job.device.index not in self._lost]
        progress = self._observer.progress
        try:
            if len(running) > 1:
                found = self._crew.outcomes_together(running, progress)
            else:
                seat = running[0].device.index if running and len(batch) > 1 else 0
                found = [self._crew.outcomes(job, progress, seat) for job in running]
        except KeyboardInterrupt:
            for job in running:
                self._finish(job, started_at, [Outcome("interrupted", "stopped by the user")])
            raise
        outcomes = dict(zip((job.device.index for job in running), found, strict=True))
        for _, job in batch:
            index = job.device.index
            if index in self._lost:
                outcomes[index] = [Outcome("device_lost", self._lost[index])]
            elif outcomes[index][-1].status == "device_lost":
                self._lost[index] = outcomes[index][-1].error or "device lost"
            self._finish(job, started_at, outcomes[index], len(running) or 1)

    def _finish(
        self, job: Job, started_at: str, outcomes: Sequence[Outcome], together: int = 1
    ) -> None:
        # A worker that died could not say which implementation it had chosen; another may have.
        chosen = next((o.implementation for o in outcomes if o.implementation), job.implementation)
        outcomes = [replace(o, implementation=o.implementation or chosen) for o in outcomes]
        if ceilings := self._ceilings.get(job.device.index):
            dtype = job.case.kernel.dtype
            outcomes = [replace(o, limits=ceilings.applied(o.limits, dtype)) for o in outcomes]
        row = make_row(
            job.case,
            job.device,
            outcomes,
            seed=self._seed,
            identity={**self._identity, "started_at": started_at},
            together=together,
        )
        self._recorder.record(row, outcomes)
        for part in make_stage_rows(job.case, job.device, outcomes, row, seed=self._seed):
            self._recorder.record(part, ())
        self.accounting.add(outcomes)
        self._observer.case_finished(job, row)


def batches(numbered: Sequence[tuple[int, Job]]) -> list[list[tuple[int, Job]]]:
    """Return the jobs that differ in nothing but the device, in the order of the first device."""
    found: dict[tuple[str, str], list[tuple[int, Job]]] = {}
    for number, job in numbered:
        found.setdefault((job.case.case_id, job.implementation), []).append((number, job))
    return list(found.values())
