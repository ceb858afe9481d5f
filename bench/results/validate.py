"""Checks a result file: each cell by itself, and whether the cells of a row agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.results.reader import CUT_OFF, Problem, check, open_result, scan


@dataclass(frozen=True)
class Validation:
    """The number of rows in a file, all that is wrong in it, and what is unusual but harmless."""

    rows: int
    problems: list[Problem]
    warnings: list[Problem]


def validate(path: Path | str) -> Validation:
    """Check a result file; problems are in the order of the lines, none if the file is sound.

    What has no problem here is read by `load` and `read_rows`, and nothing else is, except that they
    leave out a last line that was cut off. Raises UsageError for what is not a result file at all.
    """
    notices: list[Problem] = []
    problems: list[Problem] = []
    rows = 0
    with open_result(Path(path)) as stream:
        for _, _, wrong in check(scan(stream, str(path), notices.append)):
            problems += wrong
            rows += 1
    problems += [notice for notice in notices if notice.message == CUT_OFF]
    warnings = [notice for notice in notices if notice.message != CUT_OFF]
    return Validation(rows, sorted(problems, key=lambda problem: problem.line), warnings)
