"""What `bench doctor` tells about NVIDIA GPUs: their settings, their heat, and who else is on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pynvml

from backends.cuda import nvml
from backends.cuda.nvml import ask
from bench.backend import Finding
from bench.errors import DeviceLost

# Below the temperature at which GPUs slow themselves down, by 5 to 10 °C.
HOT_C = 80


def diagnose() -> list[Finding]:
    """Return what the driver's library says about every GPU; nothing where there is no driver."""
    try:
        with nvml.session():
            count = ask("nvmlDeviceGetCount") or 0
            found = [finding for index in range(count) for finding in _gpu(index)]
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return []  # no NVIDIA driver: that there is no GPU has been told
        text = f"{nvml.sentence(error)}: rows will have no power, clock and temperature"
        return [Finding("warn", "sensors", text, "nvidia-smi")]
    return found or [Finding("ok", "GPUs", f"{count}: no remark")]


def _gpu(index: int) -> Iterator[Finding]:
    name = f"GPU {index}"
    try:
        gpu = ask("nvmlDeviceGetHandleByIndex", index)
        if gpu is None:
            yield Finding("warn", name, "the driver does not let it be asked", "ls -l /dev/nvidia*")
            return
        yield from _settings(name, index, gpu)
        yield from _use(name, index, gpu)
    except DeviceLost as lost:
        yield Finding("fail", name, str(lost), "sudo nvidia-smi --gpu-reset")


def _settings(name: str, index: int, gpu: Any) -> Iterator[Finding]:
    if ask("nvmlDeviceGetPersistenceMode", gpu) == 0:
        yield Finding(
            "warn",
            name,
            "persistence mode is off: the driver is loaded anew for each run",
            f"sudo nvidia-smi -i {index} --persistence-mode=1",
        )
    limit = ask("nvmlDeviceGetPowerManagementLimit", gpu)
    usual = ask("nvmlDeviceGetPowerManagementDefaultLimit", gpu)
    if limit is not None and usual is not None and limit < usual:
        yield Finding(
            "warn",
            name,
            f"power limit {limit / 1e3:.0f} W, {usual / 1e3:.0f} W by default",
            f"sudo nvidia-smi -i {index} --power-limit={usual / 1e3:.0f}",
        )


def _use(name: str, index: int, gpu: Any) -> Iterator[Finding]:
    heat = ask("nvmlDeviceGetTemperature", gpu, pynvml.NVML_TEMPERATURE_GPU)
    if heat is not None and heat >= HOT_C:
        yield Finding(
            "warn",
            name,
            f"{heat} °C: it will be slowed down",
            f"nvidia-smi -i {index} -q -d TEMPERATURE",
        )
    running = ask("nvmlDeviceGetComputeRunningProcesses", gpu)
    if running:
        pids = [str(process.pid) for process in running]
        yield Finding(
            "warn",
            name,
            f"used by {len(pids)} process{'' if len(pids) == 1 else 'es'}: {', '.join(pids[:5])}",
            f"ps -fp {' '.join(pids)}    # stop it, or take another GPU",
        )
