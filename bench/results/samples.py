"""Keeps every sample in pyperf's own format beside the CSV, for `python -m pyperf stats|hist|check`."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyperf

from bench.errors import UsageError
from bench.results.columns import Row
from bench.results.sidecar import ADVICE, read_sidecar, remove_leftover, replace_sidecar

# A suite is one JSON document and has to be written whole; on a long run at most this share of the time
# goes into it, and the last write happens at the end. Until then the journal has the samples.
WRITE_SHARE = 0.02


def samples_path(csv: Path) -> Path:
    """Return where the samples behind a result file lie: NAME.csv → NAME.pyperf.json."""
    return csv.with_suffix(".pyperf.json")


class SamplesFile:
    """The BenchmarkSuite of a run: one benchmark per case, one pyperf run per visit."""

    def __init__(self, path: Path, *, keep: bool, force: bool = False) -> None:
        """Begin a file, or with `keep` continue the one that is there.

        Raises UsageError, and leaves everything as it is, if a file with that name is not one that
        `bench run` has written, or if it is and neither `keep` nor `force` is given.
        """
        self.path = path
        self._benchmarks: dict[str, pyperf.Benchmark] = {}
        self._kept: set[tuple[Any, Any, Any]] = set()
        self._not_before = 0.0
        self._dirty = False
        content = read_sidecar(path)
        self._stale = content is not None and not keep
        if content is not None:
            self._take_over(content, keep=keep, force=force)
        remove_leftover(path)

    def _take_over(self, content: bytes, *, keep: bool, force: bool) -> None:
        try:
            benchmarks = parse_samples(content)
        except ValueError as error:
            raise UsageError(f"{self.path}: not a file of samples ({error}); {ADVICE}") from None
        if any("case_id" not in benchmark.get_metadata() for benchmark in benchmarks):
            raise UsageError(f"{self.path}: not the samples of a bench run; {ADVICE}")
        if not keep and not force:
            raise UsageError(f"{self.path} exists: --force replaces it, -o names another")
        if keep:
            self._benchmarks = {benchmark.get_name(): benchmark for benchmark in benchmarks}
            self._kept = {_origin(benchmark.get_metadata()) for benchmark in benchmarks}

    def begin(self) -> None:
        """Remove the samples of an earlier run; called before its rows go."""
        if self._stale:
            self.path.unlink(missing_ok=True)
            self._stale = False

    def add(self, name: str, runs: Sequence[pyperf.Run]) -> None:
        """Keep the samples of one case, one run per visit, under a name that is unique in the file."""
        self._benchmarks[name] = pyperf.Benchmark(runs)
        self._dirty = True

    def has(self, row: Row) -> bool:
        """Return whether the samples behind a row were in the file when it was opened."""
        origin = _origin(row)
        return (
            origin in self._kept or (*origin[:2], None) in self._kept
        )  # older files name no device

    def write(self, *, due_only: bool = False) -> None:
        """Replace the file by one with all samples so far, and return when the disk has it.

        With `due_only`, nothing is done so soon after the last time that it would cost too much. Raises
        OSError; the samples of before are then still there.
        """
        if not self._dirty or (due_only and time.monotonic() < self._not_before):
            return
        started = time.monotonic()
        text = io.StringIO()
        pyperf.BenchmarkSuite(list(self._benchmarks.values())).dump(text)
        os.close(replace_sidecar(self.path, text.getvalue().encode()))
        self._dirty = False
        took = time.monotonic() - started
        self._not_before = started + took / WRITE_SHARE


def _origin(names: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return what tells the row behind samples, from the row or from their metadata."""
    return names["case_id"], names.get("implementation"), names.get("device_index")


def parse_samples(content: bytes) -> list[pyperf.Benchmark]:
    """Return the benchmarks of a file. Raises ValueError for what is not one, or has no times."""
    try:
        benchmarks = list(
            pyperf.BenchmarkSuite.load(io.StringIO(content.decode())).get_benchmarks()
        )
        values = [value for benchmark in benchmarks for value in benchmark.get_values()]
    except Exception as error:  # pyperf checks little of what it reads, down to the recursion limit
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from None
    if not all(isinstance(value, (int, float)) and 0 < value < math.inf for value in values):
        raise ValueError("a sample is not a time above 0")
    return benchmarks


def read_benchmarks(csv: Path) -> list[pyperf.Benchmark] | None:
    """Return the samples behind a result file, None where there is no file of samples.

    Raises UsageError for a file that pyperf does not read.
    """
    path = samples_path(csv)
    content = read_sidecar(path) if os.path.lexists(path) else None  # the name may be too long
    try:
        return None if content is None else parse_samples(content)
    except ValueError as error:
        raise UsageError(
            f"{path}: not a file of samples ({error}); move it away to use the rows alone"
        ) from None


def read_samples(csv: Path) -> dict[tuple[str, str], list[list[float]]]:
    """Return the samples behind a result file by case_id and implementation, one list per visit.

    Empty where there is no file of samples. Samples of several devices are left out, because they do not
    say which device each is from. Raises UsageError for a file that pyperf does not read.
    """
    samples: dict[tuple[str, str], list[list[float]]] = {}
    repeated: set[tuple[str, str]] = set()
    for benchmark in read_benchmarks(csv) or ():
        metadata = benchmark.get_metadata()
        key = (str(metadata.get("case_id")), str(metadata.get("implementation")))
        if key in samples:
            repeated.add(key)
        samples[key] = [list(run.values) for run in benchmark.get_runs()]
    return {key: runs for key, runs in samples.items() if key not in repeated}
