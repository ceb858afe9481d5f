"""Cells that several tables of rows share: the half-width of the interval, and the status."""

from __future__ import annotations

from collections.abc import Iterable

from bench.analysis.statistics import TOO_NOISY
from bench.results.columns import Row
from bench.text.format import UNKNOWN, percent

_STYLES = {"ok": "green", "ok!": "green", "unsupported": "dim", "too noisy": "yellow"}


def half_width(row: Row) -> str:
    """Return the relative half-width of the 95 % interval, `>50 %` where the row is too noisy."""
    half = relative_half_width(row)
    if half is None:
        return UNKNOWN
    return percent(half, 1) if half <= TOO_NOISY else f">{percent(TOO_NOISY)}"


def relative_half_width(row: Row) -> float | None:
    """Return half of the 95 % interval's width over the median, None where there is no interval."""
    low, high, median = (row.get(name) for name in ("ci_low_s", "ci_high_s", "time_median_s"))
    if not all(isinstance(value, float) for value in (low, high, median)):
        return None
    return (high - low) / 2 / median  # type: ignore[no-any-return, operator]


def status_cell(row: Row) -> str:
    """Return the status, with `!` if the row has warnings; `too noisy` for a wide interval."""
    status = str(row["status"])
    if status == "ok" and (relative_half_width(row) or 0.0) > TOO_NOISY:
        return "too noisy"
    return f"{status}!" if row.get("warnings") else status


def status_styles(rows: Iterable[Row]) -> dict[str, str]:
    """Return the terminal style of each status cell of the rows."""
    return {cell: _STYLES.get(cell, "bold red") for cell in map(status_cell, rows)}
