"""NVIDIA's management library through pynvml: a GPU's identity, settings, counters and processes.

Read-only: clocks, power limits and modes are never set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

from backends.sensors import count_others, own_pids
from bench.errors import DeviceLost

# What a user can do about an error of NVML; other errors keep NVML's own text.
ADVICE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "libnvidia-ml.so.1 is missing: no NVIDIA driver, or a container that was started without it"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA kernel module is not loaded; nvidia-smi says why",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to query the driver; see `ls -l /dev/nvidia*`",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the driver's library and its kernel module have different versions; a reboot loads the new module"
    ),
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        "the GPU has fallen off the bus; `dmesg | grep Xid` has details, and only a reset or a reboot "
        "brings it back"
    ),
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU has to be reset before it can be used again",
}
LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)

# NVML counts one clock edge; all memory on these cards transfers data on both.
TRANSFERS_PER_CYCLE = 2


def sentence(error: pynvml.NVMLError) -> str:
    """Explain an NVML error, with what to do about it where that is known."""
    return f"NVML: {ADVICE.get(error.value, str(error))}"


@contextmanager
def session() -> Iterator[None]:
    """Keep NVML initialized for the duration of a block; NVML counts initializations."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def unavailable() -> str | None:
    """Say why NVML cannot be used; None if it can."""
    try:
        with session():
            return None
    except pynvml.NVMLError as error:
        return sentence(error)


def driver_version() -> str | None:
    """Read the driver's version, None where NVML does not answer."""
    try:
        with session():
            return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def ask(function: str, *arguments: Any) -> Any:
    """Call a function of NVML; None where binding, driver or card lack it.

    Raises DeviceLost where NVML reports that the GPU is gone.
    """
    if None in arguments:  # a device that NVML has no handle for
        return None
    try:
        call: Callable[..., Any] = getattr(pynvml, function)
        return call(*arguments)
    except AttributeError:
        return None
    except pynvml.NVMLError as error:
        if error.value in LOST:
            raise DeviceLost(sentence(error)) from None
        return None


class Gpu:
    """One GPU or MIG slice as NVML sees it; to be used within a `session`."""

    def __init__(self, uuid: str) -> None:
        """Look the device up by the UUID that the runtime reports, with or without its prefix.

        Raises LookupError where NVML does not know it, and DeviceLost where it is gone.
        """
        bare = uuid.removeprefix("GPU-").removeprefix("MIG-")
        handles = (ask("nvmlDeviceGetHandleByUUID", f"{kind}-{bare}") for kind in ("GPU", "MIG"))
        self._own = next((handle for handle in handles if handle is not None), None)
        if self._own is None:
            raise LookupError(uuid)
        self.is_slice = bool(ask("nvmlDeviceIsMigDeviceHandle", self._own))
        # A slice has processes of its own; its sensors are those of the whole GPU.
        self.board = self._own
        if self.is_slice:
            self.board = ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", self._own)

    def energy_j(self) -> float | None:
        """Read the energy that the GPU has taken since the driver was loaded; None for a slice."""
        if self.is_slice:
            return None  # the counter includes the other slices
        millijoules = ask("nvmlDeviceGetTotalEnergyConsumption", self.board)
        return None if millijoules is None else millijoules * 1e-3

    def power_w(self) -> float | None:
        """Read the power: that of the moment where the driver has it (`power_is_instant`)."""
        instant_w = self._instant_power_w()
        if instant_w is not None or self.is_slice:
            return instant_w
        milliwatts = ask("nvmlDeviceGetPowerUsage", self.board)
        return None if milliwatts is None else milliwatts * 1e-3

    def power_is_instant(self) -> bool:
        """Whether `power_w` is that of the moment, rather than an average of the last second.

        nvmlDeviceGetPowerUsage averages over a second on all GPUs from Ampere on except the A100 (NVML API
        reference). Drivers from 530 on have a field with the power of the moment for most of them.
        """
        if self._instant_power_w() is not None:
            return True
        capability = ask("nvmlDeviceGetCudaComputeCapability", self.board)
        return capability is not None and tuple(capability) <= (8, 0)

    def _instant_power_w(self) -> float | None:
        if self.is_slice:
            return None  # the power includes the other slices
        values = ask("nvmlDeviceGetFieldValues", self.board, [pynvml.NVML_FI_DEV_POWER_INSTANT])
        if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
            return None
        return float(values[0].value.uiVal) * 1e-3

    def uncorrected_errors(self) -> int | None:
        """Count the memory errors since the driver was loaded that ECC could not repair."""
        kinds = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
        count = ask("nvmlDeviceGetTotalEccErrors", self.board, *kinds)
        return None if count is None else int(count)

    def state(self) -> str | None:
        """Describe the settings that measurements depend on: ECC, persistence mode and MIG."""
        ecc = ask("nvmlDeviceGetEccMode", self.board)
        persistence = ask("nvmlDeviceGetPersistenceMode", self.board)
        mig = ask("nvmlDeviceGetMigMode", self.board)
        settings = [
            f"{name} {'on' if value else 'off'}"
            for name, value in (
                ("ECC", ecc and ecc[0]),
                ("persistence", persistence),
                ("MIG", mig and mig[0]),
            )
            if value is not None
        ]
        return "; ".join([*settings, *(["slice of a GPU"] if self.is_slice else [])]) or None

    def other_processes(self) -> int | None:
        """Count the processes of others that compute on the device, None where unknown."""
        running = ask("nvmlDeviceGetComputeRunningProcesses", self._own)
        return None if running is None else count_others([p.pid for p in running], own_pids())

    def max_clock_mhz(self) -> float | None:
        """Read the highest clock of the SMs."""
        mhz = ask("nvmlDeviceGetMaxClockInfo", self.board, pynvml.NVML_CLOCK_SM)
        return None if mhz is None else float(mhz)

    def peak_gbps(self) -> float | None:
        """Compute the memory's rate from its bus width and highest clock, None for a slice."""
        bits = ask("nvmlDeviceGetMemoryBusWidth", self.board)
        mhz = ask("nvmlDeviceGetMaxClockInfo", self.board, pynvml.NVML_CLOCK_MEM)
        if self.is_slice or bits is None or mhz is None:
            return None
        return float(bits / 8 * mhz * TRANSFERS_PER_CYCLE / 1e3)


def check_present(uuid: str) -> None:
    """Raise DeviceLost if NVML reports that the GPU is gone; do nothing without NVML."""
    try:
        with session():
            ask("nvmlDeviceGetPersistenceMode", Gpu(uuid).board)
    except (pynvml.NVMLError, LookupError):
        return
