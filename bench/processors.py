"""The processors that this process may use, read when this module is first imported.

That must be before torch: with OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY or KMP_AFFINITY in the
environment, its OpenMP library binds the main thread to one processor when it is loaded.
"""

from __future__ import annotations

import os


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


PROCESSORS = _affinity()
