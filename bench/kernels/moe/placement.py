"""Which assignments of tokens to experts one device computes, when several devices share the experts.

Experts lie in the order of their numbers: device d of N holds the experts d·E/N to (d+1)·E/N - 1 of E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Which of the devices is measured, by the number of assignments that its experts receive.
NamedDevice = Literal["mean", "median", "hottest"]


@dataclass(frozen=True)
class Assignments:
    """The assignments that a device's experts receive, in the order of its tokens, one per element.

    `token` is the device's token that is read, `slot` which of that token's gate weights applies, and
    `expert` the expert by its number on this device, all int64.
    """

    token: NDArray[np.int64]
    slot: NDArray[np.int64]
    expert: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.expert)


@dataclass(frozen=True)
class Share:
    """What one device has of a routing: its own tokens' experts, and what reaches its experts.

    `chosen` [tokens, top_k] int32 are the experts of the device's tokens. `device_load` is the number of
    assignments over the mean of all devices, None for a single device. `routing_sha256` is the hash of the
    routing of all devices.
    """

    chosen: NDArray[np.int32]
    assignments: Assignments
    device_load: float | None
    routing_sha256: str


def every_assignment(chosen: NDArray[np.int32], *, experts: int, local_experts: int) -> Assignments:
    """List all assignments of `chosen` [tokens, top_k]; expert e is local expert e mod local_experts.

    Numbers from `experts` on are zero-computation experts, to which no row is sent.
    """
    token, slot = np.nonzero(chosen < experts)
    return Assignments(token, slot, chosen[token, slot].astype(np.int64) % local_experts)


def arrivals(
    chosen: NDArray[np.int32], *, device: int, local_experts: int, tokens: int
) -> Assignments:
    """List the assignments of `chosen` [tokens of all devices, top_k] to the experts of one device.

    The device's own `tokens` stand in for the tokens of its peers, each for an equal part of the
    arrivals: of A arrivals, number i reads token ⌊i·tokens/A⌋, and takes that token's weights in turn.
    """
    top_k = chosen.shape[1]
    expert = chosen.ravel()
    expert = expert[expert // local_experts == device].astype(np.int64) % local_experts
    number = np.arange(len(expert))
    token = number * tokens // len(expert)
    slot = (number - np.searchsorted(token, token)) % top_k
    return Assignments(token, slot, expert)


def loads_of_devices(chosen: NDArray[np.int32], local_experts: int, devices: int) -> NDArray[Any]:
    """Count the assignments to each device's experts, [devices]."""
    return np.bincount(chosen.ravel() // local_experts, minlength=devices)[:devices]


def find_device(loads: NDArray[Any], named: NamedDevice) -> int:
    """Find the device of that name by the `loads` [devices] of all; of equals, the first.

    hottest: the largest load. mean: the load closest to the mean. median: of the loads in ascending
    order the middle one, or the larger of the two in the middle. Devices without any assignment have
    nothing to compute, and are left out, though not from the mean.
    """
    busy = np.flatnonzero(loads) if loads.any() else np.arange(1)
    if named == "hottest":
        return int(busy[np.argmax(loads[busy])])
    if named == "mean":
        return int(busy[np.argmin(np.abs(loads[busy] - loads.mean()))])
    ascending = busy[np.argsort(loads[busy], kind="stable")]
    return int(ascending[len(ascending) // 2])
