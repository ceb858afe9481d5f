"""Summary of a run on several devices: how much they differ, and which is the slowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.results.columns import Row
from bench.text.format import percent
from bench.text.naming import dtype_and_variant

# With more devices than this the summary does not list each one.
MOST_DEVICES = 16


def device_lines(
    rows: Sequence[Row], shapes: Mapping[str, str], names: Mapping[int, str]
) -> list[str]:
    """Return the summary, empty for a single device; `names` has the name of each device index."""
    rows = [row for row in rows if not row.get("stage")]  # stages add up to their layer
    if len({row["device_index"] for row in rows}) < 2:
        return []
    import pandas as pd

    from bench.analysis.devices import device_spread

    columns = ["case_id", "implementation", "device_index", "status", "time_median_s"]
    frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows])
    spread = device_spread(frame)
    if spread is None:
        return ["devices: no case was measured on all of them, so they cannot be compared"]
    slowest, widest = spread.slowest, spread.widest
    case = next(row for row in rows if row["case_id"] == widest)
    relative = spread.relative_time
    lines = [
        f"devices: {slowest} ({names.get(slowest, 'unknown')}) is the slowest, "
        f"{percent(relative[slowest] - 1, 1)} over the median device in {len(spread.spreads)} "
        f"case{'s' * (len(spread.spreads) > 1)}",
        f"devices: the largest difference is {percent(spread.spreads[widest], 1)}, in "
        f"{case['kernel']} {dtype_and_variant(case, shapes.get(widest, widest))}",
    ]
    if len(relative) <= MOST_DEVICES:
        each = (f"{device}: {percent(value, 1)}" for device, value in sorted(relative.items()))
        lines.append(f"devices: time relative to the median device: {', '.join(each)}")
    return lines
