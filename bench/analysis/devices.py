"""How the devices of one run differ: the same cases on each, and so the same time on equal ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class DeviceSpread:
    """The devices of a run against each other, over the cases that all of them measured.

    `relative_time` is a device's geometric mean, over the cases, of its time over the median of all
    devices in that case; `spreads` is (slowest − fastest) / median of each case, by case_id.
    """

    relative_time: dict[int, float]
    spreads: dict[str, float]

    @property
    def slowest(self) -> int:
        """The index of the device that took longest."""
        return max(self.relative_time, key=lambda device: self.relative_time[device])

    @property
    def widest(self) -> str:
        """The case_id whose times differ most."""
        return max(self.spreads, key=lambda case: self.spreads[case])


def device_spread(rows: pd.DataFrame) -> DeviceSpread | None:
    """Return how devices differ; None where no case was measured on several.

    `rows` has the columns case_id, implementation, device_index, status and time_median_s. Rows of
    cases that some device could not measure are left out, so that all are judged by the same work.
    """
    ok = rows[rows["status"] == "ok"]
    times = ok.pivot_table(
        index=["case_id", "implementation"],
        columns="device_index",
        values="time_median_s",
        aggfunc="last",
    )
    times = times.dropna()
    if times.empty or times.shape[1] < 2:
        return None
    median = times.median(axis=1)
    relative = np.exp(np.log(times.div(median, axis=0)).mean())
    spread = (times.max(axis=1) - times.min(axis=1)) / median
    by_case = spread.groupby(level="case_id").max()
    return DeviceSpread(
        {int(device): float(value) for device, value in relative.items()},
        {str(case): float(value) for case, value in by_case.items()},
    )
