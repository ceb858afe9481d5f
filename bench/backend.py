"""The contract between the harness and a vendor's backend: everything a plug-in has to provide.

A backend is one class, found through the entry point group `bench.backends`. It runs in a worker
process of its own, so it may import what it likes, crash, or hang: the harness survives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Kernel, Operand


@dataclass(frozen=True)
class Device:
    """One device as a backend sees it; what is not known stays None, never zero."""

    index: int
    name: str
    chip: str
    memory_bytes: int | None = None
    cache_bytes: int | None = None  # the last-level cache, which `cache: cold` has to defeat
    driver: str | None = None
    runtime: str | None = None
    threads: int | None = None
    simulated: bool = False


# A rate may exceed a peak or ceiling by this factor through measurement error. Beyond it, the limit, the
# clock or the time is wrong.
TOLERATED_EXCESS = 1.02


@dataclass(frozen=True)
class Limits:
    """What a device can do at most in one dtype: by its data sheet (peak) and as measured (ceiling).

    Rates are TFLOP/s (TOP/s for integers) and GB/s, 1e9 bytes. `launch_s` is the time of an empty
    execution, below which no kernel can be seen.
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
    """What the device's sensors said while samples were taken; None where they said nothing.

    Sensors are medians; `energy_j` is the joules of all samples as a sampler reports it, and of one
    execution in a result row. `throttle` names the reasons; `busy` and `memory_busy` are shares of
    the time; `device_state` names settings such as ECC; `ecc_errors` are those that were not
    corrected; `other_processes` counts those of others on the device; `remark` is for the warnings.
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
    """One thing that `bench doctor` tells: what is so, and where it is not well the command that mends it.

    `warn` is what distorts a measurement or is missing, `fail` what prevents one.
    """

    level: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    mend: str | None = None


class TelemetrySampler(Protocol):
    """Watches a device between `start` and `stop` without disturbing what is timed."""

    def start(self) -> None:
        """Begin to watch; called after warm-up."""

    def stop(self) -> Telemetry:
        """Return what was seen since `start`; `energy_j` is the total over that time."""


class Prepared(Protocol):
    """A case allocated on a device, ready to be timed.

    One that was compiled or tuned for may have `compile_s`, the seconds that this took.
    """

    timing: str  # how `run` takes the time: host, events, graph
    flush_bytes: int  # the memory that a cold run cycles through or flushes; 0 when hot

    def run(self, loops: int) -> float:
        """Execute the case `loops` times in a row; return the seconds by the device's own timer."""

    def outputs(self) -> Mapping[str, NDArray[np.generic]]:
        """Execute once and return the outputs on the host, in a numpy type that holds them exactly."""

    def close(self) -> None:
        """Give the device's memory back."""


@runtime_checkable
class Staged(Protocol):
    """What a Prepared may offer besides: where an execution spends its time."""

    def stages(self, loops: int) -> Mapping[str, float] | None:
        """Execute `loops` times; return the seconds in each stage of the kernel, None if unknown."""


class Backend(Protocol):
    """A vendor's devices. Constructed without arguments; construction must be cheap.

    A backend may have a method `diagnose(self) -> list[Finding]` besides: what `bench doctor` is to
    tell about its drivers and devices. It is called whether the backend is available or not.
    """

    name: str
    priority: int  # among the backends that have a device, the highest is the default

    def unavailable(self) -> str | None:
        """Return why this backend cannot be used here, as a sentence, or None when it can."""

    def devices(self) -> list[Device]:
        """Return the devices present, by index."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that take part, such as {"torch": "2.13.0"}."""

    def implementations(self, kernel: str) -> list[str]:
        """Return the names of the implementations offered for a kernel, best first."""

    def unsupported(self, case: Kernel, implementation: str, device: Device) -> str | None:
        """Return why a case cannot run, as a sentence, or None when it can."""

    def prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> Prepared:
        """Allocate a case. Raises Unsupported, OutOfMemory or DeviceLost of `bench.errors`."""

    def limits(self, device: Device, dtype: str) -> Limits:
        """Return the device's peaks and ceilings for a dtype, each None where unknown."""

    def telemetry(self, device: Device) -> TelemetrySampler:
        """Return a sampler of the device's sensors."""
