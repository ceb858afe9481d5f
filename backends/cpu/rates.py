"""How fast the processor runs each loop of loops.py, measured in a process of its own, which may crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.cpu.loops import MachineLoop

PROBE = Path(__file__).with_name("probe.py")
PASSES = 8  # over all loops; one takes about 1 ms per loop
# A pass takes milliseconds; a loop that does not end by then never does. A machine so busy that
# honest loops take as long gets no second and third chance without end.
CHILD_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class LoopRate:
    """Operations per second of one core while all cores in use run the loop, and its clock meanwhile."""

    per_second: float
    clock_hz: float

    @property
    def per_cycle(self) -> float:
        """Operations per cycle of one core."""
        return self.per_second / self.clock_hz


@dataclass(frozen=True)
class Measured:
    """The rates of the loops that ran, and why the others did not, by the loops' names."""

    rates: Mapping[str, LoopRate]
    refused: Mapping[str, str]


def measure_rates(
    loops: Sequence[MachineLoop],
    threads: int,
    cpus: Sequence[int],
    passes: int = PASSES,
    timeout_s: float = CHILD_TIMEOUT_S,
) -> Measured:
    """Run the loops on `threads` threads at once, on any of `cpus`.

    A loop that ends its process (the processor refuses an instruction) or that does not end is
    dropped, and the others are tried in a new process.
    """
    refused: dict[str, str] = {}
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    while left := [loop for loop in loops if loop.name not in refused]:
        request = {
            "loops": [
                {"name": loop.name, "code": loop.code.hex(), "tiles": loop.tiles} for loop in left
            ],
            "threads": threads,
            "cpus": list(cpus),
            "passes": passes,
        }
        lines, end = _run_probe(json.dumps(request), timeout_s)
        refused |= {line["refused"]: line["reason"] for line in lines if "refused" in line}
        last = lines[-1] if lines else {}
        if "measured" in last:
            return Measured(_rates(left, last), refused)
        if "trying" in last and time.monotonic() < deadline:
            refused[last["trying"]] = end
        else:
            refused |= {loop.name: end for loop in left if loop.name not in refused}
    return Measured({}, refused)


def _rates(loops: Sequence[MachineLoop], last: Mapping[str, Any]) -> dict[str, LoopRate]:
    rates = {}
    for loop in loops:
        if loop.name in last["measured"]:
            seconds, clock_hz = last["measured"][loop.name]
            vectors = last["sve_bytes"] / 16 if loop.scalable else 1
            rates[loop.name] = LoopRate(loop.operations * vectors / seconds, clock_hz)
    return rates


def _run_probe(request: str, timeout_s: float) -> tuple[list[dict[str, Any]], str]:
    """Run the probe; return the objects that it wrote, and how it ended."""
    # Isolated, and without site packages: nothing of the current folder can be imported.
    command = [sys.executable, "-I", "-S", str(PROBE)]
    try:
        done = subprocess.run(
            command, input=request.encode(), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as hung:
        return list(_lines(hung.stdout)), f"it did not end within {timeout_s:g} s"
    except OSError as error:
        return [], f"no process could be started: {error}"
    return list(_lines(done.stdout)), _ended(done)


def _lines(output: bytes | None) -> Iterator[dict[str, Any]]:
    for line in (output or b"").splitlines(keepends=True):
        if line.endswith(b"\n"):  # the last may have been cut off
            yield json.loads(line)


def _ended(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode == -signal.SIGILL:
        return "the processor refuses it (SIGILL)"
    if done.returncode < 0:
        return f"it ended its process ({signal.Signals(-done.returncode).name})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"its process ended with status {done.returncode}"
