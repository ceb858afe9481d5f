"""The rows of `bench show` for people: sections by kernel, dtype and pass, on a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.kernels.dtypes import short_dtype
from bench.results.columns import BY_NAME, Column, Row
from bench.results.frame_rows import frame_rows
from bench.text.document import Block, Continued, Lines, Sections, TableColumn
from bench.text.format import UNKNOWN, percent, printable, seconds, significant
from bench.text.naming import case_name, case_shape, variant, with_stage
from bench.text.row_cells import half_width, status_cell, status_styles

if TYPE_CHECKING:
    import pandas as pd

# Longer output is cut; `--all` shows everything.
MOST_ROWS = 1000
MOST_REMARKS = 8
MOST_DEVICES = 4

# Columns of text are not squeezed below this width.
NARROWEST_TEXT = 12


@dataclass(frozen=True)
class RowColumn:
    """A column of the table: its title, its text for a row, and the terminal width that it needs."""

    title: str
    text: Callable[[Row], str]
    from_width: int = 0
    is_text: bool = False


# `util` is the achieved rate over the peak, `ceil` over the ceiling of this device.
USUAL = (
    RowColumn("time", lambda row: seconds(row["time_median_s"])),
    RowColumn("±", half_width),
    RowColumn("TFLOP/s", lambda row: significant(row["achieved_tflops"])),
    RowColumn("GB/s", lambda row: significant(row["achieved_gbps"])),
    RowColumn("bus GB/s", lambda row: significant(row["busbw_gbps"])),
    RowColumn("util", lambda row: percent(row["utilization"])),
    RowColumn("ceil", lambda row: percent(row["utilization_of_ceiling"]), from_width=100),
    RowColumn("tokens/s", lambda row: significant(row["tokens_per_s"]), from_width=120),
    RowColumn("W", lambda row: significant(row["power_w"]), from_width=120),
    RowColumn("bound", lambda row: str(row["roofline_bound"] or UNKNOWN)),
    RowColumn("status", status_cell, is_text=True),
)

# Columns that appear when their values differ.
IF_SEVERAL = (
    RowColumn("chip", lambda row: str(row["chip"]), is_text=True),
    RowColumn("dev", lambda row: _whole(row["device_index"])),
)


@dataclass(frozen=True)
class Page:
    """The selected rows, out of `total` in the files, in the named columns or by default the usual ones."""

    paths: Sequence[Path]
    frame: pd.DataFrame
    total: int
    names: Sequence[str]
    everything: bool

    @cached_property
    def rows(self) -> list[Row]:
        """The rows that are listed."""
        return list(frame_rows(self.frame if self.everything else self.frame.head(MOST_ROWS)))

    @cached_property
    def sections(self) -> dict[str, list[Row]]:
        """The rows by kernel, dtype and pass; the sections of a kernel follow each other."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            key = (str(row["kernel"]), short_dtype(str(row["dtype"])), str(row["pass"] or ""))
            groups.setdefault(key, []).append(row)
        kernels = list(dict.fromkeys(key[0] for key in groups))
        ordered = sorted(groups, key=lambda key: kernels.index(key[0]))
        return {printable(" ".join(filter(None, key))): groups[key] for key in ordered}

    @cached_property
    def columns(self) -> list[RowColumn]:
        """The columns after the case, without usual ones that are empty in every row."""
        if self.names:
            return [_named(name) for name in self.names]
        several = [
            column
            for column in IF_SEVERAL
            if len({column.text(row) for row in self.rows} - {UNKNOWN}) > 1
        ]
        usual = [
            column for column in USUAL if any(column.text(row) != UNKNOWN for row in self.rows)
        ]
        return [*several, *usual]


def page_blocks(page: Page) -> Iterator[Block]:
    """Yield what was measured and on which devices, the rows in sections, and the remarks."""
    yield Lines(headlines(page), role="lead")
    columns = [
        TableColumn(
            each.title, "left" if each.is_text else "right", each.is_text, None, each.from_width
        )
        for each in page.columns
    ]
    if not page.names:
        columns.insert(0, TableColumn("case", "left", wraps=True))
    sections = {
        title: [
            [*_first(page, row, before), *(printable(each.text(row)) for each in page.columns)]
            for row, before in zip(rows, [None, *rows], strict=False)
        ]
        for title, rows in page.sections.items()
    }
    styles = {} if page.names else status_styles(page.rows)
    yield Sections(columns, sections, title_column=bool(page.names), styles=styles)
    yield Lines(notes(page), role="notes")


def headlines(page: Page) -> list[str]:
    """Return the number of rows by status, and one line per device."""
    frame, files = page.frame, ", ".join(str(path) for path in page.paths)
    count = f"{len(frame):,}" if len(frame) == page.total else f"{len(frame):,} of {page.total:,}"
    statuses = frame["status"].value_counts()
    ended = ", ".join(f"{number:,} {status}" for status, number in statuses.items() if number)
    lines = [f"{files}: {count} row{'' if page.total == 1 else 's'}{': ' if ended else ''}{ended}"]
    simulated = int(frame["simulated"].sum())
    if simulated:
        lines.append(f"{simulated:,} of them of a simulated device: they are no measurement")
    devices = frame.drop_duplicates(["chip", "device_name", "backend", "host"])
    lines += [_device(row) for row in frame_rows(devices.head(MOST_DEVICES))]
    if len(devices) > MOST_DEVICES:
        lines.append(f"and {len(devices) - MOST_DEVICES} more; --columns device_name,chip,host")
    return [printable(line) for line in lines]


def notes(page: Page) -> list[str]:
    """Return errors and warnings, each text once, and how many rows and remarks were cut."""
    cases: dict[tuple[str, str], list[str]] = {}
    for row in page.rows:
        failed = row["status"] != "ok"
        remark = row["error"] if failed else row["warnings"]
        if remark:
            key = (str(row["status"]) if failed else "warning", str(remark))
            cases.setdefault(key, []).append(with_stage(case_name(row), row))
    lines = []
    for (kind, remark), names in cases.items():
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        lines.append(printable(f"{kind}: {names[0]}{others}: {remark}"))
    if len(lines) > MOST_REMARKS and not page.everything:
        rest = len(lines) - MOST_REMARKS
        lines[MOST_REMARKS:] = [f"and {rest:,} more remarks; --all shows them"]
    if len(page.rows) < len(page.frame):
        rest = len(page.frame) - len(page.rows)
        lines.append(f"and {rest:,} more rows; --all shows them, --filter selects some")
    return lines


def _device(row: Row) -> str:
    if row["source"] is not None:
        return f"{row['device_name']} ({row['chip']}), published: {row['source']}"
    when = str(row["started_at"] or "").partition("T")[0]
    versions = [f"{name} {row[name]}" for name in ("torch", "driver", "runtime") if row[name]]
    names = dict.fromkeys((row["device_name"], row["chip"], row["backend"]))
    name, *more = map(str, names)
    where = f"{name} ({', '.join(more)})" if more else name
    return ", ".join(filter(None, (where, str(row["host"] or ""), *versions, when)))


def _first(page: Page, row: Row, before: Row | None) -> list[str | Continued]:
    """Return the cell of the case; there is none if --columns names the columns."""
    if page.names:
        return []
    full = printable(with_stage(variant(row, case_shape(row)), row))
    if row["stage"] and before is not None and _same_case(row, before):
        return [Continued(full, printable(str(row["stage"])))]
    return [full]


def _same_case(row: Row, other: Row) -> bool:
    return all(
        row[name] == other[name] for name in ("run_id", "case_id", "implementation", "device_index")
    )


def _named(name: str) -> RowColumn:
    column = BY_NAME.get(name)
    is_text = column is None or column.type in ("text", "json")
    return RowColumn(name, partial(_value, name, column), is_text=is_text)


def _value(name: str, column: Column | None, row: Row) -> str:
    """Format a value: seconds with a unit, times to the second, four significant digits."""
    value: Any = row[name]
    if value is None:
        return UNKNOWN
    if column is not None and column.unit == "s":
        return seconds(value)
    if column is not None and column.type == "time":
        return str(value)[:19].replace("T", " ")
    if isinstance(value, bool):
        return str(value).lower()
    return significant(value, 4) if isinstance(value, float) else str(value)


def _whole(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def check_room(page: Page, width: int) -> None:
    """Raise UsageError if the columns of --columns do not fit the terminal."""
    needed = NARROWEST_TEXT
    for column in page.columns if page.names else ():
        longest = max([len(column.title), *(len(column.text(row)) for row in page.rows)])
        needed += 1 + (min(longest, NARROWEST_TEXT) if column.is_text else longest)
    if needed > width:
        raise UsageError(
            f"--columns: these {len(page.columns)} need {needed} characters per line, the terminal has "
            f"{width}: name fewer, widen the window, or use --format csv"
        )
