"""The clock that the cores run at while all of them work, measured.

A virtual machine hides the clock, /proc/cpuinfo shows the nominal one (2.6 GHz on a core that runs
at 3.7), and a peak rate computed from it is wrong by the same factor. A chain of dependent
additions takes one cycle each on every processor, so timing such a chain counts cycles.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

LINKS = 100  # additions in the loop's body: the branch at its end hides behind their latency
ITERATIONS = 100_000  # 10 million cycles, 2 to 5 ms at 2 to 5 GHz
REPETITIONS = 10

Span = tuple[int, int]  # begin and end of one repetition, in ns


@dataclass(frozen=True)
class Clock:
    """Cycles per second of a core under load, None where unknown, and how that was found out."""

    hz: float | None
    source: str


def measure_clock(threads: int = 1) -> Clock:
    """Measure the clock while `threads` cores work at the same time; about 50 ms.

    The fastest repetition counts: an interrupt, another process or a stolen time slice can only
    lengthen a repetition, and nothing shortens one below its number of cycles. The code is scalar:
    a processor that lowers its clock under wide vector or matrix instructions (older Xeons do)
    reaches less than this clock promises, never more.

    Where machine code cannot be run, the operating system's own figure is used, and `source` says
    so.
    """
    code = chain_code(platform.machine(), LINKS, ITERATIONS)
    seconds = None if code is None else fastest_s(code, threads)
    if seconds is not None:
        return Clock(LINKS * ITERATIONS / seconds, "measured")
    return reported_clock()


def reported_clock() -> Clock:
    """Return the highest clock that the operating system claims, as psutil reads it."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        frequency = None
    mhz = 0.0 if frequency is None else frequency.max or frequency.current
    if not mhz:
        return Clock(None, "unknown")
    return Clock(mhz * 1e6, "reported by the operating system, not measured")


def chain_code(machine: str, links: int, iterations: int) -> bytes | None:
    """Assemble `iterations` rounds of `links` dependent one-cycle additions, as a C `void f(void)`.

    Both operands are registers: Intel's cores since Golden Cove execute additions of a small
    constant while renaming, several of a chain in one cycle. Only registers that every calling
    convention lets a function overwrite are used. None for an architecture without code here.
    """
    if machine.lower() in ("x86_64", "amd64"):
        # 64-byte alignment of the loop keeps it in whole lines of the micro-operation cache.
        head = (
            b"\xb8" + struct.pack("<I", iterations) + b"\x31\xc9\x31\xd2"
        )  # eax = n; ecx, edx = 0
        head += b"\x90" * (64 - len(head))
        body = b"\x48\x01\xca" * links + b"\xff\xc8"  # add rdx, rcx; …; dec eax
        back = struct.pack("<i", -(len(body) + 6))
        return head + body + b"\x0f\x85" + back + b"\xc3"  # jnz to the body; ret
    if machine.lower() in ("aarch64", "arm64"):
        words = [
            0x52800000 | (iterations & 0xFFFF) << 5,  # movz w0, low half
            0x72A00000 | (iterations >> 16) << 5,  # movk w0, high half, lsl 16
            0xD2800001,  # movz x1, 0
            0xD2800002,  # movz x2, 0
            *[0x8B020021] * links,  # add x1, x1, x2
            0x71000400,  # subs w0, w0, 1
            0x54000001 | (-(links + 1) & 0x7FFFF) << 5,  # b.ne to the first addition
            0xD65F03C0,  # ret
        ]
        return struct.pack(f"<{len(words)}I", *words)
    return None


def fastest_s(code: bytes, threads: int, repetitions: int = REPETITIONS) -> float | None:
    """Run `code` on `threads` threads at once and return its shortest time; None if it cannot run.

    ctypes releases Python's lock around the call, so the threads do run side by side.
    """
    try:
        loaded = _Executable(code)
    except (OSError, AttributeError, ValueError):
        return None
    spans: list[list[Span]] = [[] for _ in range(threads)]
    together = threading.Barrier(threads)

    def work(mine: list[Span]) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait()
            for _ in range(repetitions):
                begin = time.perf_counter_ns()
                loaded.run()
                mine.append((begin, time.perf_counter_ns()))

    workers = [threading.Thread(target=work, args=(mine,), daemon=True) for mine in spans]
    try:
        for worker in workers:
            worker.start()
    except RuntimeError:  # a limit on processes: those that started would wait for ever
        together.abort()
        return None
    for worker in workers:
        worker.join()
    return fastest_overlapping_ns(spans) / 1e9


def fastest_overlapping_ns(spans: Sequence[Sequence[Span]]) -> int:
    """Return the shortest of the repetitions during which every thread was at work.

    With fewer cores busy the others may run faster, which is not the clock that all can have.
    Where no repetition lies wholly inside that window, all count.
    """
    begin = max(mine[0][0] for mine in spans)
    end = min(mine[-1][1] for mine in spans)
    everything = [span for mine in spans for span in mine]
    inside = [span for span in everything if span[0] >= begin and span[1] <= end]
    return min(last - first for first, last in inside or everything)


class _Executable:
    """Machine code in memory of its own: written first, then executable and no longer writable."""

    run: Callable[[], None]

    def __init__(self, code: bytes) -> None:
        # Elsewhere, or in a 32-bit Python on a 64-bit kernel, running it could end the process.
        if sys.platform != "linux" or sys.maxsize < 2**32:
            raise OSError("machine code is run by 64-bit processes on Linux only")
        self._page = mmap.mmap(-1, len(code), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._page.write(code)
        self._buffer = (ctypes.c_char * len(code)).from_buffer(self._page)
        address = ctypes.c_void_p(ctypes.addressof(self._buffer))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(address, ctypes.c_size_t(len(code)), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "mprotect refused executable memory")
        if platform.machine().lower() in ("aarch64", "arm64"):
            _flush_instruction_cache(address, len(code))
        self.run = ctypes.CFUNCTYPE(None)(address.value or 0)


def _flush_instruction_cache(address: ctypes.c_void_p, size: int) -> None:
    """Make freshly written code visible to the instruction fetch, which Arm does not do by itself.

    Raises OSError or AttributeError where no function for it is found: to run stale bytes would end
    the process.
    """
    flush: Any = ctypes.CDLL("libgcc_s.so.1").__clear_cache
    flush(address, ctypes.c_void_p((address.value or 0) + size))
