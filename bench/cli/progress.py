"""Progress of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import statistics
import sys
import time
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bench.measure.jobs import Job
from bench.measure.launcher import Rank
from bench.measure.protocol import CaseWork
from bench.measure.run import Request
from bench.results.columns import Row
from bench.text.format import duration, seconds, significant
from bench.text.row_cells import half_width


class Prefixed(io.TextIOBase):
    """A stream that puts a prefix before each line and writes whole lines, for ranks that share it."""

    def __init__(self, stream: TextIO, prefix: str) -> None:
        self._stream = stream
        self._prefix = prefix
        self._rest = ""

    def write(self, text: str) -> int:
        """Write the complete lines; keep the rest."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._prefix}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)


def console_of(rank: Rank | None, *, quiet: bool) -> Console:
    """Return the console for progress and messages, on standard error.

    On a terminal only the first of several ranks prints; into a file all do, line by line.
    """
    if rank is None:
        return Console(stderr=True, highlight=False, quiet=quiet)
    if sys.stderr.isatty():
        return Console(stderr=True, highlight=False, quiet=quiet or rank.number > 0)
    stream = Prefixed(sys.stderr, f"[rank {rank.number}] ")
    return Console(file=stream, highlight=False, quiet=quiet)  # type: ignore[arg-type]  # a text stream


class Silent:
    """Shows nothing, for --quiet."""

    def round_started(self, number: int, jobs: int) -> None:
        """Do nothing."""

    def case_started(self, number: int, job: Job) -> None:
        """Do nothing."""

    def described(self, work: CaseWork) -> None:
        """Do nothing."""

    def progress(self, phase: str, values_s: list[float]) -> None:
        """Do nothing."""

    def visit_finished(self, job: Job) -> None:
        """Do nothing."""

    def case_finished(self, job: Job, row: Row) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def progress_display(console: Console, request: Request, done: int, *, quiet: bool) -> Silent:
    """Return the display for a run of which `done` jobs have a row already."""
    if quiet:
        return Silent()
    measurement, jobs = request.measurement, len(request.jobs)
    if console.is_terminal:
        return LiveProgress(console, jobs, done, measurement.rounds)
    return PlainProgress(console, jobs, measurement.rounds)


class PlainProgress(Silent):
    """One line per round and one per finished case: for logs and pipes."""

    def __init__(self, console: Console, total: int, rounds: int) -> None:
        self._console = console
        self._total = total
        self._rounds = rounds
        self._numbers: dict[tuple[str, int, str], int] = {}
        self._started = time.monotonic()

    def round_started(self, number: int, jobs: int) -> None:
        """Print the round, its number of cases, and the time since the start."""
        if self._rounds > 1:
            since = duration(time.monotonic() - self._started)
            cases = f"{jobs} case{'s' * (jobs != 1)}"
            self._console.print(
                f"round {number} of {self._rounds}: {cases}, after {since}", markup=False
            )

    def case_started(self, number: int, job: Job) -> None:
        """Remember the number of the case; several devices may measure one each."""
        self._numbers[job.key] = number + 1

    def case_finished(self, job: Job, row: Row) -> None:
        """Print the line of the case."""
        number = self._numbers.get(job.key, self._total)
        self._console.print(f"[{number}/{self._total}] {outcome_line(job, row)}", markup=False)


class LiveProgress(Silent):
    """A bar with the round, the time left, and the current case with its median and rate so far."""

    def __init__(self, console: Console, total: int, done: int, rounds: int) -> None:
        self._bar = Progress(
            TextColumn("{task.fields[rows]}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[round]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[state]}"),
            # Last, because a narrow terminal cuts it off.
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._rounds = rounds
        self._round = 1
        self._cases = total
        self._rows = done
        self._visits: dict[tuple[str, int, str], int] = {}
        self._made = 0
        self._ahead = (total - done) * rounds
        self._flops = 0
        self._started = time.monotonic()
        self._task = self._bar.add_task("starting", total=self._ahead, **self._fields(), state="")
        self._bar.start()

    def _fields(self) -> dict[str, Any]:
        left = ""
        if self._made:
            each = (time.monotonic() - self._started) / self._made
            left = f"{duration(each * (self._ahead - self._made))} left"
        return {
            "rows": f"{self._rows}/{self._cases}",
            "round": f"round {self._round}/{self._rounds}" if self._rounds > 1 else "",
            "left": left,
        }

    def round_started(self, number: int, jobs: int) -> None:
        """Show the round."""
        self._round = number

    def case_started(self, number: int, job: Job) -> None:
        """Show the name of the case and the time left."""
        self._flops = 0
        self._bar.update(self._task, description=job.case.title, state="", **self._fields())

    def described(self, work: CaseWork) -> None:
        """Turn the samples that follow into rates."""
        self._flops = work.whole.flops

    def progress(self, phase: str, values_s: list[float]) -> None:
        """Show the phase, or the median and rate once there are samples."""
        state = phase
        if values_s:
            median = statistics.median(values_s)
            rate = f" {significant(self._flops / median / 1e12)} TFLOP/s" if self._flops else ""
            state = f"{seconds(median)}{rate}"
        self._bar.update(self._task, state=state)

    def visit_finished(self, job: Job) -> None:
        """Advance the bar by one visit."""
        self._visits[job.key] = self._visits.get(job.key, 0) + 1
        self._made += 1
        self._bar.update(self._task, completed=self._made, **self._fields())

    def case_finished(self, job: Job, row: Row) -> None:
        """Print the line of the case above the bar; visits that it no longer needs count as done."""
        self._rows += 1
        self._made += 1
        self._ahead -= max(0, self._rounds - self._visits.get(job.key, 0) - 1)
        self._bar.console.print(outcome_line(job, row), markup=False)
        self._bar.update(self._task, total=self._ahead, completed=self._made, **self._fields())

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


class SearchProgress(Silent):
    """Progress of a search of unknown length: the current trial, or one line per trial."""

    def __init__(self, console: Console, *, every: bool) -> None:
        """On a terminal only the current trial is shown, unless `every` is set."""
        self._console = console
        self._every = every or not console.is_terminal
        self._status = console.status("starting") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def case_started(self, number: int, job: Job) -> None:
        """Show the trial."""
        if self._status is not None:
            self._status.update(f"trial {number + 1}: {job.case.title}")

    def case_finished(self, job: Job, row: Row) -> None:
        """Print the line of the trial."""
        if self._every:
            self._console.print(outcome_line(job, row), markup=False)

    def close(self) -> None:
        """Remove the line."""
        if self._status is not None:
            self._status.stop()


def outcome_line(job: Job, row: Row) -> str:
    """Return one line for a finished case: name, time, half-width and rate, or the error."""
    if row["status"] != "ok":
        return f"{job.case.title}: {row['status']}: {row['error']}"
    rate = (
        f"{significant(row['achieved_tflops'])} TFLOP/s"
        if row["roofline_bound"] != "memory" and row["achieved_tflops"] is not None
        else f"{significant(row['achieved_gbps'])} GB/s"
    )
    if row.get("busbw_gbps") is not None:
        rate += f", bus {significant(row['busbw_gbps'])} GB/s"
    return f"{job.case.title}: {seconds(row['time_median_s'])} ±{half_width(row)}, {rate}"
