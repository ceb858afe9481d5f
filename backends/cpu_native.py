"""The C file beside this one, compiled when it is first needed and kept in the user's cache.

It runs on the threads of the OpenMP library that torch has loaded: a second pool of threads would
wait in loops on the same cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from backends.cache_folder import cache_folder
from backends.cpu_topology import cpu_topology
from bench.errors import Unsupported

SOURCE = Path(__file__).with_name("cpu_moe_kernel.c")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512_bf16")
# Linked without -ffast-math: there it would make the whole process round denormals to zero.
COMPILE = ("-c", "-O3", "-ffast-math", "-fPIC", "-fopenmp")


def native_missing() -> str | None:
    """Return why the library cannot be had on this machine, or None; compiles it if need be."""
    try:
        native_library()
    except Unsupported as error:
        return str(error)
    return None


@cache
def native_library() -> ctypes.CDLL:
    """Return the compiled library.

    Raises:
        Unsupported: the processor lacks the instructions, or there is no compiler that knows them.
    """
    lacking = set(INSTRUCTIONS) - cpu_topology().identity.flags
    if lacking or platform.system() != "Linux":
        raise Unsupported(f"needs Linux on a processor with {', '.join(INSTRUCTIONS)}")
    openmp = _loaded_openmp()
    if openmp is None:
        raise Unsupported("this torch has no OpenMP threads to run on")
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise Unsupported(f"needs a C compiler: {compiler} was not found (set CC to name another)")
    flags = [*COMPILE, *(f"-m{name.replace('_', '')}" for name in INSTRUCTIONS)]
    made_from = [SOURCE.read_text(), compiler, *flags, str(openmp)]
    digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
    folder = cache_folder()
    library = folder / f"cpu-moe-{digest}.so"
    if not library.exists():
        _compile(compiler, flags, openmp, library)
    return ctypes.CDLL(str(library))


def _compile(compiler: str, flags: list[str], openmp: Path, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made, linked = Path(folder, "kernel.o"), Path(folder, library.name)
        for command in (
            [compiler, *flags, str(SOURCE), "-o", str(made)],
            [compiler, "-shared", str(made), "-lm", str(openmp), "-o", str(linked)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                errors = [line for line in done.stderr.splitlines() if "error" in line]
                said = (errors or done.stderr.splitlines() or ["no reason given"])[0]
                raise Unsupported(f"{compiler} cannot compile {SOURCE.name}: {said.strip()}")
        # Other workers may be doing the same; whoever is last puts the same library there again.
        linked.replace(library)


def _loaded_openmp() -> Path | None:
    """Return the OpenMP library of this process, which torch brought or found."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        found = re.search(r"(/.*/lib(?:gomp|iomp5|omp)\b[^/]*)$", line)
        if found:
            return Path(found[1])
    return None
