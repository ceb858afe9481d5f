"""Lets the crew visit the jobs of a run in rounds, and hands each row on once it exists.

The supervisor imports no vendor's library and computes nothing of a case: it cannot be taken down by what
it measures.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bench.config.load import Measurement
from bench.measure.crew import Crew
from bench.measure.environment import utc_now
from bench.measure.jobs import Job, JobProgress, Key, by_case, order
from bench.measure.protocol import CaseWork, Measure, Outcome, VisitListener
from bench.measure.row import make_row, make_stage_rows
from bench.measure.stopping_rule import StoppingRule
from bench.results.ceilings import Ceilings
from bench.results.columns import Row


class Observer(VisitListener, Protocol):
    """What follows a run: a progress display, or nothing."""

    def round_started(self, number: int, jobs: int) -> None:
        """Round `number`, counted from one, begins; it will visit so many jobs."""

    def case_started(self, number: int, job: Job) -> None:
        """A visit to job `number`, counted from zero, begins."""

    def visit_finished(self, job: Job) -> None:
        """A visit is over; the job has more of them before it."""

    def case_finished(self, job: Job, row: Row) -> None:
        """A job has had its last visit, and this is its row."""


class Recorder(Protocol):
    """What keeps visits, rows and samples."""

    def record_visit(self, job: Job, started_at: str, outcome: Outcome) -> None:
        """Keep a visit whose job has no row yet, before this returns."""

    def record(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        """Keep a row and the samples behind it, before this returns."""


@dataclass
class Accounting:
    """Where the time of the cases went, in seconds by phase, over all workers."""

    phases_s: dict[str, float]

    def add(self, outcome: Outcome) -> None:
        """Add the phases of one visit."""
        for phase, seconds in outcome.phases_s.items():
            self.phases_s[phase] = self.phases_s.get(phase, 0.0) + seconds


class Supervisor:
    """Visits the jobs of a run in rounds, and makes sure that each ends as a row."""

    def __init__(
        self,
        *,
        crew: Crew,
        backend: str,
        measurement: Measurement,
        identity: Row,
        recorder: Recorder,
        observer: Observer,
        ceilings: Mapping[int, Ceilings] | None = None,
        stages: bool = False,
        rank_devices: Sequence[int] = (),
    ) -> None:
        self._crew = crew
        self._backend = backend
        self._measurement = measurement
        self._identity = identity
        self._recorder = recorder
        self._observer = observer
        self._ceilings = ceilings or {}
        self._stages = stages
        self._rank_devices = rank_devices
        self._lost: dict[int, str] = {}
        self._works: dict[str, CaseWork] = {}  # by case_id
        self.accounting = Accounting({})

    def run(
        self,
        jobs: Sequence[Job],
        done: Collection[Key] = (),
        earlier: Mapping[Key, tuple[str, list[Outcome]]] | None = None,
        *,
        together: bool = False,
    ) -> None:
        """Measure every job whose key is not in `done`; with `together` all devices of a case at once.

        `earlier` has the visits of an interrupted run by key, with when the first began. On
        KeyboardInterrupt the jobs that have been visited get rows with status `interrupted`, the
        workers are ended, and the exception goes on.
        """
        waiting = [
            JobProgress(number, job, *(earlier or {}).get(job.key, ("", [])))
            for number, job in enumerate(jobs)
            if job.key not in done
        ]
        for each in waiting:
            for outcome in each.visits:
                self._note_work(each.job, outcome)
        batches = by_case(waiting) if together else [[each] for each in waiting]
        try:
            number = 1 + min((len(each.visits) for each in waiting), default=0)
            in_order = [each for batch in batches for each in batch]
            for each in waiting:
                self._finish_if_enough(each, together)
            self._write_due(in_order)
            while batches := [b for b in batches if not all(each.finished for each in b)]:
                self._round(number, batches, in_order, together)
                number += 1
        except KeyboardInterrupt as stop:
            self._write_interrupted(waiting, f"stopped by {stop}")
            raise
        finally:
            self._crew.close()

    def run_in_turn(self, jobs: Iterable[Job]) -> None:
        """Measure jobs of which each may depend on the row of the one before, in one visit each."""
        try:
            for number, job in enumerate(jobs):
                each = JobProgress(number, job)
                self._observer.case_started(number, job)
                self._visit([each], together=False)
                self._finish_if_enough(each, together=False)
                self._write_due([each])
        finally:
            self._crew.close()

    def _round(
        self,
        number: int,
        batches: list[list[JobProgress]],
        in_order: list[JobProgress],
        together: bool,
    ) -> None:
        self._observer.round_started(number, sum(map(len, batches)))
        began = time.monotonic()
        for batch in order(batches, number, str(self._identity["run_id"])):
            for each in batch:
                if not each.finished:
                    self._observer.case_started(each.number, each.job)
            visited = self._visit(batch, together)
            for each in visited:
                self._finish_if_enough(each, together)
            self._write_due(in_order)
            for each in visited:
                if not each.written:
                    self._recorder.record_visit(each.job, each.started_at, each.visits[-1])
                if not each.finished:
                    self._observer.visit_finished(each.job)
        self._crew.end_round(time.monotonic() - began)

    def _visit(self, batch: list[JobProgress], together: bool) -> list[JobProgress]:
        """Visit a case on the devices of a batch at the same time; return the jobs that were due."""
        going = [each for each in batch if not each.finished]
        for each in going:
            each.started_at = each.started_at or utc_now()
        running = [each for each in going if each.job.device.index not in self._lost]
        requests = {
            (each.job.device.index if together else 0): self._request(each, len(running) > 1)
            for each in running
        }
        if running and (work := self._works.get(running[0].job.case.case_id)):
            self._observer.described(work)
        if len(running) > 1:
            outcomes = self._crew.visit_together(requests, self._observer)
        else:
            outcomes = {
                slot: self._visit_one(each.job, request, slot)
                for each, (slot, request) in zip(running, requests.items(), strict=True)
            }
        for each, outcome in zip(running, outcomes.values(), strict=True):
            self.accounting.add(outcome)
            self._note_work(each.job, outcome)
            each.visits.append(_inherited(outcome, each.visits))
        for each in going:
            index = each.job.device.index
            each.devices = len(running) or 1
            if each not in running and each.visits:
                each.stop_reason = "device_lost"  # what was measured before stands
            elif each not in running:
                each.visits.append(Outcome("device_lost", self._lost[index]))
            elif each.visits[-1].status == "device_lost":
                self._lost[index] = each.visits[-1].error or "device lost"
        return going

    def _visit_one(self, job: Job, request: Measure, slot: int) -> Outcome:
        """Visit a case on one device, or with as many ranks as it has."""
        ranks, present = job.case.kernel.group_size, len(self._rank_devices)
        if ranks == 1:
            return self._crew.visit(request, self._observer, slot)
        if ranks != present:
            error = f"the case is for {ranks} ranks, and this run has {present}"
            return Outcome("unsupported", f"{error}: give --ranks {ranks}")
        return self._crew.visit_ranks(request, self._rank_devices, self._observer)

    def _finish_if_enough(self, each: JobProgress, together: bool) -> None:
        """Decide whether a job needs no further visit; a visit that failed is always its last."""
        if not each.visits:
            return
        failed = each.visits[-1].status != "ok"
        if not failed and each.stop_reason is None:
            each.stop_reason = self._rule(each.job, together).stop_reason(each.visits)
        if failed or each.stop_reason is not None:
            self._finish(each)

    def _write_due(self, in_order: list[JobProgress]) -> None:
        """Write rows in the order of the jobs: each once all before it are finished.

        Until then the journal holds its visits.
        """
        while in_order and in_order[0].finished:
            self._write(in_order.pop(0))

    def _write_interrupted(self, waiting: list[JobProgress], error: str) -> None:
        """Write what is finished, then a row for each job that has been begun."""
        for each in waiting:
            if each.finished and not each.written:
                self._write(each)
        for each in waiting:
            if each.started_at and not each.finished:
                rounds = len(each.visits)
                plural = "s" * (rounds != 1)
                kept = (
                    f" after {rounds} round{plural}; --resume goes on with them" if rounds else ""
                )
                each.visits = [Outcome("interrupted", f"{error}{kept}")]
                self._finish(each)
                self._write(each)

    def _rule(self, job: Job, together: bool) -> StoppingRule:
        measurement = self._measurement
        budget_s = job.time_budget_s or measurement.time_budget_s
        return StoppingRule(measurement.rounds, measurement.precision, budget_s, together)

    def _request(self, each: JobProgress, together: bool) -> Measure:
        job, kernel = each.job, each.job.case.kernel
        goal: dict[str, Any] = dict(self._rule(job, together).visit_goal)
        return Measure(
            kernel=kernel.name,
            parameters=kernel.parameters(),
            label=job.case.label,
            backend=self._backend,
            implementation=each.implementation,
            device_index=job.device.index,
            seed=self._measurement.seed,
            round=len(each.visits) + 1,
            loops=each.visits[-1].loops if each.visits else None,
            verified=each.verified,
            describe=job.case.case_id not in self._works,
            together=together,
            stages=self._stages,
            **goal,
        )

    def _outcomes(self, each: JobProgress) -> list[Outcome]:
        """Return a job's visits with what is known of all of them: implementation and ceilings."""
        job, visits = each.job, each.visits
        # A worker that died could not say which implementation it had chosen; another visit may have.
        chosen = next((v.implementation for v in visits if v.implementation), job.implementation)
        outcomes = [replace(v, implementation=v.implementation or chosen) for v in visits]
        if ceilings := self._ceilings.get(job.device.index):
            dtype = job.case.kernel.dtype
            outcomes = [replace(o, limits=ceilings.applied(o.limits, dtype)) for o in outcomes]
        return outcomes

    def _finish(self, each: JobProgress) -> None:
        """Make the row of a job that needs no further visit, and show it."""
        each.row = make_row(
            each.job.case,
            each.job.device,
            self._outcomes(each),
            self._works.get(each.job.case.case_id),
            seed=self._measurement.seed,
            identity={**self._identity, "started_at": each.started_at},
            stop_reason=each.stop_reason,
            together=each.devices,
        )
        self._observer.case_finished(each.job, each.row)

    def _write(self, each: JobProgress) -> None:
        """Record a finished job's row and the rows of its stages."""
        assert each.row is not None
        job, outcomes = each.job, self._outcomes(each)
        self._recorder.record(each.row, outcomes)
        work = self._works.get(job.case.case_id)
        for stage_row in make_stage_rows(job.device, outcomes, work, each.row):
            self._recorder.record(stage_row, ())
        each.written = True

    def _note_work(self, job: Job, outcome: Outcome) -> None:
        """Keep the work of a case, which is the same on every device and by every implementation."""
        if outcome.work is not None:
            self._works[job.case.case_id] = outcome.work


def _inherited(outcome: Outcome, earlier: Sequence[Outcome]) -> Outcome:
    """Return a visit's outcome with the limits that only the first visit asks for."""
    return replace(outcome, limits=earlier[0].limits) if earlier else outcome
