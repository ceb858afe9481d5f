"""The OpenMP library whose threads torch computes on: how many there are, and where they are bound."""

from __future__ import annotations

import ctypes
import os
import re
from functools import cache
from pathlib import Path

from bench.processors import BINDING, PROCESSORS


def loaded_openmp() -> Path | None:
    """Find the OpenMP library of this process, torch's own or the system's."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    for line in maps.splitlines():
        library = re.search(r"(/.*/lib(?:gomp|iomp5|omp)\b[^/]*)$", line)
        if library:
            return Path(library[1])
    return None


@cache
def _library() -> ctypes.CDLL | None:
    path = loaded_openmp()
    return None if path is None else ctypes.CDLL(str(path))


def bound_processors() -> frozenset[int] | None:
    """List the processors of this process that threads are bound to, None where they are not bound.

    The list is empty where all places are elsewhere: only the main thread can run then.
    """
    openmp = _library()
    if openmp is None or not hasattr(openmp, "omp_get_num_places"):
        return None
    processors: set[int] = set()
    for place in range(openmp.omp_get_num_places()):
        ids = (ctypes.c_int * openmp.omp_get_place_num_procs(place))()
        openmp.omp_get_place_proc_ids(place, ids)
        processors.update(ids)
    return PROCESSORS & processors if processors else None


def binding_variables() -> str:
    """Name the variables of the environment that bind threads, as NAME=value."""
    return ", ".join(f"{name}={os.environ[name]}" for name in BINDING if name in os.environ)


def threads_chosen() -> bool:
    """Check whether OMP_NUM_THREADS is a number; OpenMP ignores other values."""
    return re.match(r"\s*0*[1-9]", os.environ.get("OMP_NUM_THREADS", "")) is not None


def permitted_threads(threads: int) -> int:
    """Let OpenMP start as many threads as it is asked for; return how many of `threads` it can start.

    With OMP_DYNAMIC or OMP_MAX_ACTIVE_LEVELS=0 it may start fewer than torch believes; that is switched off
    for the calling thread. OMP_THREAD_LIMIT cannot be.
    """
    openmp = _library()
    if openmp is None or not hasattr(openmp, "omp_get_thread_limit"):
        return threads
    openmp.omp_set_dynamic(0)
    if openmp.omp_get_max_active_levels() < 1:
        openmp.omp_set_max_active_levels(1)
    limit: int = openmp.omp_get_thread_limit()
    return min(threads, limit)
