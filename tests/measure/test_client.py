"""The supervisor's end of a worker that does not die."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bench.measure import client
from bench.measure.client import WorkerDied, WorkerProcess


@pytest.fixture
def undying(monkeypatch):
    """Start a worker that no signal reaches, as one in an uninterruptible call of a driver."""
    kill = os.killpg
    monkeypatch.setattr(client, "KILL_TIMEOUT_S", 0.1)
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    worker = WorkerProcess()
    yield worker
    kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()


def test_a_worker_that_cannot_be_killed_does_not_hold_the_supervisor(undying):
    began = time.monotonic()
    undying.discard()
    assert undying._process.poll() is None
    assert time.monotonic() - began < 60, "the wait for it is bounded"


def test_a_worker_that_hung_up_and_cannot_be_killed_is_reported(undying, monkeypatch):
    monkeypatch.setattr(client, "DEATH_TIMEOUT_S", 0.1)
    died = undying._died()
    assert isinstance(died, WorkerDied)
    assert "cannot be killed" in str(died)
