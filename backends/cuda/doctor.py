"""What `bench doctor` examines on NVIDIA GPUs: settings, temperature, and other processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pynvml

from backends.cuda import nvml
from backends.cuda.nvml import ask
from bench.backend import Finding
from bench.errors import DeviceLost

# 5 to 10 °C below the temperature at which GPUs throttle.
HOT_C = 80


def diagnose() -> list[Finding]:
    """Examine every GPU through the driver's library; nothing where there is no driver."""
    try:
        with nvml.session():
            count = ask("nvmlDeviceGetCount") or 0
            findings = [finding for index in range(count) for finding in _gpu(index)]
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return []  # no NVIDIA driver: reported already as no GPU
        text = f"{nvml.sentence(error)}: rows will have no power, clock and temperature"
        return [Finding("warn", "sensors", text, "nvidia-smi")]
    return findings or [Finding("ok", "GPUs", f"{count}: nothing to report")]


def _gpu(index: int) -> Iterator[Finding]:
    name = f"GPU {index}"
    try:
        gpu = ask("nvmlDeviceGetHandleByIndex", index)
        if gpu is None:
            yield Finding("warn", name, "the driver refuses queries about it", "ls -l /dev/nvidia*")
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
            "persistence mode is off: the driver is reloaded for each run",
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
            f"{heat} °C: it will throttle",
            f"nvidia-smi -i {index} -q -d TEMPERATURE",
        )
    running = ask("nvmlDeviceGetComputeRunningProcesses", gpu)
    if running:
        pids = [str(process.pid) for process in running]
        yield Finding(
            "warn",
            name,
            f"used by {len(pids)} process{'' if len(pids) == 1 else 'es'}: {', '.join(pids[:5])}",
            f"ps -fp {' '.join(pids)}    # stop it, or use another GPU",
        )
