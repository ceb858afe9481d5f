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

from backends.sensors import Reading, Watch, count_others, own_pids, summarize
from bench.backend import Telemetry

# Counters of how long a GPU was held back, and by what; they stand still while it is not.
VIOLATIONS = {
    "acc_ppt_pwr": "power cap",
    "acc_socket_thrm": "thermal (socket)",
    "acc_hbm_thrm": "thermal (memory)",
    "acc_vr_thrm": "thermal (voltage regulator)",
    "acc_prochot_thrm": "thermal (hardware)",
}


def bdf(properties: Any) -> str | None:
    """Return a GPU's PCI address from torch's device properties, None where they lack it."""
    if not hasattr(properties, "pci_domain_id"):
        return None
    domain, bus, device = properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def load() -> Any:
    """Return the module amdsmi. Raises ImportError where it or the library beneath is missing."""
    try:
        # Without libamd_smi.so it prints advice, and then fails in one way or another.
        with contextlib.redirect_stdout(io.StringIO()):
            return import_module("amdsmi")
    except Exception as error:
        raise ImportError(
            "amdsmi is not here; it comes with ROCm: pip install /opt/rocm/share/amd_smi"
        ) from error


class Gpu:
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
        """Let go of the library."""
        with contextlib.suppress(self._smi.AmdSmiException):
            self._smi.amdsmi_shut_down()

    def ask(self, function: str, *arguments: Any) -> Any:
        """Return what a function answers about the GPU, None where library or GPU lack it."""
        call = getattr(self._smi, f"amdsmi_get_{function}", None)
        try:
            return None if call is None else call(self._handle, *arguments)
        except self._smi.AmdSmiException:
            return None

    def reading(self) -> Reading:
        """Return one reading."""
        power = self.ask("power_info") or {}
        busy = self.ask("gpu_activity") or {}
        kinds = self._smi.AmdSmiClkType
        return Reading(
            at_s=time.monotonic(),
            # The momentary power of MI300 and later; those before it have an average only.
            power_w=_number(power, "current_socket_power", "average_socket_power"),
            clock_mhz=_number(self.ask("clock_info", kinds.GFX) or {}, "clk", "cur_clk"),
            memory_clock_mhz=_number(self.ask("clock_info", kinds.MEM) or {}, "clk", "cur_clk"),
            temperature_c=self._temperature_c(),
            busy=_share(_number(busy, "gfx_activity")),
            memory_busy=_share(_number(busy, "umc_activity")),
        )

    def _temperature_c(self) -> float | None:
        smi = self._smi
        for sensor in (smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureType.EDGE):
            found = self.ask("temp_metric", sensor, smi.AmdSmiTemperatureMetric.CURRENT)
            if found:
                return float(found)
        return None

    def energy_j(self) -> float | None:
        """Return the energy that the GPU has taken; the counter has its own step, in microjoules."""
        found = self.ask("energy_count") or {}
        steps, step_uj = _number(found, "energy_accumulator"), _number(found, "counter_resolution")
        return None if steps is None or step_uj is None else steps * step_uj * 1e-6

    def violations(self) -> Mapping[str, float]:
        """Return the counters of what holds the GPU back; asking takes a tenth of a second."""
        found = self.ask("violation_status") or {}
        known = {name: _number(found, name) for name in VIOLATIONS}
        return {name: count for name, count in known.items() if count is not None}

    def uncorrected_errors(self) -> int | None:
        """Return the memory errors that ECC could not repair."""
        count = _number(self.ask("gpu_total_ecc_count") or {}, "uncorrectable_count")
        return None if count is None else int(count)

    def other_processes(self) -> int | None:
        """Return how many processes of others are on the GPU, None where unknown."""
        running = self.ask("gpu_process_list")
        return (
            count_others([process["pid"] for process in running], own_pids()) if running else None
        )

    def state(self) -> str | None:
        """Return how the GPU is partitioned: SPX is whole, and NPS1 its memory."""
        modes = (self.ask("gpu_compute_partition"), self.ask("gpu_memory_partition"))
        return "; ".join(str(mode) for mode in modes if mode and mode != "N/A") or None

    def driver_version(self) -> str | None:
        """Return the version of the kernel's driver."""
        version = (self.ask("gpu_driver_info") or {}).get("driver_version")
        return str(version) if version and version != "N/A" else None


def driver_version(address: str | None) -> str | None:
    """Return the driver's version, None where amdsmi does not answer."""
    if address is None:
        return None
    try:
        gpu = Gpu(address)
    except Exception:
        return None
    try:
        return gpu.driver_version()
    finally:
        gpu.close()


class AmdSampler:
    """Reads the sensors of the GPU at a PCI address in a thread, from `start` to `stop`."""

    def __init__(self, address: str | None) -> None:
        """Watch the GPU there; with None there is nothing to be watched."""
        self._address = address
        self._gpu: Gpu | None = None
        self._missing = "no telemetry: this torch does not tell the GPU's PCI address"

    def start(self) -> None:
        """Begin to sample; where amdsmi is missing or does not know the GPU, remember why."""
        if self._address is None:
            return
        try:
            gpu = Gpu(self._address)
        except Exception as error:
            said = " ".join(str(error).split())
            self._missing = (
                f"no telemetry: {said if isinstance(error, ImportError) else f'amdsmi: {said}'}"
            )
            return
        self._before = Telemetry(device_state=gpu.state(), other_processes=gpu.other_processes())
        self._errors, self._violations = gpu.uncorrected_errors(), gpu.violations()
        self._energy_j = gpu.energy_j()
        self._watch = Watch(gpu.reading)
        self._gpu = gpu

    def stop(self) -> Telemetry:
        """End sampling; return what was seen since `start`."""
        gpu = self._gpu
        if gpu is None:
            return Telemetry(remark=self._missing)
        self._gpu = None
        try:
            seen, energy_j = summarize(self._watch.end()), gpu.energy_j()
            if energy_j is not None and self._energy_j is not None:
                # A counter that did not move in the meantime has told nothing.
                seen = replace(seen, energy_j=energy_j - self._energy_j or None)
            errors, violations = gpu.uncorrected_errors(), gpu.violations()
            held = sorted(
                VIOLATIONS[name]
                for name, count in violations.items()
                if count > self._violations.get(name, count)
            )
            both = [self._before.other_processes, gpu.other_processes()]
            known = errors is not None and self._errors is not None
            return replace(
                seen,
                throttle="; ".join(held) or None,
                device_state=self._before.device_state,
                other_processes=max((n for n in both if n is not None), default=None),
                ecc_errors=errors - self._errors if known else None,  # type: ignore[operator]
            )
        finally:
            gpu.close()


def _number(found: Mapping[str, Any], *keys: str) -> float | None:
    """Return the first of some keys that has a number; amdsmi writes "N/A" for what is unknown."""
    values = (found.get(key) for key in keys)
    numbers = (value for value in values if isinstance(value, int | float))
    return next(map(float, numbers), None)


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
