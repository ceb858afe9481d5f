"""The C file beside this one, compiled when it is first needed and kept in the user's cache.

It runs on the threads of the OpenMP library that torch has loaded: a second pool of threads would spin
on the same cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from backends.cpu.cache_folder import cache_folder, read_own, write_own
from backends.cpu.openmp import loaded_openmp
from backends.cpu.topology import cpu_topology
from bench.errors import Unsupported

SOURCE = Path(__file__).with_name("moe_kernel.c")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512_bf16")
# Linked without -ffast-math: there it would make the whole process round denormals to zero.
COMPILE = ("-c", "-O3", "-ffast-math", "-fPIC", "-fopenmp")
COMPILE_TIMEOUT_S = 120.0
LARGEST_BYTES = 1 << 24


def native_missing() -> str | None:
    """Say why this machine cannot have the library; None if it can. Compiles it if needed."""
    try:
        native_library()
    except Unsupported as error:
        return str(error)
    return None


@cache
def native_library() -> ctypes.CDLL:
    """Load the library, compiled now or earlier.

    Raises:
        Unsupported: the processor lacks the instructions, or there is no compiler that knows them.
    """
    lacking = set(INSTRUCTIONS) - cpu_topology().identity.flags
    if lacking or platform.system() != "Linux":
        raise Unsupported(f"needs Linux on a processor with {', '.join(INSTRUCTIONS)}")
    openmp = loaded_openmp()
    if openmp is None:
        raise Unsupported("this torch has no OpenMP threads to run on")
    compiler = compiler_command()
    flags = [*COMPILE, *(f"-m{name.replace('_', '')}" for name in INSTRUCTIONS)]
    made_from = [SOURCE.read_text(), *compiler, *flags, str(openmp)]
    digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
    folder = cache_folder()
    kept = None if folder is None else folder / f"cpu-moe-{digest}.so"
    code = None if kept is None else _read(kept)
    if code is not None:
        return _load(code, compiler)
    code = _compile(compiler, flags, openmp)
    library = _load(code, compiler)
    if kept is not None:
        write_own(kept, code + hashlib.sha256(code).digest())
    return library


def compiler_command() -> list[str]:
    """Read the C compiler's command line: the words of CC, or `cc` where that is unset or empty.

    Raises Unsupported if there is no such program.
    """
    text = os.environ.get("CC", "")
    try:
        command = shlex.split(text) or ["cc"]
    except ValueError as error:
        raise Unsupported(
            f"needs a C compiler: CC={text} is no command line ({error}); set CC to one, such as gcc"
        ) from None
    if shutil.which(command[0]) is None:
        raise Unsupported(
            f"needs a C compiler: {command[0]} was not found (set CC to name another)"
        )
    return command


def _read(kept: Path) -> bytes | None:
    """Read the kept library, whose digest follows it; None if it is not whole or not ours."""
    data = read_own(kept, LARGEST_BYTES) or b""
    size = hashlib.sha256().digest_size
    code, digest = data[:-size], data[-size:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def _compile(compiler: list[str], flags: list[str], openmp: Path) -> bytes:
    """Compile and link the library. Raises Unsupported with the compiler's reason."""
    command_line = shlex.join(compiler)
    try:
        with tempfile.TemporaryDirectory(prefix="accelerator-bench-") as folder:
            made, linked = Path(folder, "kernel.o"), Path(folder, "kernel.so")
            for command, result in (
                ([*compiler, *flags, str(SOURCE), "-o", str(made)], made),
                ([*compiler, "-shared", str(made), "-lm", str(openmp), "-o", str(linked)], linked),
            ):
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=COMPILE_TIMEOUT_S,
                    check=False,
                )
                if done.returncode != 0:
                    errors = [line for line in done.stderr.splitlines() if "error" in line]
                    reason = (errors or done.stderr.splitlines() or ["no reason given"])[0]
                    raise Unsupported(
                        f"{command_line} cannot compile {SOURCE.name}: {reason.strip()}"
                    )
                if not result.exists():
                    raise Unsupported(
                        f"{command_line} is no C compiler: it ended without an error and without an output "
                        "(set CC to name another)"
                    )
            return linked.read_bytes()
    except subprocess.TimeoutExpired:
        raise Unsupported(
            f"{command_line} did not compile {SOURCE.name} within {COMPILE_TIMEOUT_S:g} s"
        ) from None
    except OSError as error:
        raise Unsupported(f"{command_line} cannot compile {SOURCE.name}: {error}") from None


def _load(code: bytes, compiler: list[str]) -> ctypes.CDLL:
    """Load a library from memory, so that what was checked is what runs.

    A file could be replaced or truncated after the check, and a cache may be mounted noexec. The descriptor
    stays open: the loader knows libraries by name, and would take another library for this one.
    """
    try:
        memory = os.memfd_create(SOURCE.stem)
        with os.fdopen(memory, "wb", closefd=False) as file:
            file.write(code)
        return ctypes.CDLL(f"/proc/self/fd/{memory}")
    except OSError as error:
        raise Unsupported(
            f"what {shlex.join(compiler)} makes of {SOURCE.name} cannot be loaded: {error}"
        ) from None
