"""Which processes on a device are ours, and so no disturbance."""

from __future__ import annotations

import os

import psutil


def own_pids() -> set[int]:
    """Return this process and its siblings: workers of the same run, which wait for their turn."""
    try:
        siblings = psutil.Process(os.getppid()).children()
    except psutil.Error:  # the parent is outside of a container
        siblings = []
    return {os.getpid(), *(process.pid for process in siblings)}
