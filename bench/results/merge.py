"""Makes one result file of many: every row as it is, none twice, and the samples beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyperf

from bench.errors import BenchError, UsageError
from bench.results.columns import NAMES, Row
from bench.results.reader import Problem, read_rows
from bench.results.samples import SamplesFile, read_benchmarks, samples_path
from bench.results.schema import KEY
from bench.results.writer import ResultFile


@dataclass
class Merged:
    """The rows of several files in the order of the files, with notes for the user."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def simulated(self) -> int:
        """How many rows are of simulated devices."""
        return sum(row["simulated"] is True for row in self.rows)


def merge_rows(files: Sequence[tuple[str, Sequence[Row]]]) -> Merged:
    """Return the rows of named files; a row that is there twice and the same is taken once.

    Raises UsageError where two rows of the same run, case, implementation and device differ.
    """
    merged = Merged()
    seen: dict[tuple[object, ...], tuple[str, Row]] = {}
    for name, rows in files:
        repeated = 0
        for row in rows:
            key = tuple(row[column] for column in KEY)
            if key not in seen:
                seen[key] = (name, row)
                merged.rows.append(row)
                continue
            first, known = seen[key]
            differing = [column for column in NAMES if known[column] != row[column]]
            if differing:
                raise UsageError(
                    f"{name}: case {row['case_id']} of run {row['run_id']} on device "
                    f"{row['device_index']} is in {first} as well, with another {differing[0]}: "
                    f"{known[differing[0]]} there, {row[differing[0]]} here; leave one of the files out"
                )
            repeated += 1
        if repeated:
            merged.repeated += repeated
            merged.notes.append(
                f"{name}: {repeated} row{'s were' if repeated > 1 else ' was'} in an earlier file "
                "already, the same in every cell; taken once"
            )
    return merged


def merge_samples(
    files: Sequence[tuple[str, Sequence[pyperf.Benchmark]]],
) -> list[pyperf.Benchmark]:
    """Return the benchmarks of named files; those of the same name get their file's name as well.

    A benchmark that is there twice, with the same name and values, is taken once.
    """
    taken: dict[tuple[str, tuple[float, ...]], tuple[str, pyperf.Benchmark]] = {}
    for name, benchmarks in files:
        for benchmark in benchmarks:
            taken.setdefault((benchmark.get_name(), benchmark.get_values()), (name, benchmark))
    count = Counter(title for title, _ in taken)
    result = []
    for (title, _), (name, benchmark) in taken.items():
        if count[title] > 1:
            benchmark.update_metadata({"name": f"{title} [{name}]"})
        result.append(benchmark)
    return result


def merge_files(paths: Sequence[Path], target: Path, *, force: bool) -> Merged:
    """Write the rows of files into one, and their samples beside it.

    Everything is read before anything is written. Raises UsageError for what is not a result file,
    for a target that is one of the inputs, or that exists without `force`.
    """
    samples_target = samples_path(target)
    for path in paths:
        if path.exists() and target.exists() and path.samefile(target):
            raise UsageError(f"{target} is one of the files to merge: name another with -o")
    for path in (target, samples_target):
        if path.exists() and not force:
            raise UsageError(f"{path} exists: --force replaces it, -o names another")

    notes: list[str] = []
    files = [(str(path), _read_rows(path, notes)) for path in paths]
    merged = merge_rows(files)
    if not merged.rows:
        raise UsageError("the files have no rows: there is nothing to merge")
    samples = []
    for path, name, (_, rows) in zip(paths, _short_names(paths), files, strict=True):
        beside = read_benchmarks(path)
        if beside is not None:
            samples.append((name, beside))
        elif any(row["status"] == "ok" for row in rows):
            notes.append(f"{path}: no samples beside it, {samples_path(path).name} is missing")
    benchmarks = merge_samples(samples)

    with ResultFile.create(target, force=force) as result:
        try:
            kept = SamplesFile(samples_target, keep=False, force=force)
        except BaseException:
            result.abandon()
            raise
        kept.begin()
        result.extend(merged.rows)
        for benchmark in benchmarks:
            kept.add(benchmark.get_name(), benchmark.get_runs())
        try:
            kept.write()
        except OSError as error:
            raise BenchError(
                f"{samples_target}: cannot write: {error.strerror}; {target} has its rows already: make "
                "room, then merge again with --force"
            ) from None
    merged.notes = notes + merged.notes
    return merged


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the files' names without folder and ending, or whole where that does not tell them apart."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _read_rows(path: Path, notes: list[str]) -> list[Row]:
    def notice(problem: Problem) -> None:
        notes.append(f"{path}: {problem}")

    return read_rows(path, notice)
