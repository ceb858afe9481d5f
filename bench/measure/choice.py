"""What a visit runs on: the device, and the implementation that can compute the case there."""

from __future__ import annotations

from bench.backend import Backend, Device
from bench.errors import DeviceLost, Unsupported
from bench.kernels.base import Kernel


def choose(backend: Backend, kernel: Kernel, wanted: str, device: Device) -> str:
    """Return the implementation to use; raises Unsupported with the reasons if there is none."""
    if wanted != "best":
        reason = backend.unsupported(kernel, wanted, device)
        if reason is not None:
            raise Unsupported(reason)
        return wanted
    reasons: list[str] = []
    for implementation in backend.implementations(kernel.name):
        reason = backend.unsupported(kernel, implementation, device)
        if reason is None:
            return implementation
        reasons.append(reason)
    raise Unsupported(
        "; ".join(dict.fromkeys(reasons))
        or f"backend {backend.name} has no implementation of {kernel.name}"
    )


def find_device(devices: list[Device], index: int) -> Device:
    """Return a device that was there when the run began; raises DeviceLost where it is gone."""
    for device in devices:
        if device.index == index:
            return device
    raise DeviceLost(f"device {index} is not among the {len(devices)} that are left")
