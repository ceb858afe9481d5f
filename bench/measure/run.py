"""One run from jobs to files: opens the result file, runs the supervisor, keeps its rows and samples."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

import pyperf

from bench.config.load import Config, Measurement
from bench.errors import BenchError, UsageError
from bench.measure.client import WorkerProcess
from bench.measure.crew import Crew
from bench.measure.environment import identity, new_run_id
from bench.measure.jobs import Job, Key, finished_jobs
from bench.measure.protocol import (
    BackendDescription,
    Outcome,
    outcome_from_json,
    outcome_to_json,
)
from bench.measure.supervisor import Accounting, Observer, Supervisor
from bench.results.ceilings import Ceilings
from bench.results.columns import RUN_AGAIN, SCHEMA_VERSION, Row
from bench.results.journal import Journal, journal_path
from bench.results.samples import SamplesFile, samples_path
from bench.results.writer import ResultFile, check_same_run

# Columns that must match for rows to share a file.
SAME_RUN = ("config_sha256", "seed", "backend", "chip", "threads")


@dataclass(frozen=True)
class Request:
    """What the user asked for, after the config was read and the devices were found."""

    config: Config
    measurement: Measurement
    description: BackendDescription
    jobs: Sequence[Job]
    threads: int | None
    path: Path
    together: bool = False
    resume: bool = False
    force: bool = False
    stages: bool = False
    ceilings: Mapping[int, Ceilings] = field(default_factory=dict)
    rank_devices: Sequence[int] = ()  # the device of each rank of --ranks


class Recording:
    """A result file, and beside it the samples behind its rows and the visits that have no row yet."""

    def __init__(self, request: Request, columns: Row) -> None:
        self._labels = {job.case.case_id: job.case.label for job in request.jobs}
        self._several = len({job.device.index for job in request.jobs}) > 1
        self.interrupted = False
        self._named = any(job.implementation != "best" for job in request.jobs)
        if request.resume:
            self.file = ResultFile.resume(request.path)
            try:
                check_same_run(self.file.rows, columns)
            except BenchError:
                self.file.close()
                raise
        else:
            self.file = ResultFile.create(request.path, force=request.force)
        try:
            resume, force = request.resume, request.force
            self.samples = SamplesFile(samples_path(request.path), keep=resume, force=force)
            self.journal = Journal(journal_path(request.path), columns, keep=resume)
            self._restore_samples()
        except BaseException:
            self.file.abandon()
            raise

    def record_visit(self, job: Job, started_at: str, outcome: Outcome) -> None:
        """Keep a visit on disk until its job has a row."""
        entry = {
            "job": list(job.key),
            "started_at": started_at,
            "outcome": outcome_to_json(outcome),
        }
        self.journal.append(entry)

    def visits(self) -> dict[Key, tuple[str, list[Outcome]]]:
        """Return the visits that the journal has kept, by job, and when the first of each began.

        What was interrupted or lost its device is visited again.
        """
        kept: dict[Key, tuple[str, list[Outcome]]] = {}
        for number, entry in enumerate(self.journal.entries, 2):
            try:
                outcome = outcome_from_json(entry["outcome"])
                case_id, device, implementation = entry["job"]
                started_at = str(entry["started_at"])
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{self.journal.path}: line {number} is not a visit of this version of bench "
                    f"({error!r}); remove the file to measure again the cases that have no row"
                ) from None
            if outcome.status in RUN_AGAIN:
                continue
            _, outcomes = kept.setdefault((case_id, device, implementation), (started_at, []))
            outcomes.append(outcome)
        return kept

    def _restore_samples(self) -> None:
        """Take the samples of finished rows from the journal where they are not in their file.

        A run that was killed, or had no room on the disk, may have written a row and not its samples.
        """
        visits = self.visits()
        missing = 0
        for row in self.file.rows:
            if row["status"] != "ok" or row["stage"] is not None or self.samples.has(row):
                continue
            case_id, device = str(row["case_id"]), int(str(row["device_index"]))
            for implementation in (str(row["implementation"]), "best"):
                _, outcomes = visits.get((case_id, device, implementation), ("", []))
                if outcomes and case_id in self._labels:
                    self._add_samples(row, outcomes)
                    break
            else:
                missing += 1
        if missing:
            rows = "1 row is" if missing == 1 else f"{missing} rows are"
            self.file.notes.append(
                f"{self.samples.path}: the samples behind {rows} missing; the rows themselves are "
                "complete"
            )

    def record(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        """Keep a row on disk; then the samples, if there are any."""
        self.samples.begin()
        self.file.append(row)
        if row["status"] == "ok" and outcomes:
            self._add_samples(row, outcomes)
            self._write_samples(due_only=True)

    def _add_samples(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        name = self._name(row)
        self.samples.add(name, [pyperf_run(name, row, outcome) for outcome in outcomes])

    def _write_samples(self, *, due_only: bool = False) -> None:
        try:
            self.samples.write(due_only=due_only)
        except OSError as error:
            raise BenchError(
                f"{self.samples.path}: cannot write: {error.strerror}; "
                f"{len(self.file.rows)} row{'s' * (len(self.file.rows) != 1)} in {self.file.path} are safe; "
                "make room, then go on with --resume"
            ) from None

    def _name(self, row: Row) -> str:
        """Return a benchmark name that is the same for the same case on any chip."""
        digest = str(row["case_id"]).rsplit("-", 1)[-1]
        parts = [self._labels[str(row["case_id"])], digest]
        if self._named:
            parts.append(f"({row['implementation']})")
        if self._several:
            parts.append(f"#{row['device_index']}")
        return " ".join(parts)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        written = False
        try:
            if not isinstance(error, BenchError):
                self._write_samples()
                written = error is None
        finally:
            # The journal goes last: until then it has whatever the other two files lack.
            self.journal.close(remove=written and not self.interrupted)
            self.file.close()


def pyperf_run(name: str, row: Row, outcome: Outcome) -> pyperf.Run:
    """Return one visit's samples in pyperf's terms, with the metadata that identifies its row."""
    return pyperf.Run(
        outcome.values_s,
        warmups=outcome.warm_ups,
        metadata={
            **outcome.metadata,
            "name": name,
            "case_id": str(row["case_id"]),
            "implementation": str(row["implementation"]),
            "device_index": int(str(row["device_index"])),
        },
        collect_metadata=False,
    )


@dataclass(frozen=True)
class Finished:
    """How a run ended: the rows that count, where they are, and where the time went."""

    rows: list[Row]
    path: Path
    samples: Path | None
    accounting: Accounting
    interrupted: bool


def execute(
    request: Request,
    worker: WorkerProcess,
    observer: Callable[[int], Observer],
    on_worker_output: Callable[[str], None],
    on_note: Callable[[str], None],
) -> Finished:
    """Measure what is asked; `observer` is made once the number of finished jobs is known.

    Takes over `worker`, which has found the devices and has the libraries loaded already. Raises
    BenchError when a row cannot be written.
    """
    columns = run_columns(request.description, request.config.name, request.config.sha256)
    device = request.jobs[0].device
    same = {
        **columns,
        "seed": request.measurement.seed,
        "chip": device.chip,
        "threads": device.threads,
    }
    interrupted = False
    with Recording(request, {name: same[name] for name in SAME_RUN}) as recording:
        for note in recording.file.notes:
            on_note(note)
        done = finished_jobs(recording.file.rows, request.jobs)
        crew = Crew(request.threads, request.measurement.case_timeout_s, worker, on_worker_output)
        supervisor = Supervisor(
            crew=crew,
            backend=request.description.name,
            measurement=request.measurement,
            identity=columns,
            recorder=recording,
            observer=observer(len(done)),
            ceilings=request.ceilings,
            stages=request.stages,
            rank_devices=request.rank_devices,
        )
        try:
            with terminating_signals():
                supervisor.run(request.jobs, done, recording.visits(), together=request.together)
        except KeyboardInterrupt:
            interrupted = True
            recording.interrupted = True
    kept = samples_path(request.path)
    return Finished(
        rows=current(recording.file.rows),
        path=request.path,
        samples=kept if kept.exists() else None,
        accounting=supervisor.accounting,
        interrupted=interrupted,
    )


def run_columns(description: BackendDescription, config: str, config_sha256: str) -> Row:
    """Return the columns that are the same in every row of a run, with an id of its own."""
    return {
        **identity(),
        "schema_version": SCHEMA_VERSION,
        "run_id": new_run_id(),
        "config": config,
        "config_sha256": config_sha256,
        "backend": description.name,
        "torch": description.versions.get("torch"),
        "libraries": "; ".join(
            f"{name} {version}" for name, version in description.versions.items() if name != "torch"
        )
        or None,
    }


def current(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a file without those of a lost device that were measured again later."""
    last_run = {(row["case_id"], row["device_index"]): row["run_id"] for row in rows}
    return [
        row
        for row in rows
        if row["status"] not in RUN_AGAIN
        or last_run[row["case_id"], row["device_index"]] == row["run_id"]
    ]


@contextmanager
def terminating_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt with the signal's name on Ctrl-C and on what batch systems send.

    Only the first signal counts, so that a second one does not keep the last rows from being written.
    A signal that is ignored, such as SIGHUP under nohup, stays so.
    """
    handled = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
