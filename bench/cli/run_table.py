"""The table at the end of a run: one section per kernel, one line per row, readable in 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from bench.analysis.statistics import TOO_NOISY
from bench.text.format import UNKNOWN, percent, seconds, significant
from bench.text.naming import dtype_and_variant, with_stage

Row = Mapping[str, object]

STATUS_STYLE = {"ok": "green", "unsupported": "dim"}


def result_table(rows: Sequence[Row], shapes: Mapping[str, str]) -> Table:
    """Return the rows as a table, grouped by kernel in the order of the run.

    `shapes` gives each case_id's short form. `util` is the achieved rate over the device's peak.
    """
    several_devices = len({row["device_index"] for row in rows}) > 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("case", overflow="fold", ratio=1)
    if several_devices:
        table.add_column("dev", justify="right")
    for name in ("time", "±", "TFLOP/s", "GB/s", "util", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for kernel in dict.fromkeys(str(row["kernel"]) for row in rows):
        table.add_row(Text(kernel, style="bold cyan"))
        for row in rows:
            if row["kernel"] == kernel:
                device = [str(row["device_index"])] if several_devices else []
                stage = row.get("stage")
                name = f"   {stage}" if stage else f" {dtype_and_variant(row, _shape(row, shapes))}"
                table.add_row(name, *device, *measured_cells(row), status_text(row))
    return table


def measured_cells(row: Row) -> list[str]:
    """Return time, half width of the interval, rates, utilization and bound."""
    bound = row.get("roofline_bound")
    return [
        seconds(row.get("time_median_s")),
        half_width(row),
        significant(row.get("achieved_tflops")),
        significant(row.get("achieved_gbps")),
        percent(row.get("utilization")),
        str(bound) if bound else UNKNOWN,
    ]


def half_width(row: Row) -> str:
    """Return half of the 95 % interval's width relative to the median, `>50 %` where it is no number."""
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


def status_text(row: Row) -> Text:
    """Return the status in its color, marked where the row carries a warning."""
    status = str(row["status"])
    if status == "ok" and (relative_half_width(row) or 0.0) > TOO_NOISY:
        return Text("too noisy", style="yellow")
    mark = "!" if row.get("warnings") else ""
    return Text(status + mark, style=STATUS_STYLE.get(status, "bold red"))


def remarks(rows: Sequence[Row], shapes: Mapping[str, str]) -> list[str]:
    """Return what went wrong or deserves a word, one line each, in the order of the run.

    A warning that several rows share is one line.
    """
    lines = []
    shared = Counter(text for row in rows for text in _warnings(row))
    for row in rows:
        case = dtype_and_variant(row, _shape(row, shapes))
        name = with_stage(f"{row['kernel']} {case}", row)
        if row["status"] != "ok":
            lines.append(f"{row['status']}: {name}: {row['error']}")
        elif own := [text for text in _warnings(row) if shared[text] == 1]:
            lines.append(f"warning: {name}: {'; '.join(own)}")
    lines += [
        f"warning: {count} of {len(rows)} rows: {text}"
        for text, count in shared.items()
        if count > 1
    ]
    return lines


def _warnings(row: Row) -> list[str]:
    """Return a row's warnings; one that is not ok says what went wrong instead."""
    text = row.get("warnings") if row["status"] == "ok" else None
    return str(text).split("; ") if text else []


def _shape(row: Row, shapes: Mapping[str, str]) -> str:
    case_id = str(row["case_id"])
    return shapes.get(case_id, case_id)
