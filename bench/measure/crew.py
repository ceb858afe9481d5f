"""The workers of a run: which process visits which case, and what happens when one fails."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.group import Allocating, Ends, Unheard, places, verdict
from bench.measure.protocol import CaseWork, Measure, Outcome, VisitListener
from bench.measure.start_barrier import StartBarrier

# After these a case gets a new process: the old one is gone or hangs, what it raised may have left the
# device's context unusable, or what timed wrongly may still be at work.
REPLACING = ("crashed", "timeout", "error", "device_lost", "out_of_memory", "wrong_timing")

# Rounds in different processes include one more source of scatter, which is worth this share of the time: a
# new process takes time to start, and allocates at half the speed for a while.
FRESH_SHARE = 0.05


class _Follower:
    """Passes on the messages of a visit, and keeps what is needed if its worker ends."""

    def __init__(self, listener: VisitListener) -> None:
        self._listener = listener
        self.phase = "start"
        self.work: CaseWork | None = None

    def described(self, work: CaseWork) -> None:
        self.work = work
        self._listener.described(work)

    def progress(self, phase: str, values_s: list[float]) -> None:
        self.phase = phase
        self._listener.progress(phase, values_s)


class Crew:
    """Owns the workers: one for the devices in turn, or one per device."""

    def __init__(
        self,
        threads: int | None,
        case_timeout_s: float,
        first_worker: WorkerProcess | None = None,
        on_worker_output: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._threads = threads
        self._case_timeout_s = case_timeout_s
        self._on_worker_output = on_worker_output
        self._first = first_worker
        self._workers: dict[int, WorkerProcess] = {}
        self._start_s = 0.0
        self._since_start_s = 0.0
        self._group: list[WorkerProcess] = []  # those that have met, by rank
        self._groups = 0
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._lock = threading.Lock()
        self._killed = False

    def visit(self, request: Measure, listener: VisitListener, slot: int = 0) -> Outcome:
        """Let the worker of a slot visit a case; return how that ended, whatever happens to it."""
        self._fill(slot)
        return self._visit(slot, request, listener, None)

    def visit_together(
        self, requests: Mapping[int, Measure], listener: VisitListener
    ) -> dict[int, Outcome]:
        """Let the workers of several slots visit a case at the same time, each its own device.

        Their samples begin together. On KeyboardInterrupt the workers are ended, and the exception
        goes on.
        """
        barrier = StartBarrier(len(requests))

        def visit(slot: int) -> Outcome:
            try:
                return self._visit(slot, requests[slot], listener, barrier)
            finally:
                barrier.leave()

        for slot in requests:
            self._fill(slot)
        visits: dict[int, Future[Outcome]] = {}
        with ThreadPoolExecutor(len(requests)) as pool:
            try:
                for slot in requests:
                    visits[slot] = pool.submit(visit, slot)
                wait(visits.values())
            except KeyboardInterrupt:
                self.kill()
                for _ in range(len(requests) - len(visits)):
                    barrier.leave()
                wait(visits.values())
                raise
        return {slot: each.result() for slot, each in visits.items()}

    def visit_ranks(
        self, request: Measure, devices: Sequence[int], listener: VisitListener
    ) -> Outcome:
        """Let one worker per rank visit a case, the first of them leading; return how that ended.

        `devices` has the device of each rank. On KeyboardInterrupt the workers are ended, and the
        exception goes on.
        """
        ranks = len(devices)
        group = places(ranks, self._meeting_point(ranks), self._case_timeout_s)
        allocating, ends = Allocating(listener), Ends(ranks)

        def visit(rank: int) -> Outcome:
            outcome = Outcome("ok")
            own = replace(request, place=group[rank], device_index=devices[rank])
            try:
                if rank == 0:
                    outcome = self._visit(rank, own, allocating, None)
                elif allocating.wait():
                    outcome = self._visit(rank, own, Unheard(), None)
            finally:
                allocating.ended()
                ends.add(rank, outcome)
            return outcome

        with ThreadPoolExecutor(ranks) as pool:
            try:
                visits = [pool.submit(visit, rank) for rank in range(ranks)]
                ended = ends.wait()
            except KeyboardInterrupt:
                self.kill()
                raise
            silent = set(range(ranks)) - {rank for rank, _ in ended}
            self._kill(silent)
        for slot in silent & self._workers.keys():
            self._workers.pop(slot).discard()
        lead = visits[0].result()
        return replace(verdict(ended, ranks), work=lead.work, start_s=lead.start_s)

    def _meeting_point(self, ranks: int) -> str:
        """Return where the workers of a group have met, or can meet if one of them is new."""
        for slot in range(ranks):
            self._fill(slot)
        group = [self._workers[slot] for slot in range(ranks)]
        if group != self._group:
            # What has been in another group stays connected to it.
            for slot, worker in list(self._workers.items()):
                if worker in self._group:
                    worker.close()
                    del self._workers[slot]
                    if slot < ranks:
                        self._fill(slot)
            self._group = [self._workers[slot] for slot in range(ranks)]
            self._groups += 1
        return str(Path(self._folder.name) / f"group-{self._groups}")

    def _visit(
        self, slot: int, request: Measure, listener: VisitListener, barrier: StartBarrier | None
    ) -> Outcome:
        follower = _Follower(listener)
        try:
            outcome = self._workers[slot].measure(
                request, self._case_timeout_s, follower, barrier.wait if barrier else None
            )
        except WorkerTimeout:
            timeout = f"case timeout of {self._case_timeout_s:g} s"
            outcome = Outcome("timeout", f"no answer within the {timeout}, during {follower.phase}")
        except WorkerDied as death:
            outcome = Outcome("crashed", f"{death}, during {follower.phase}")
        if outcome.traceback:
            self._on_worker_output(outcome.traceback)
        self._start_s = outcome.start_s or self._start_s
        outcome = replace(outcome, work=follower.work)
        # What is too large for the host was never on the device.
        untouched = outcome.status == "out_of_memory" and follower.phase == "describe"
        replaced = outcome.status in REPLACING and not untouched
        return self._replace(slot, outcome) if replaced else outcome

    def _fill(self, slot: int) -> None:
        """Start the worker that a slot lacks.

        Call it in the main thread: Linux ends a worker when the thread that started it ends, because
        it is set to die with its parent.
        """
        if slot not in self._workers:
            self._workers[slot] = self._first or WorkerProcess(self._threads)
            self._first = None

    def end_round(self, round_s: float) -> None:
        """Use new processes from now on if starting them is cheap compared to the rounds so far."""
        self._since_start_s += round_s
        if self._start_s <= FRESH_SHARE * self._since_start_s:
            self._since_start_s = 0.0
            for worker in self._workers.values():
                worker.close()
            self._workers = {}

    def _replace(self, slot: int, outcome: Outcome) -> Outcome:
        with self._lock:
            if self._killed:
                return replace(outcome, status="interrupted", error="stopped")
            worker = self._workers.pop(slot)
        self._on_worker_output(worker.output())
        worker.discard()
        return outcome

    def kill(self) -> None:
        """End every worker, also those that other threads are waiting for."""
        with self._lock:
            self._killed = True
        self._kill(list(self._workers))

    def _kill(self, slots: Iterable[int]) -> None:
        """End the workers of some slots; the threads that wait for them learn that they died."""
        with self._lock:
            for slot in slots:
                if slot in self._workers:
                    self._workers[slot].kill()

    def close(self) -> None:
        """End every worker and forget them; no thread may be waiting for one any more."""
        self.kill()
        for worker in [*self._workers.values(), *([self._first] if self._first else [])]:
            worker.discard()
        self._workers, self._first = {}, None
        self._folder.cleanup()
