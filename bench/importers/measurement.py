"""What a reader yields, and how it reads text, JSON, CSV and numbers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bench.errors import UsageError
from bench.results.columns import Row


@dataclass(frozen=True)
class Measurement:
    """A measurement that one of our kernels describes.

    `row` is what the shape decides (`bench.importers.published_row`). `time_s` is the median if the
    format has one, else the mean, which `remark` then says.
    """

    row: Row
    device: str
    time_s: float
    implementation: str
    remark: str = ""


@dataclass(frozen=True)
class Skipped:
    """A measurement without a counterpart, and the reason."""

    reason: str


Reader: TypeAlias = Callable[[Path], Iterator[Measurement | Skipped]]

MEAN = "the time is a mean, not a median"


def read_text(path: Path) -> str:
    """Return the text of a file. Raises UsageError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8") from None


def read_json(path: Path, text: str | None = None, line: int | None = None) -> Any:
    """Return the value of a JSON file, or of one line of it. Raises UsageError if it is damaged."""
    try:
        return json.loads(read_text(path) if text is None else text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        place = f"line {line}: " if line is not None else ""
        raise UsageError(f"{path}: {place}not JSON, or cut off: {reason}") from None


def read_table(path: Path, *, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells by title of a CSV file; of titles that occur twice, the first counts.

    Raises UsageError where a needed column is missing or a line is cut off.
    """
    reader = csv.reader(read_text(path).splitlines())
    titles = next(reader, [])
    missing = [title for title in needed if title not in titles]
    if missing:
        raise UsageError(f"{path}: no column {missing[0]!r}; is this another format?")
    for cells in reader:
        if len(cells) != len(titles):
            found = f"{len(cells)} cells, expected {len(titles)}"
            raise UsageError(f"{path}: line {reader.line_num}: {found}; is the file cut off?")
        yield reader.line_num, dict(zip(reversed(titles), reversed(cells), strict=True))


def positive(path: Path, place: str, value: object) -> float:
    """Return a value as a finite number above zero. Raises UsageError that names the place."""
    try:
        parsed = float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        parsed = math.nan
    if not (math.isfinite(parsed) and parsed > 0):
        raise UsageError(f"{path}: {place}: expected a number above 0, got {value!r:.60}")
    return parsed


def size(path: Path, place: str, value: object) -> int:
    """Return a value as a whole number above zero. Raises UsageError that names the place."""
    parsed = positive(path, place, value)
    if parsed != int(parsed):
        raise UsageError(f"{path}: {place}: expected a whole number, got {value!r:.60}")
    return int(parsed)


def entry(path: Path, place: str, value: object, key: str) -> Any:
    """Look up a key of a JSON object. Raises UsageError that names the place if there is none."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: {place}: expected an object; is this another format?")
    if key not in value:
        raise UsageError(f"{path}: {place}: no {key!r}; is this another format?")
    return value[key]


def entries(path: Path, place: str, value: object, key: str) -> list[Any]:
    """Look up a key whose value is a list. Raises UsageError that names the place if there is none."""
    found = entry(path, place, value, key)
    if not isinstance(found, list):
        raise UsageError(f"{path}: {place}: {key}: expected a list; is this another format?")
    return found
