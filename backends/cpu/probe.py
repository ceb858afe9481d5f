"""Runs loops of machine code on several threads at once and times them: a script, because it may crash.

rates.py starts it as `python -I -S probe.py`: it imports nothing but the standard library. It
reads one JSON object from its input (see `main`) and writes one object per line: what it is about to
try, what is refused, and at the end what was measured. If the process dies, its last line names the
loop.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Short repetitions: the more there are, the likelier is one that nothing disturbs. Reading the time
# takes 50 ns, and leaving the loop as little.
REPETITION_NS = 150_000
REPETITIONS = 3  # in a row, on all threads
# One-cycle additions that the machine code can execute beside an iteration, and how many times the
# iteration's own cycles they must last to count those.
CHAIN_LINKS = 400
CHAIN_LENGTH = 1.25

Times = tuple[int, int, int]  # when a repetition began, when its chains did, when it ended, in ns


@dataclass(frozen=True)
class Calibration:
    """How many iterations make a repetition, and how many links of the chain run beside each."""

    iterations: int
    links: int


# From Linux's arch/x86/include/uapi/asm/prctl.h and uapi/linux/prctl.h.
SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18
PR_SVE_GET_VL, PR_SVE_VL_LEN_MASK = 51, 0xFFFF


class Code:
    """Machine code in memory of its own: written first, then executable and no longer writable."""

    def __init__(self, code: bytes) -> None:
        # Elsewhere, or in a 32-bit Python on a 64-bit kernel, the code would be another machine's.
        if sys.platform != "linux" or sys.maxsize < 2**32:
            raise OSError("machine code is run by 64-bit processes on Linux only")
        self._page = mmap.mmap(-1, len(code), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._page.write(code)
        self._buffer = (ctypes.c_char * len(code)).from_buffer(self._page)
        address = ctypes.c_void_p(ctypes.addressof(self._buffer))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(address, ctypes.c_size_t(len(code)), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "mprotect refused executable memory")
        if os.uname().machine == "aarch64":
            _flush_instruction_cache(address, len(code))
        number, pointer = ctypes.c_uint64, ctypes.c_void_p
        prototype = ctypes.CFUNCTYPE(None, number, number, pointer, pointer, pointer, number)
        self._call = prototype(address.value or 0)
        self._clock = ctypes.cast(libc.clock_gettime, pointer)

    def run(self, calibration: Calibration, repetitions: int, waiting: int) -> list[Times]:
        """Run the loop without and with the chain, `repetitions` times; Python's lock is released.

        `waiting` is the address of a 64-bit count of the threads that have not arrived.
        """
        clocks = (ctypes.c_int64 * (6 * repetitions))()  # struct timespec: seconds, nanoseconds
        self._call(
            calibration.iterations,
            repetitions,
            ctypes.addressof(clocks),
            self._clock,
            waiting,
            CHAIN_LINKS - calibration.links,
        )
        ns = [clocks[i] * 1_000_000_000 + clocks[i + 1] for i in range(0, len(clocks), 2)]
        return list(zip(ns[::3], ns[1::3], ns[2::3], strict=True))


def _flush_instruction_cache(address: ctypes.c_void_p, size: int) -> None:
    """Make freshly written code visible to the instruction fetch, which Arm does not do by itself.

    Raises OSError or AttributeError where no function for it is found: to run stale bytes would end
    the process.
    """
    flush: Any = ctypes.CDLL("libgcc_s.so.1").__clear_cache
    flush(address, ctypes.c_void_p((address.value or 0) + size))


def permit_tiles() -> None:
    """Ask Linux for AMX's registers, which a process has on request only; OSError if refused."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA):
        error = ctypes.get_errno()
        raise OSError(error, f"Linux does not permit AMX: {os.strerror(error)}")


def sve_bytes() -> int:
    """Ask for the bytes of an SVE register, 0 where there is none."""
    answer: int = ctypes.CDLL(None).prctl(PR_SVE_GET_VL)
    return max(0, answer) & PR_SVE_VL_LEN_MASK


def calibrate(code: Code) -> Calibration:
    """Find out how long an iteration takes; the processor may refuse the first."""
    waiting = ctypes.c_int64()
    iterations = 1
    while True:
        waiting.value = 1
        times = code.run(Calibration(iterations, CHAIN_LINKS), 3, ctypes.addressof(waiting))
        plain, chained = fastest(times)
        if chained >= REPETITION_NS // 2:
            break
        iterations *= 4
    links = math.ceil(CHAIN_LENGTH * CHAIN_LINKS * plain / chained)
    return Calibration(
        max(1, iterations * REPETITION_NS // max(1, plain)), min(CHAIN_LINKS, max(1, links))
    )


def run_together(
    loops: Sequence[tuple[Code, Calibration]],
    steps: Sequence[int],
    threads: int,
    announce: Callable[[int], None],
) -> list[list[list[Times]]]:
    """Run `loops[step]` for each of `steps` on all threads; return the times by step and thread.

    The threads wait for each other before each step, in machine code: Python would let them go one
    after the other. RuntimeError if so many threads cannot be started.
    """
    waiting = (ctypes.c_int64 * len(steps))(*[threads] * len(steps))
    times: list[list[list[Times]]] = [[[]] * threads for _ in steps]
    all_there = threading.Event()

    def work(thread: int) -> None:
        all_there.wait()
        for place, step in enumerate(steps):
            if thread == 0:
                announce(step)
            barrier = ctypes.addressof(waiting) + 8 * place
            code, calibration = loops[step]
            times[place][thread] = code.run(calibration, REPETITIONS, barrier)

    workers = [threading.Thread(target=work, args=(each,), daemon=True) for each in range(threads)]
    for worker in workers:
        worker.start()
    all_there.set()
    for worker in workers:
        worker.join()
    return times


def overlapping(times: Sequence[Sequence[Times]]) -> list[Times]:
    """Keep the repetitions during which every thread was at work.

    With fewer cores busy the others may run faster, which is no rate that all can have.
    """
    begin = max(thread[0][0] for thread in times)
    end = min(thread[-1][2] for thread in times)
    return [each for thread in times for each in thread if each[0] >= begin and each[2] <= end]


def fastest(times: Sequence[Times]) -> tuple[int, int]:
    """Find the shortest times of a loop without and with the chain, in ns.

    An interrupt, another process or a stolen time slice can only lengthen a repetition.
    """
    return min(b - a for a, b, _ in times), min(c - b for _, b, c in times)


def rate(rounds: Sequence[Sequence[Sequence[Times]]], calibration: Calibration) -> list[float]:
    """Compute the seconds per iteration and the clock in Hz from the times of each step and thread.

    Where no repetition lies inside a time when every thread was at work, all count.
    """
    inside = [each for times in rounds for each in overlapping(times)]
    everything = [each for times in rounds for thread in times for each in thread]
    plain, chained = fastest(inside or everything)
    cycles = calibration.links * calibration.iterations
    return [plain / calibration.iterations / 1e9, cycles / chained * 1e9]


def write_line(**facts: object) -> None:
    """Write a line at once: the process may not live to write another."""
    print(json.dumps(facts), flush=True)


def main() -> None:
    """Try each loop alone, then measure those that ran, pass after pass.

    Reads `{"loops": [{"name", "code" (hexadecimal), "tiles"}], "threads", "cpus", "passes"}`.
    Writes `{"trying": name}`, `{"refused": name, "reason"}` and at last `{"measured": {name:
    [seconds per iteration, clock in Hz]}, "sve_bytes"}`.
    """
    request = json.load(sys.stdin)
    if sys.platform == "linux" and request["cpus"]:
        # The process that asks may be bound to fewer: OpenMP binds its threads one by one.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, request["cpus"])
    names: list[str] = []
    loops: list[tuple[Code, Calibration]] = []
    for loop in request["loops"]:
        write_line(trying=loop["name"])
        try:
            if loop["tiles"]:
                permit_tiles()
            code = Code(bytes.fromhex(loop["code"]))
        except (OSError, AttributeError) as error:
            write_line(refused=loop["name"], reason=str(error))
            continue
        loops.append((code, calibrate(code)))
        names.append(loop["name"])
    steps = list(range(len(loops))) * request["passes"]
    times = run_together(
        loops, steps, request["threads"], lambda step: write_line(trying=names[step])
    )
    measured = {
        name: rate(times[place :: len(loops)], loops[place][1]) for place, name in enumerate(names)
    }
    write_line(measured=measured, sve_bytes=sve_bytes() if sys.platform == "linux" else 0)


if __name__ == "__main__":
    main()
