"""Keeps every sample in pyperf's own format beside the CSV, for `python -m pyperf stats|hist|check`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyperf

from bench.errors import UsageError

# A suite is one JSON document and has to be written whole; on a long run this share of the time at
# most goes into it, and the last write happens at the end.
WRITE_SHARE = 0.02


def samples_path(csv: Path) -> Path:
    """Return where the samples behind a result file lie: NAME.csv → NAME.pyperf.json."""
    return csv.with_suffix(".pyperf.json")


class SamplesFile:
    """The BenchmarkSuite of a run; a benchmark a case, a pyperf run a process."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        """Begin a file, or with `keep` go on with the one that is there."""
        self.path = path
        self._benchmarks: dict[str, pyperf.Benchmark] = {}
        self._not_before = 0.0
        self._dirty = False
        self._stale = not keep
        if keep and path.exists():
            for benchmark in pyperf.BenchmarkSuite.load(str(path)):
                self._benchmarks[benchmark.get_name()] = benchmark

    def begin(self) -> None:
        """Take the samples of an earlier run away, whose rows are gone; called at the first row."""
        if self._stale:
            self.path.unlink(missing_ok=True)
            self._stale = False

    def add(self, name: str, runs: Sequence[pyperf.Run]) -> None:
        """Keep the samples of one case, a run a process, under a name that is unique in the file."""
        self._benchmarks[name] = pyperf.Benchmark(runs)
        self._dirty = True

    def write(self, *, due_only: bool = False) -> None:
        """Replace the file by one with all samples so far; never leaves half a file behind.

        With `due_only`, nothing is done so soon after the last time that it would cost too much.
        """
        if not self._dirty or (due_only and time.monotonic() < self._not_before):
            return
        started = time.monotonic()
        suite = pyperf.BenchmarkSuite(list(self._benchmarks.values()))
        partial = self.path.with_name(f"{self.path.name}.part")
        try:
            suite.dump(str(partial), replace=True)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
        self._dirty = False
        took = time.monotonic() - started
        self._not_before = started + took / WRITE_SHARE


def read_samples(csv: Path) -> dict[tuple[str, str], list[list[float]]]:
    """Return the samples behind a result file by case_id and implementation, a list a process.

    Empty where there is no file of samples; samples of several devices are left out, because a row's
    device cannot be told from them. Raises UsageError for a file that pyperf does not read.
    """
    path = samples_path(csv)
    if not path.exists():
        return {}
    try:
        suite = pyperf.BenchmarkSuite.load(str(path))
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not a file of samples: {error}") from None
    found: dict[tuple[str, str], list[list[float]]] = {}
    twice: set[tuple[str, str]] = set()
    for benchmark in suite:
        metadata = benchmark.get_metadata()
        key = (str(metadata.get("case_id")), str(metadata.get("implementation")))
        if key in found:
            twice.add(key)
        found[key] = [list(run.values) for run in benchmark.get_runs()]
    return {key: runs for key, runs in found.items() if key not in twice}
