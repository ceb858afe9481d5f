"""The contract between the harness and a vendor's backend: everything that a plug-in provides.

A backend is one class, registered in the entry point group `bench.backends`. It runs in a worker
process of its own, so the harness survives whatever it imports, and if it crashes or hangs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Kernel, Operand

# How a time is taken: by the host's clock, by the device's events, or by events around a recorded graph.
TIMINGS = ("host", "events", "graph")


@dataclass(frozen=True)
class Device:
    """One device as the backend sees it. Unknown values are None, never zero."""

    index: int
    name: str
    chip: str
    memory_bytes: int | None = None
    cache_bytes: int | None = None  # of the last-level cache, which `cache: cold` must exceed
    driver: str | None = None
    runtime: str | None = None
    threads: int | None = None
    simulated: bool = False


# A rate may exceed a peak or ceiling by this factor through measurement error. Beyond it, the limit, the
# clock or the time is wrong.
TOLERATED_EXCESS = 1.02


@dataclass(frozen=True)
class Limits:
    """The highest rates of a device in one dtype: from the data sheet (peak) and measured (ceiling).

    Rates are in TFLOP/s (TOP/s for integers) and GB/s (1e9 bytes per second). `launch_s` is the time of
    an empty execution, the shortest time that any kernel can take.
    """

    peak_tflops: float | None = None
    peak_gbps: float | None = None
    peak_source: str | None = None
    ceiling_tflops: float | None = None
    ceiling_gbps: float | None = None
    ceiling_source: str | None = None
    launch_s: float | None = None


@dataclass(frozen=True)
class Telemetry:
    """Readings of the device's sensors while samples were taken; None without a reading.

    Values are medians over that time, except for these. `energy_j` is the energy of all samples when a
    sampler returns it, and of one execution in a result row. `throttle` names the reasons of throttling.
    `busy` and `memory_busy` are fractions of the time. `device_state` names settings such as ECC.
    `ecc_errors` counts uncorrected errors, `other_processes` the processes of others on the device.
    `remark` is added to the warnings of the row.
    """

    power_w: float | None = None
    energy_j: float | None = None
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle: str | None = None
    memory_peak_bytes: int | None = None
    memory_clock_mhz: float | None = None
    busy: float | None = None
    memory_busy: float | None = None
    ecc_errors: int | None = None
    other_processes: int | None = None
    device_state: str | None = None
    remark: str | None = None


@dataclass(frozen=True)
class Finding:
    """One line of `bench doctor`: a fact, and if something is wrong the command that fixes it.

    `warn` is for what distorts measurements or is missing, `fail` for what prevents them.
    """

    level: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    mend: str | None = None


class TelemetrySampler(Protocol):
    """Reads the sensors of a device between `start` and `stop` without disturbing the timing."""

    def start(self) -> None:
        """Start reading; called after warm-up."""

    def stop(self) -> Telemetry:
        """Return the readings since `start`; `energy_j` is the total over that time."""


class Prepared(Protocol):
    """A case allocated on a device and ready to be timed.

    Optional attributes, each None or absent where unknown: `compile_s`, the seconds that compiling and tuning
    took; `multiple`, of which the executions of a call are always a multiple, as in a recorded graph of
    several; `launch_s`, the time of an empty execution launched in the same way, instead of the device's;
    `host_bound`, whether the device waited for the host's launches in the last calls.
    """

    timing: str  # how `run` measures time, one of TIMINGS
    flush_bytes: int  # the memory that a cold run rotates through or flushes; 0 if hot

    def run(self, loops: int) -> float:
        """Execute the case `loops` times in a row and wait; return the seconds on the device's timer.

        The seconds are checked against the host's clock around the call and against the number of
        executions. What cannot be true ends in status `wrong_timing`.
        """

    def outputs(self) -> Mapping[str, NDArray[np.generic]]:
        """Execute once; return the outputs on the host, in numpy types that hold them exactly."""

    def close(self) -> None:
        """Free the device's memory."""


@runtime_checkable
class HandsOver(Protocol):
    """A recommended ability of a Prepared: it hands over the outputs that `run` left behind."""

    def take_outputs(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the outputs of the last execution on the host, without executing; then spoil them.

        Once they are spoiled on the device (with NaN, say), outputs show whether the next execution
        really wrote them. Without this method, the check after timing is one more call of `outputs`.
        """


@runtime_checkable
class Staged(Protocol):
    """An optional ability of a Prepared: the time of each stage of an execution."""

    def stages(self, loops: int) -> Mapping[str, float] | None:
        """Execute `loops` times; return the seconds in each stage of the kernel, or None if unknown."""


@runtime_checkable
class HasReference(Protocol):
    """An optional ability of a Backend: a reference product that shows how fast the device is now."""

    def reference_seconds(self, device: Device) -> float:
        """Time a fixed small product, the best of a few; a few milliseconds in all.

        It is called in every visit. Compared between two runs on one device, it shows whether the whole
        machine or only the case was slow.
        """


class Backend(Protocol):
    """A vendor's devices. The class is constructed without arguments, and construction must be cheap.

    A backend may also have a method `diagnose(self) -> list[Finding]`: what `bench doctor` reports
    about its drivers and devices. It is called whether or not the backend is available.
    """

    name: str
    priority: int  # among the backends that have a device, the highest is the default

    def unavailable(self) -> str | None:
        """Return a sentence that says why this backend cannot be used here, or None if it can."""

    def devices(self) -> list[Device]:
        """Return the devices that are present, in the order of their indices."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries in use, such as {"torch": "2.13.0"}.

        All except torch's go to the column `libraries`, also settings that results depend on.
        """

    def implementations(self, kernel: str) -> list[str]:
        """Return the names of a kernel's implementations, best first."""

    def unsupported(self, case: Kernel, implementation: str, device: Device) -> str | None:
        """Return a sentence that says why a case cannot run, or None if it can."""

    def prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> Prepared:
        """Allocate a case. Raises Unsupported, OutOfMemory or DeviceLost of `bench.errors`."""

    def limits(self, device: Device, dtype: str) -> Limits:
        """Return the device's peaks and ceilings for a dtype, each None where unknown."""

    def telemetry(self, device: Device) -> TelemetrySampler:
        """Return a sampler of the device's sensors."""
