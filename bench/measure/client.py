"""The supervisor's end of a worker: starts it, talks to it, and ends it whatever state it is in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from bench.backend import Finding
from bench.measure.code_identity import check_identity
from bench.measure.protocol import (
    BackendDescription,
    Measure,
    Outcome,
    VisitListener,
    decode,
    description_from_json,
    encode,
    outcome_from_json,
    work_from_json,
)
from bench.python_process import (
    how_it_ended,
    python_command,
    python_environment,
)

# Importing torch from a cold network file system has been seen to take minutes.
START_TIMEOUT_S = 600.0
LOG_TAIL_BYTES = 4096
# A process that waits in a driver (state D) does not die before the driver returns, if it ever does.
KILL_TIMEOUT_S = 10.0
# A worker whose pipe is closed is about to end.
DEATH_TIMEOUT_S = 5.0
# The processors are counted before anything can load torch.
START = "import bench.processors; from bench.measure.worker import main; main()"


class WorkerEnded(Exception):
    """A worker is gone. `plug_in` is the group and the name of the plug-in that it was importing."""

    def __init__(self, text: str, plug_in: tuple[str, str] | None = None) -> None:
        super().__init__(text)
        self.plug_in = plug_in


class WorkerDied(WorkerEnded):
    """The worker ended by itself; the text says how, with the last line that it printed."""


class WorkerTimeout(WorkerEnded):
    """The worker did not answer in time and was killed."""


class WorkerProcess:
    """One worker. Not reusable after an error: start another one."""

    def __init__(self, threads: int | None = None) -> None:
        request_read, self._requests = os.pipe()
        self._answers, answer_write = os.pipe()
        self._buffer = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker lives
        self._greeted = False
        self._importing: tuple[str, str] | None = None
        environment = python_environment()
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        arguments = [str(request_read), str(answer_write), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                python_command(START, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=environment,
                pass_fds=(request_read, answer_write),
                # In a session of its own, so that Ctrl-C reaches the supervisor only.
                start_new_session=True,
            )
        finally:
            os.close(request_read)
            os.close(answer_write)

    def describe(
        self, backends: list[str], timeout_s: float = START_TIMEOUT_S
    ) -> list[BackendDescription]:
        """Return what each backend offers on this machine."""
        answer = self._ask({"request": "describe", "backends": backends}, timeout_s)
        return [description_from_json(data) for data in answer]

    def diagnose(self, backend: str, timeout_s: float) -> list[Finding]:
        """Return a backend's findings about its drivers and devices."""
        answer = self._ask({"request": "diagnose", "backend": backend}, timeout_s)
        return [Finding(**data) for data in answer]

    def measure(
        self,
        request: Measure,
        timeout_s: float,
        listener: VisitListener,
        at_start: Callable[[], None] | None = None,
    ) -> Outcome:
        """Visit a case; return how that ended. Raises WorkerDied or WorkerTimeout: the worker is gone.

        Where devices measure together, samples begin when `at_start` returns; the timeout does not count
        that wait.
        """
        message = {"request": "measure", "measure": asdict(request)}
        return outcome_from_json(self._ask(message, timeout_s, listener, at_start))

    def _ask(
        self,
        message: dict[str, Any],
        timeout_s: float,
        listener: VisitListener | None = None,
        at_start: Callable[[], None] | None = None,
    ) -> Any:
        deadline = time.monotonic() + timeout_s
        self._send(message)
        if not self._greeted:
            self._greet(self._read_line(deadline))
        while True:
            answer = decode(self._read_line(deadline))
            if answer["message"] == "done":
                return answer["answer"]
            if answer["message"] == "importing":
                group, name = answer["plug_in"]
                self._importing = (group, name) if name else None
            elif answer["message"] == "ready":
                since = time.monotonic()
                if at_start is not None:
                    at_start()
                deadline += time.monotonic() - since
                self._send({"request": "go"})
            elif listener is not None and answer["message"] == "work":
                listener.described(work_from_json(answer["work"]))
            elif listener is not None:
                listener.progress(answer["phase"], answer["values"])

    def _greet(self, line: bytes) -> None:
        """Check whose code the worker runs, from the first line that it writes; kill a stranger."""
        try:
            check_identity(decode(line).get("code"))
        except BaseException:
            self.kill()
            raise
        self._greeted = True

    def _send(self, message: dict[str, Any]) -> None:
        try:
            os.write(self._requests, encode(message))
        except BrokenPipeError:
            raise self._died() from None

    def _read_line(self, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                self.kill()
                raise WorkerTimeout(f"did not answer in time{self._where()}", self._importing)
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise self._died()
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _died(self) -> WorkerDied:
        try:
            self._process.wait(DEATH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        if (code := self._process.poll()) is None:
            return WorkerDied("the worker hangs in a driver and cannot be killed", self._importing)
        text = f"the worker {how_it_ended(code)}{self._where()}{last_words(self.output())}"
        return WorkerDied(text, self._importing)

    def _where(self) -> str:
        """Name the plug-in that the worker is importing, as a part of a sentence."""
        if self._importing is None:
            return ""
        group, name = self._importing
        return f" while it imported the plug-in {name} ({group})"

    def output(self) -> str:
        """Return the end of what the worker and its libraries printed."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - LOG_TAIL_BYTES)
        return os.pread(self._log.fileno(), LOG_TAIL_BYTES, start).decode(errors="replace")

    def close(self) -> None:
        """Let the worker end; kill it if it does not within two seconds."""
        with suppress(OSError):
            os.close(self._requests)
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._release()

    def kill(self) -> None:
        """End the worker and whatever it started, now; leave one that a driver keeps from dying."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_TIMEOUT_S)

    def discard(self) -> None:
        """Kill the worker and forget it."""
        self.kill()
        with suppress(OSError):
            os.close(self._requests)
        self._release()

    def _release(self) -> None:
        with suppress(OSError):
            os.close(self._answers)
        self._log.close()


def last_words(output: str) -> str:
    """Return the last line that is not empty, as the end of a sentence."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # faulthandler prints its headline before the stack, and the stack is for --debug.
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    last = fatal[-1:] or lines[-1:]
    return f"; its last output: {last[0][:300]}" if last else ""
