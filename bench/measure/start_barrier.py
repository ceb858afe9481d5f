"""Lets several workers begin their samples at the same moment."""

from __future__ import annotations

import threading


class StartBarrier:
    """Opens whenever all workers that still take part have arrived; whoever fails leaves."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._arrived = 0
        self._opened = 0
        self._changed = threading.Condition()

    def wait(self) -> None:
        """Wait for the others, then go on together with them."""
        with self._changed:
            self._arrived += 1
            turn = self._opened
            self._open_if_complete()
            self._changed.wait_for(lambda: self._opened > turn)

    def leave(self) -> None:
        """Let the others go on without the caller."""
        with self._changed:
            self._workers -= 1
            self._open_if_complete()

    def _open_if_complete(self) -> None:
        if self._arrived and self._arrived >= self._workers:
            self._arrived = 0
            self._opened += 1
            self._changed.notify_all()
