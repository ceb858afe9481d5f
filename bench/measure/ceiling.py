"""Finds the highest rates of a device: of matrix products by dtype, and of its memory.

Many shapes are timed briefly, each verified like any other case. The fastest few are then measured
again for longer, and only that counts: the highest of many short trials is partly luck.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.backend import Device
from bench.config.cases import Case, canonical_json
from bench.config.load import Measurement
from bench.errors import BenchError
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.measure.client import WorkerProcess
from bench.measure.crew import Crew
from bench.measure.jobs import Job
from bench.measure.protocol import BackendDescription, Outcome
from bench.measure.run import run_columns, terminating_signals
from bench.measure.search import Shape, ShapeSearch
from bench.measure.supervisor import Observer, Supervisor
from bench.results.ceilings import CONFIG, SAME_PLACE, keep, source_text
from bench.results.columns import Row
from bench.results.writer import ResultFile

TRIAL_S = 0.25  # samples of a trial
FINAL_S = 1.0  # samples of a measurement that counts
FINALISTS = 6
PRECISION = 0.01

# A product may take this share of the budget, and its operands this share of the device's memory.
SLOWEST = 1 / 20
LARGEST = 1 / 8

MEMORY_MIB = (256, 1024)
MEMORY_DTYPE = "float32"


@dataclass(frozen=True)
class CeilingRequest:
    """What the user asked for; `budget_s` is for the trials of one dtype."""

    description: BackendDescription
    device: Device
    dtypes: Sequence[str]
    budget_s: float
    measurement: Measurement
    threads: int | None
    path: Path
    force: bool = False

    @property
    def trials(self) -> Path:
        """Where every trial is written."""
        return self.path.with_name(f"{self.path.stem}.trials.csv")


@dataclass(frozen=True)
class CeilingSearchResult:
    """The rows that count, the shapes of their cases, and where files are."""

    rows: list[Row]
    shapes: dict[str, str]
    path: Path
    trials: Path
    kept: Path | None
    interrupted: bool


class CeilingSearch:
    """Yields one job after another, each chosen by the rows of those before."""

    def __init__(self, request: CeilingRequest, results: ResultFile, trials: ResultFile) -> None:
        self._request = request
        self._results = results
        self._trials = trials
        self._row: Row = {}
        self.shapes: dict[str, str] = {}
        self._gbps: float | None = None

    def record_visit(self, job: Job, started_at: str, outcome: Outcome) -> None:
        """Do nothing: a trial has one visit, and so its row at once."""

    def record(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        """Keep a trial's row; what counts is decided later."""
        self._row = row
        self._trials.append(row)

    def jobs(self) -> Iterator[Job]:
        """Yield the memory's cases, then each dtype's trials and finalists."""
        yield from self._bandwidths()
        for dtype in self._request.dtypes:
            yield from self._products(dtype)

    def _job(self, kernel: Matmul | Memory, time_budget_s: float) -> Job:
        case = Case(kernel)
        self.shapes[case.case_id] = case.shape
        return Job(case, self._request.device, "best", time_budget_s)

    def _bandwidths(self) -> Iterator[Job]:
        memory = self._request.device.memory_bytes
        sizes = [
            size for size in MEMORY_MIB if memory is None or 3 * size << 20 <= memory * LARGEST
        ]
        best: list[Row] = []
        for operation in ("copy", "read", "triad"):
            measured: list[Row] = []
            for size in sizes or MEMORY_MIB[:1]:
                kernel = Memory.model_validate(
                    {"operation": operation, "size_mib": size, "dtype": MEMORY_DTYPE}
                )
                yield self._job(kernel, FINAL_S)
                measured.append(self._row)
            best.append(max(measured, key=lambda row: _rate(row, "achieved_gbps")))
        self._gbps = max(_rate(row, "achieved_gbps") for row in best) or None
        for row in best:
            self._keep(row)

    def _products(self, dtype: str) -> Iterator[Job]:
        search = ShapeSearch(lambda shape: self._fits(shape, dtype, search))
        deadline = time.monotonic() + self._request.budget_s
        for shape in search:
            yield self._job(_product(shape, dtype), TRIAL_S)
            search.record(shape, _rate(self._row, "achieved_tflops"))
            if time.monotonic() > deadline:
                break
        if search.best is None:
            self._keep(self._row)
            return
        finals: list[Row] = []
        for shape in search.finalists(FINALISTS):
            yield self._job(_product(shape, dtype), FINAL_S)
            finals.append(self._row)
        self._keep(max(finals, key=lambda row: _rate(row, "achieved_tflops")))

    def _fits(self, shape: Shape, dtype: str, search: ShapeSearch) -> bool:
        memory = self._request.device.memory_bytes
        needed = _product(shape, dtype).memory_bytes()
        if memory is not None and needed > memory * LARGEST:
            return False
        seconds = shape.flops / (search.best_rate * 1e12) if search.best_rate else 0.0
        return seconds <= self._request.budget_s * SLOWEST

    def _keep(self, row: Row) -> None:
        """Write a row that counts, with the ceilings that follow from it."""
        if row["status"] == "ok":
            row = {
                **row,
                "ceiling_gbps": self._gbps,
                "ceiling_source": source_text(str(row["started_at"]), str(row["run_id"])),
            }
            if row["kernel"] == "matmul":
                row["ceiling_tflops"] = row["achieved_tflops"]
                row["utilization_of_ceiling"] = 1.0
        self._results.append(row)


def find_ceilings(
    request: CeilingRequest,
    worker: WorkerProcess,
    observer: Observer,
    on_worker_output: Callable[[str], None],
) -> CeilingSearchResult:
    """Search, write the files, and keep the ceilings for later runs unless it was interrupted.

    Takes over `worker`, which has found the device. Raises BenchError when a file cannot be written.
    """
    asked = canonical_json([list(request.dtypes), request.budget_s, request.measurement.seed])
    columns = run_columns(request.description, CONFIG, hashlib.sha256(asked.encode()).hexdigest())
    measurement = replace_precision(request.measurement)
    crew = Crew(request.threads, measurement.case_timeout_s, worker, on_worker_output)
    interrupted = False
    # Both files exist before anything is measured, so that a folder without room is noticed.
    results = ResultFile.create(request.path, force=request.force)
    try:
        trials = ResultFile.create(request.trials, force=request.force)
        try:
            search = CeilingSearch(request, results, trials)
            supervisor = Supervisor(
                crew=crew,
                backend=request.description.name,
                measurement=measurement,
                identity=columns,
                recorder=search,
                observer=observer,
            )
            try:
                with terminating_signals():
                    supervisor.run_in_turn(search.jobs())
            except KeyboardInterrupt:
                interrupted = True
        finally:
            trials.close()
    finally:
        results.close()
    kept = None
    rows = results.rows
    if not interrupted and any(row["status"] == "ok" for row in rows):
        try:
            kept = keep(request.path, {name: rows[0].get(name) for name in SAME_PLACE})
        except OSError as error:
            raise BenchError(
                f"{request.path} is written, but no copy could be kept for later runs: "
                f"{error.strerror}: {error.filename}; name the file with bench run --ceiling"
            ) from None
    return CeilingSearchResult(rows, search.shapes, request.path, request.trials, kept, interrupted)


def replace_precision(measurement: Measurement) -> Measurement:
    """Return the settings of a search: one visit per trial, and its own precision."""
    return measurement.model_copy(update={"precision": PRECISION, "rounds": 1})


def _product(shape: Shape, dtype: str) -> Matmul:
    return Matmul.model_validate(
        {"dtype": dtype, "m": shape.m, "n": shape.n, "k": shape.k, "layout": shape.layout}
    )


def _rate(row: Row, column: str) -> float:
    """Return a row's rate, 0 where the case has none."""
    value = row.get(column)
    return float(str(value)) if row["status"] == "ok" and value is not None else 0.0
