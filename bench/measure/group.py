"""A visit of several ranks to one case: when the followers join, and which rank ended it.

Rank 0 leads: its worker goes through the visit as for one device, and the workers of the other ranks
follow. Whatever ends one of them ends the visit of all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from bench.backend import Place
from bench.measure.protocol import ALLOCATE, CaseWork, Outcome, VisitListener

# Once a rank has failed, the others have this long to say what they know. A rank that hangs says nothing.
LAST_WORDS_S = 2.0

# A rank gives up waiting for another one after this share of the time that a visit may take, so that
# the rank which hangs can be told from those that wait for it.
PATIENCE = 0.25
MOST_PATIENCE_S = 60.0


def places(ranks: int, meeting_point: str, case_timeout_s: float) -> list[Place]:
    """Return the places of a group's ranks."""
    patience_s = min(MOST_PATIENCE_S, PATIENCE * case_timeout_s)
    return [
        Place(rank, ranks, meeting_point, join_timeout_s=case_timeout_s, timeout_s=patience_s)
        for rank in range(ranks)
    ]


class Allocating:
    """A listener that lets the followers know when rank 0 is about to allocate the case."""

    def __init__(self, listener: VisitListener) -> None:
        self._listener = listener
        self._decided = threading.Event()
        self._joins = False

    def described(self, work: CaseWork) -> None:
        """Pass on the work of the case."""
        self._listener.described(work)

    def progress(self, phase: str, values_s: list[float]) -> None:
        """Pass on the phase, and notice the one in which ranks join."""
        if phase == ALLOCATE:
            self._joins = True
            self._decided.set()
        self._listener.progress(phase, values_s)

    def ended(self) -> None:
        """Release the followers of a rank 0 that ended before it allocated anything."""
        self._decided.set()

    def wait(self) -> bool:
        """Wait until rank 0 allocates or ends; return whether followers are needed."""
        self._decided.wait()
        return self._joins


class Unheard:
    """Listens to a follower, of which nothing is shown."""

    def described(self, work: CaseWork) -> None:
        """Do nothing: rank 0 says it."""

    def progress(self, phase: str, values_s: list[float]) -> None:
        """Do nothing."""


class Ends:
    """How the ranks of a group ended, in the order of time."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._ended: list[tuple[int, Outcome]] = []
        self._changed = threading.Condition()

    def add(self, rank: int, outcome: Outcome) -> None:
        """Record the end of a rank."""
        with self._changed:
            self._ended.append((rank, outcome))
            self._changed.notify_all()

    def wait(self) -> list[tuple[int, Outcome]]:
        """Wait until all have ended, or LAST_WORDS_S after the first failure; return who has."""
        with self._changed:
            self._changed.wait_for(lambda: self._all_ended() or self._failed())
            self._changed.wait_for(self._all_ended, LAST_WORDS_S)
            return list(self._ended)

    def _all_ended(self) -> bool:
        return len(self._ended) == self._ranks

    def _failed(self) -> bool:
        return any(outcome.status != "ok" for _, outcome in self._ended)


def verdict(ended: Sequence[tuple[int, Outcome]], ranks: int) -> Outcome:
    """Return the outcome of a group from how its ranks ended, in the order of time.

    A rank that died explains why others lost it; then counts the first that failed by itself; then a
    rank that said nothing while others waited for it.
    """
    failures = [(rank, outcome) for rank, outcome in ended if outcome.status != "ok"]
    lead = dict(ended).get(0)
    if not failures:
        assert lead is not None
        return lead
    died = [each for each in failures if each[1].status == "crashed"]
    failed = [each for each in failures if each[1].status != "timeout"]
    if cause := died or failed:
        return _of_rank(*cause[0], lead)
    silent = sorted(set(range(ranks)) - {rank for rank, _ in ended})
    rank, outcome = failures[0]
    if silent:
        names = ", ".join(map(str, silent))
        error = (
            f"rank{'s' * (len(silent) > 1)} {names} did not answer; rank {rank}: {outcome.error}"
        )
        return replace(lead or outcome, status="timeout", error=error)
    return _of_rank(rank, outcome, lead)


def _of_rank(rank: int, outcome: Outcome, lead: Outcome | None) -> Outcome:
    """Return a rank's failure as that of the group; what rank 0 says of the case itself needs no rank."""
    if rank == 0 and outcome.status not in ("crashed", "timeout"):
        return outcome
    known = lead or outcome
    return replace(
        known,
        status=outcome.status,
        error=f"rank {rank}: {outcome.error}",
        traceback=outcome.traceback,
    )
