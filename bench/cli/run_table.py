"""The table at the end of a run: one section per kernel, one line per row, readable in 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.results.columns import Row
from bench.text.document import Continued, Sections, TableColumn
from bench.text.format import UNKNOWN, percent, printable, seconds, significant
from bench.text.naming import dtype_and_variant, with_stage
from bench.text.row_cells import half_width, status_cell, status_styles


def rows_by_kernel(rows: Sequence[Row], shapes: Mapping[str, str]) -> Sections:
    """Return the rows in sections, one per kernel, in the order of the run.

    `shapes` has the short form of each case_id. `util` is the achieved rate over the device's peak. The
    bus bandwidth is that of collectives, and shown if there are any.
    """
    several_devices = len({row["device_index"] for row in rows}) > 1
    several_ranks = any(row.get("world_size") for row in rows)
    titles = ("time", "±", "TFLOP/s", "GB/s", "util", "bound")
    columns = [
        TableColumn("case", "left", wraps=True),
        *([TableColumn("dev")] if several_devices else []),
        *map(TableColumn, titles),
        *([TableColumn("bus GB/s")] if several_ranks else []),
        TableColumn("status", "left", wraps=True),
    ]
    sections: dict[str, list[list[str | Continued]]] = {}
    for row in rows:
        device = [str(row["device_index"])] if several_devices else []
        bus = [significant(row.get("busbw_gbps"))] if several_ranks else []
        cells = [_case(row, shapes), *device, *_measured(row), *bus, status_cell(row)]
        sections.setdefault(printable(str(row["kernel"])), []).append(cells)
    return Sections(columns, sections, styles=status_styles(rows))


def _case(row: Row, shapes: Mapping[str, str]) -> str | Continued:
    name = dtype_and_variant(row, _shape(row, shapes))
    stage = row.get("stage")
    return Continued(with_stage(name, row), str(stage)) if stage else name


def _measured(row: Row) -> list[str]:
    """Return time, half-width of the interval, rates, utilization and bound."""
    return [
        seconds(row.get("time_median_s")),
        half_width(row),
        significant(row.get("achieved_tflops")),
        significant(row.get("achieved_gbps")),
        percent(row.get("utilization")),
        str(row.get("roofline_bound") or UNKNOWN),
    ]


def remarks(rows: Sequence[Row], shapes: Mapping[str, str]) -> list[str]:
    """Return errors and warnings, one line each, in the order of the run.

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
    return [printable(line) for line in lines]


def _warnings(row: Row) -> list[str]:
    """Return the warnings of a row that is ok; the others have an error instead."""
    text = row.get("warnings") if row["status"] == "ok" else None
    return str(text).split("; ") if text else []


def _shape(row: Row, shapes: Mapping[str, str]) -> str:
    case_id = str(row["case_id"])
    return shapes.get(case_id, case_id)
