"""The worker process: imports the backends and visits cases, one at a time.

Started by WorkerProcess with the arguments REQUEST_FD ANSWER_FD PARENT_PID. It may crash, hang or
run out of memory: whatever happens here costs one case, and the supervisor writes it down.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from bench import plugins
from bench.backend import Backend, Finding, FormsGroups, Place
from bench.errors import BenchError, DeviceLost, OutOfMemory, PeerLost, Unsupported
from bench.kernels.base import Kernel
from bench.measure.border import checked_devices, checked_priority, checked_texts
from bench.measure.choice import choose, find_device
from bench.measure.code_identity import code_identity
from bench.measure.protocol import (
    BackendDescription,
    Measure,
    Outcome,
    decode,
    encode,
    measure_from_json,
    outcome_to_json,
)
from bench.measure.ranks import group_backend
from bench.measure.sampling import Sampler
from bench.measure.visit import Visit

# Progress is reported at most this often.
PROGRESS_INTERVAL_S = 0.1


class Worker:
    """Serves requests until the supervisor closes its end."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._backends: dict[str, Backend] = {}
        self._sampler: Sampler | None = None
        self._last_progress_s = 0.0
        # The cost of another process like this one: starting it, and loading backends.
        self._started_s = time.time() - psutil.Process().create_time()

    def serve(self) -> None:
        """Say which bench this is, then answer every request in turn."""
        self._send({"message": "hello", "code": code_identity()})
        plugins.announce = lambda *plug_in: self._send({"message": "importing", "plug_in": plug_in})
        while line := self._requests.readline():
            answer = self.answer(decode(line))
            self._send({"message": "done", "answer": answer})

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the answer to a request, as JSON values."""
        if request["request"] == "describe":
            return [asdict(self.describe(name)) for name in request["backends"]]
        if request["request"] == "diagnose":
            return [asdict(finding) for finding in self.diagnose(request["backend"])]
        return outcome_to_json(self.measure(measure_from_json(request["measure"])))

    def describe(self, name: str) -> BackendDescription:
        """Return what a backend offers here, or why it cannot be used."""
        try:
            backend = self.backend(name)
            reason = backend.unavailable()
            if reason is not None:
                return BackendDescription(name, str(reason))
            plugins.load_all(plugins.CHIPS)  # one that ends this process does so before any case
            return BackendDescription(
                name,
                None,
                priority=checked_priority(backend),
                devices=checked_devices(backend),
                versions=checked_texts(backend.versions(), f"versions() of backend {name}"),
                implementations={
                    kernel: checked_texts(
                        backend.implementations(kernel), f"implementations() of backend {name}"
                    )
                    for kernel in plugins.kernels()
                },
                ranks_share_devices=isinstance(backend, FormsGroups)
                and bool(backend.ranks_share_devices),
            )
        except (Exception, SystemExit) as error:
            return BackendDescription(name, _sentence(error))

    def diagnose(self, name: str) -> list[Finding]:
        """Return a backend's findings for `bench doctor`; none where it has no such method."""
        try:
            diagnose = getattr(self.backend(name), "diagnose", list)
        except Exception:
            return []  # its description says why
        try:
            return [replace(finding) for finding in diagnose()]
        except Exception as error:
            return [Finding("warn", "diagnosis", f"it failed: {_sentence(error)}")]

    def measure(self, request: Measure) -> Outcome:
        """Visit one case; never raises for what the case does."""
        phases: dict[str, float] = {}
        try:
            outcome = self._visit(request, phases)
            return replace(outcome, process=os.getpid())
        except Unsupported as error:
            return Outcome("unsupported", _sentence(error), phases_s=phases)
        except (OutOfMemory, MemoryError) as error:
            return Outcome("out_of_memory", _sentence(error), phases_s=phases)
        except DeviceLost as error:
            return Outcome("device_lost", _sentence(error), phases_s=phases)
        except PeerLost as error:
            return Outcome("timeout", _sentence(error), phases_s=phases)
        except Exception as error:
            status = "out_of_memory" if _says_out_of_memory(error) else "error"
            trace = traceback.format_exc()
            return Outcome(status, _sentence(error), traceback=trace, phases_s=phases)
        finally:
            gc.collect()

    def _visit(self, request: Measure, phases: dict[str, float]) -> Outcome:
        backend = self.backend(request.backend)
        start_s = None
        if self._sampler is None:
            self._sampler = Sampler()
            start_s = self._started_s
        kernel = plugins.kernels()[request.kernel](**request.parameters)
        if request.place is not None and request.place.rank > 0:
            self._follow(request, request.place, backend, kernel)
            return Outcome("ok", start_s=start_s)
        began = time.monotonic()
        outcome = Visit(
            request,
            backend,
            kernel,
            self._sampler,
            self._progress,
            lambda work: self._send({"message": "work", "work": asdict(work)}),
            self._wait_for_others,
        ).run(phases)
        spent_s = time.monotonic() - began - phases["limits"] - (outcome.compile_s or 0.0)
        if request.verified is None:
            spent_s -= phases.get("verify", 0.0)  # later visits need no reference
        return replace(outcome, start_s=start_s, spent_s=spent_s)

    def _follow(self, request: Measure, place: Place, backend: Backend, kernel: Kernel) -> None:
        """Do what rank 0 does until it closes the case."""
        device = find_device(backend.devices(), request.device_index)
        implementation = choose(backend, kernel, request.implementation, device)
        self._progress("follow rank 0", [])
        group_backend(backend).follow(kernel, implementation, device, place, request.seed)

    def _wait_for_others(self) -> None:
        """Report that the device is warm, and wait for the supervisor's `go`."""
        self._send({"message": "ready"})
        self._requests.readline()

    def backend(self, name: str) -> Backend:
        """Return a backend, loaded once in this process."""
        if name not in self._backends:
            began = time.monotonic()
            self._backends[name] = plugins.load_backend(name)
            # The libraries' objects stay alive; scanning them after every visit would take 50 ms.
            gc.collect()
            gc.freeze()
            self._started_s += time.monotonic() - began
        return self._backends[name]

    def _progress(self, phase: str, values: list[float]) -> None:
        now = time.monotonic()
        if not values or now - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now
            self._send({"message": "progress", "phase": phase, "values": values})

    def _send(self, message: dict[str, Any]) -> None:
        self._answers.write(encode(message))
        self._answers.flush()


def _says_out_of_memory(error: BaseException) -> bool:
    """Recognize an allocator's failure by its text; on the host torch raises RuntimeError for it."""
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "allocate memory" in text


def _sentence(error: BaseException) -> str:
    """Return an error as one line; the type's name is left out where the text was made for users."""
    text = " ".join(str(error).split())
    if isinstance(error, (BenchError, Unsupported, OutOfMemory, DeviceLost, PeerLost)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its supervisor dies, even if it hangs by then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent_pid:
        os._exit(1)
    # Let the out-of-memory killer pick the worker, not the supervisor that writes the rows.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def main(kind: type[Worker] = Worker) -> None:
    """Serve the supervisor that started this process, with a worker of this kind."""
    request_fd, answer_fd, parent_pid = map(int, sys.argv[1:4])
    faulthandler.enable()
    _die_with_parent(parent_pid)
    with os.fdopen(request_fd, "rb") as requests, os.fdopen(answer_fd, "wb") as answers:
        kind(requests, answers).serve()
    # Skip the libraries' clean-up at exit: it must not hang or crash a run that is done.
    os._exit(0)
