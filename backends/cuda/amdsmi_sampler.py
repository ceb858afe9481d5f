"""Watches an AMD GPU's sensors through amdsmi, the Python library that ROCm comes with.

Functions, keys and exceptions are those of amdsmi 6.1 to 7.0 (github.com/ROCm/amdsmi,
py-interface/amdsmi_interface.py). Nothing is ever set.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from backends.sensors import (
    Counters,
    Reading,
    Watch,
    count_others,
    own_pids,
    plausible,
    summarize,
    with_counters,
)
from bench.backend import Telemetry

# Counters of how long a GPU was throttled, by cause; they stand still while it is not.
VIOLATIONS = {
    "acc_ppt_pwr": "power cap",
    "acc_socket_thrm": "thermal (socket)",
    "acc_hbm_thrm": "thermal (memory)",
    "acc_vr_thrm": "thermal (voltage regulator)",
    "acc_prochot_thrm": "thermal (hardware)",
}


def bdf(properties: Any) -> str | None:
    """Format a GPU's PCI address from torch's device properties, None where they lack it."""
    if not hasattr(properties, "pci_domain_id"):
        return None
    domain, bus, device = properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def load() -> Any:
    """Import amdsmi. Raises ImportError where it or the library beneath it is missing."""
    try:
        # Without libamd_smi.so it prints advice, and then fails in one way or another.
        with contextlib.redirect_stdout(io.StringIO()):
            return import_module("amdsmi")
    except Exception as error:
        raise ImportError(
            "amdsmi is not installed; it comes with ROCm: pip install /opt/rocm/share/amd_smi"
        ) from error


class AmdGpu:
    """One GPU as amdsmi sees it, from construction to `close`."""

    def __init__(self, address: str) -> None:
        """Find the GPU at a PCI address. Raises ImportError, or AmdSmiException where it is not."""
        self._smi = load()
        self._smi.amdsmi_init()
        try:
            self._handle = self._smi.amdsmi_get_processor_handle_from_bdf(address)
        except self._smi.AmdSmiException:
            self.close()
            raise

    def close(self) -> None:
        """Shut the library down."""
        with contextlib.suppress(self._smi.AmdSmiException):
            self._smi.amdsmi_shut_down()

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a query of amdsmi about the GPU; None where library or GPU lack it."""
        call = getattr(self._smi, f"amdsmi_get_{function}", None)
        try:
            return None if call is None else call(self._handle, *arguments)
        except self._smi.AmdSmiException:
            return None

    def reading(self) -> Reading:
        """Read all sensors once."""
        power = self.ask("power_info") or {}
        busy = self.ask("gpu_activity") or {}
        kinds = self._smi.AmdSmiClkType
        return Reading(
            at_s=time.monotonic(),
            # The momentary power of MI300 and later; those before it have an average only.
            power_w=plausible("power_w", _number(power, "current_socket_power"))
            or _number(power, "average_socket_power"),
            clock_mhz=_number(self.ask("clock_info", kinds.GFX) or {}, "clk", "cur_clk"),
            memory_clock_mhz=_number(self.ask("clock_info", kinds.MEM) or {}, "clk", "cur_clk"),
            temperature_c=self._temperature_c(),
            busy=_share(_number(busy, "gfx_activity")),
            memory_busy=_share(_number(busy, "umc_activity")),
        )

    def _temperature_c(self) -> float | None:
        smi = self._smi
        for sensor in (smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureType.EDGE):
            degrees = self.ask("temp_metric", sensor, smi.AmdSmiTemperatureMetric.CURRENT)
            if degrees:
                return float(degrees)
        return None

    def energy_j(self) -> float | None:
        """Read the energy that the GPU has taken; the counter has its own step, in microjoules."""
        energy = self.ask("energy_count") or {}
        steps = _number(energy, "energy_accumulator")
        step_uj = _number(energy, "counter_resolution")
        return None if steps is None or step_uj is None else steps * step_uj * 1e-6

    def violations(self) -> Mapping[str, float]:
        """Read the counters of what throttles the GPU; a query takes a tenth of a second."""
        status = self.ask("violation_status") or {}
        counts = {name: _number(status, name) for name in VIOLATIONS}
        return {name: count for name, count in counts.items() if count is not None}

    def uncorrected_errors(self) -> int | None:
        """Count the memory errors that ECC could not repair."""
        count = _number(self.ask("gpu_total_ecc_count") or {}, "uncorrectable_count")
        return None if count is None else int(count)

    def other_processes(self) -> int | None:
        """Count the processes of others on the GPU, None where unknown."""
        running = self.ask("gpu_process_list")
        return (
            count_others([process["pid"] for process in running], own_pids()) if running else None
        )

    def state(self) -> str | None:
        """Describe how the GPU is partitioned: SPX is undivided compute, NPS1 undivided memory."""
        modes = (self.ask("gpu_compute_partition"), self.ask("gpu_memory_partition"))
        return "; ".join(str(mode) for mode in modes if mode and mode != "N/A") or None

    def driver_version(self) -> str | None:
        """Read the version of the kernel driver."""
        version = (self.ask("gpu_driver_info") or {}).get("driver_version")
        return str(version) if version and version != "N/A" else None


def driver_version(address: str | None) -> str | None:
    """Read the driver's version, None where amdsmi does not answer."""
    if address is None:
        return None
    try:
        gpu = AmdGpu(address)
    except Exception:
        return None
    try:
        return gpu.driver_version()
    finally:
        gpu.close()


class AmdSampler:
    """Reads the sensors of the GPU at a PCI address in a thread, from `start` to `stop`."""

    def __init__(self, address: str | None) -> None:
        """Watch the GPU there; None where torch does not report the address."""
        self._address = address
        self._gpu: AmdGpu | None = None
        self._missing = "no telemetry: this torch does not report the GPU's PCI address"

    def start(self) -> None:
        """Begin to sample; without amdsmi or the GPU in it, keep the reason as the remark."""
        if self._address is None:
            return
        try:
            gpu = AmdGpu(self._address)
        except Exception as error:
            reason = " ".join(str(error).split())
            prefix = "" if isinstance(error, ImportError) else "amdsmi: "
            self._missing = f"no telemetry: {prefix}{reason}"
            return
        self._state, self._before = gpu.state(), Counters.of(gpu)
        self._violations = gpu.violations()
        self._watch = Watch(gpu.reading)
        self._gpu = gpu

    def stop(self) -> Telemetry:
        """End sampling; summarize what was read since `start`."""
        gpu = self._gpu
        if gpu is None:
            return Telemetry(remark=self._missing)
        self._gpu = None
        try:
            telemetry = summarize(self._watch.end())
            telemetry = with_counters(telemetry, self._before, Counters.of(gpu))
            throttle = sorted(
                VIOLATIONS[name]
                for name, count in gpu.violations().items()
                if count > self._violations.get(name, count)
            )
            return replace(
                telemetry, throttle="; ".join(throttle) or None, device_state=self._state
            )
        finally:
            gpu.close()


def _number(answer: Mapping[str, Any], *keys: str) -> float | None:
    """Look up the first key that has a number; amdsmi writes "N/A" for what is unknown."""
    values = (answer.get(key) for key in keys)
    numbers = (value for value in values if isinstance(value, int | float))
    return next(map(float, numbers), None)


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
