"""The jobs of a run, one per row to be: how far each has come, and the order of a round."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.backend import Device
from bench.config.cases import Case
from bench.measure.protocol import Outcome, Verified
from bench.results.columns import RUN_AGAIN, Row

# Case, device and implementation: what tells the rows of a run apart.
Key = tuple[str, int, str]

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One row to be: a case on a device by an implementation (`best`: the first that can)."""

    case: Case
    device: Device
    implementation: str
    time_budget_s: float | None = None  # where it is not the run's

    @property
    def key(self) -> Key:
        """What distinguishes this job's row from others of the run."""
        return self.case.case_id, self.device.index, self.implementation


@dataclass
class JobProgress:
    """A job on its way to a row: its number, counted from zero, and its visits so far."""

    number: int
    job: Job
    started_at: str = ""
    visits: list[Outcome] = field(default_factory=list)
    stop_reason: str | None = None
    devices: int = 1  # that measured together in the last visit
    row: Row | None = None  # once the job needs no further visit
    written: bool = False

    @property
    def finished(self) -> bool:
        """Whether the job needs no further visit."""
        return self.row is not None

    @property
    def verified(self) -> Verified | None:
        """What the first visit found out about the outputs, None where there was none."""
        if not self.visits:
            return None
        first = self.visits[0]
        known = (first.fingerprint, first.rel_error, first.tolerance, first.compared)
        return None if None in known else Verified(*known)  # type: ignore[arg-type]

    @property
    def implementation(self) -> str:
        """The implementation to visit with: what `best` was in the first visit it stays."""
        return (self.visits and self.visits[0].implementation) or self.job.implementation


def plan(
    cases: Sequence[Case],
    devices: Sequence[Device],
    offered: Mapping[str, Sequence[str]],
    implementation: str,
) -> list[Job]:
    """Return the jobs of a run; `offered` lists each kernel's implementations, best first.

    `implementation` is `best`, `all`, or a name. A kernel without an implementation of that name gets
    a job all the same, which the worker answers with status `unsupported`.
    """
    jobs = []
    for device in devices:
        for case in cases:
            names: Sequence[str] = [implementation]
            if implementation == "all":
                names = offered.get(case.kernel.name) or ["best"]
            jobs += [Job(case, device, name) for name in names]
    return jobs


def finished_jobs(rows: Iterable[Row], jobs: Iterable[Job]) -> set[Key]:
    """Return the keys of the jobs that have a row already and need not run again.

    A row of any implementation is enough for a job whose implementation is `best`.
    """
    rows = [row for row in rows if row["status"] not in RUN_AGAIN]
    cases = {(row["case_id"], row["device_index"]) for row in rows}
    keys = {(row["case_id"], row["device_index"], row["implementation"]) for row in rows}
    return {
        job.key
        for job in jobs
        if job.key in keys or (job.implementation == "best" and job.key[:2] in cases)
    }


def by_case(waiting: Sequence[JobProgress]) -> list[list[JobProgress]]:
    """Group the jobs that differ only in the device, in the first device's order."""
    batches: dict[tuple[str, str], list[JobProgress]] = {}
    for each in waiting:
        batches.setdefault((each.job.case.case_id, each.job.implementation), []).append(each)
    return list(batches.values())


def order(items: Sequence[T], round_number: int, run_id: str) -> list[T]:
    """Return the order of a round: the first is the config's, each later one is shuffled.

    Neighbors in the first round would otherwise be neighbors in all, and a case would always run
    with the heat, caches and memory that the same other case leaves behind.
    """
    items = list(items)
    if round_number > 1:
        random.Random(f"{run_id}/{round_number}").shuffle(items)
    return items
