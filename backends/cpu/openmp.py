"""The OpenMP library whose threads torch computes on, and the processors that it binds them to."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

# They bind threads when the library is loaded (gcc.gnu.org/onlinedocs/libgomp, "Environment Variables").
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


def loaded_openmp() -> Path | None:
    """Return the OpenMP library of this process, which torch brought or found."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    for line in maps.splitlines():
        found = re.search(r"(/.*/lib(?:gomp|iomp5|omp)\b[^/]*)$", line)
        if found:
            return Path(found[1])
    return None


def bound_processors() -> frozenset[int] | None:
    """Return the processors of all OpenMP places; None where threads are not bound, or nobody tells."""
    library = loaded_openmp()
    if library is None:
        return None
    openmp = ctypes.CDLL(str(library))
    if not hasattr(openmp, "omp_get_num_places"):
        return None
    processors: set[int] = set()
    for place in range(openmp.omp_get_num_places()):
        ids = (ctypes.c_int * openmp.omp_get_place_num_procs(place))()
        openmp.omp_get_place_proc_ids(place, ids)
        processors.update(ids)
    return frozenset(processors) or None


def binding_variables() -> str:
    """Return the variables of the environment that bind threads, as NAME=value."""
    return ", ".join(f"{name}={os.environ[name]}" for name in BINDING if name in os.environ)
