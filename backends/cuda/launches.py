"""What a launch costs on a GPU: kernels that do nothing, launched one by one and as a recorded graph.

torch.cuda._sleep(cycles) launches one thread that reads the SM's clock until so many cycles have passed
(spin_kernel, ATen/cuda/Sleep.cu of torch 2.6 to 2.13); with 0 it is an empty kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from backends.torch.events import EventTimer, least_seconds
from backends.torch.graphs import recorded
from backends.torch.implementation import Tensors

# About 0.5 ms on a GPU at 2 GHz.
TRIAL_CYCLES = 1_000_000


def empty() -> Tensors:
    """Launch a kernel that does nothing."""
    torch.cuda._sleep(0)
    return {}


@cache
def blocking(device: torch.device) -> Callable[[float], None]:
    """Make the function that keeps the current stream busy for so many seconds."""
    cycles_per_s = _cycles_per_s(device)
    return lambda seconds: torch.cuda._sleep(int(seconds * cycles_per_s))


def _cycles_per_s(device: torch.device) -> float:
    """Measure how many cycles a second has; the fastest of a few trials, as the clock may rise."""

    def spin() -> Tensors:
        torch.cuda._sleep(TRIAL_CYCLES)
        return {}

    timer = EventTimer(device)
    return TRIAL_CYCLES / min(timer([spin]) for _ in range(5))


@cache
def launch_seconds(device: torch.device) -> float:
    """Measure the time of an empty kernel in a queue of them."""
    return least_seconds(EventTimer(device, blocking(device)), empty)


@cache
def graph_launch_seconds(device: torch.device, executions: int) -> float:
    """Measure the time of an empty kernel in a graph of so many, with its part of the replay."""
    replay = recorded([empty] * executions, device, torch.cuda.CUDAGraph)
    return least_seconds(EventTimer(device, blocking(device)), replay) / executions
