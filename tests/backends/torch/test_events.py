"""Timing by events on a simulated device, whose clock and host's clock are one simulated time."""

from __future__ import annotations

import pytest
import torch

from backends.torch import events
from backends.torch.events import MOST_COVER_S, EventTimer
from backends.torch.graphs import recorded
from backends.torch.prepared import TorchPrepared
from tests.backends.torch.simulated_device import Graph, Simulated


@pytest.fixture
def device(monkeypatch):
    simulated = Simulated()
    monkeypatch.setattr(torch, "get_device_module", lambda device: simulated)
    monkeypatch.setattr(events.time, "perf_counter", lambda: simulated.now_s)
    events.own_stream.cache_clear()
    yield simulated
    events.own_stream.cache_clear()


GPU = torch.device("cuda", 0)


def step(device, host_s, device_s, waits=False):
    def run():
        device.launch(host_s, device_s)
        if waits:
            device.wait()
        return {}

    return run


@pytest.mark.parametrize("loops", [1, 7, 5000])
@pytest.mark.parametrize("launches", [1, 30])
def test_launches_that_are_slower_than_the_work_are_hidden(device, loops, launches):
    def layer():
        for _ in range(launches):
            device.launch(6e-6, 2e-6)
        return {}

    timer = EventTimer(GPU, device.block)
    timer([layer])
    seconds = timer([layer] * loops)
    assert seconds == pytest.approx(loops * launches * 2e-6)
    assert timer.host_bound is False
    assert EventTimer(GPU)([layer] * loops) == pytest.approx(loops * launches * 6e-6, rel=0.5)


def test_a_first_call_has_no_cover_and_says_that_it_was_host_bound(device):
    timer = EventTimer(GPU, device.block)
    assert timer.host_bound is None
    assert timer([step(device, 6e-6, 2e-6)] * 100) > 100 * 5e-6
    assert timer.host_bound is True
    assert device.blocked == []


def test_work_that_is_longer_than_its_launches_is_in_one_burst(device):
    timer = EventTimer(GPU, device.block)
    slow = [step(device, 10e-6, 1.5e-3)] * 14
    timer(slow)
    assert timer.host_bound is False, "the device was still at work when all was launched"
    device.blocked.clear()
    assert timer(slow) == pytest.approx(14 * 1.5e-3)
    assert timer.host_bound is False
    assert len(device.blocked) == 1


def test_steps_that_wait_for_the_device_are_timed_as_they_are(device):
    timer = EventTimer(GPU, device.block)
    waiting = [step(device, 1e-4, 2e-5, waits=True)] * 10
    for _ in range(8):
        seconds = timer(waiting)
    assert timer.host_bound is True
    assert seconds == pytest.approx(10 * 1.2e-4, rel=0.01)
    assert max(device.blocked) <= MOST_COVER_S
    before = len(device.blocked)
    timer(waiting)
    assert len(device.blocked) == before, "blocking is given up"


def test_a_slow_first_execution_blocks_the_device_only_shortly(device):
    timer = EventTimer(GPU, device.block)
    timer([step(device, 30.0, 1e-5)])
    timer([step(device, 1e-5, 1e-5)])
    assert device.blocked == [MOST_COVER_S]
    timer([step(device, 1e-5, 1e-5)])
    assert device.blocked[-1] < 1e-4


def test_without_a_blocking_kernel_nothing_is_known(device):
    timer = EventTimer(GPU)
    assert timer([step(device, 6e-6, 2e-6)] * 10) > 0
    assert timer.host_bound is None


@pytest.mark.parametrize("sets", [1, 3])
def test_all_input_sets_are_one_graph_with_one_pause(device, sets):
    seen = []

    def layer(n):
        def run():
            for _ in range(30):
                device.launch(6e-6, 2e-6)
            seen.append(n)
            return {"y": torch.full((2,), float(n))}

        return run

    replay = recorded([layer(n) for n in range(sets)], GPU, Graph)
    assert seen == [*range(sets), *range(sets)], "each runs once before it is recorded"
    timer = EventTimer(GPU, device.block)
    prepared = TorchPrepared([replay], timer, "graph", 0, multiple=sets)
    prepared.run(sets)
    seconds = prepared.run(5 * sets)
    assert seconds == pytest.approx(5 * (Graph.PAUSE_S + sets * 30 * 2e-6))
    assert len(seen) == 2 * sets, "replays do not come back to the host"
    assert prepared.outputs()["y"].tolist() == [sets - 1] * 2


def test_a_case_is_host_bound_if_most_of_its_last_calls_were(device):
    prepared = TorchPrepared([step(device, 6e-6, 2e-6)], EventTimer(GPU, device.block), "events", 0)
    assert prepared.host_bound is None
    prepared.run(10)
    assert prepared.host_bound is True, "the first call has no cover"
    for _ in range(4):
        prepared.run(10)
    assert prepared.host_bound is False


def test_empty_launches_are_timed_without_the_hosts_part(device, monkeypatch):
    from backends.cuda import launches

    # A spinning kernel takes its cycles at 2 GHz, and never less than 1.5 µs.
    spin = lambda cycles: device.launch(5e-6, max(1.5e-6, cycles / 2e9))  # noqa: E731
    monkeypatch.setattr(torch.cuda, "_sleep", spin)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    for cached in (launches.blocking, launches.launch_seconds, launches.graph_launch_seconds):
        cached.cache_clear()
    assert launches.launch_seconds(GPU) == pytest.approx(1.5e-6)
    in_graph_s = launches.graph_launch_seconds(GPU, 4)
    assert in_graph_s == pytest.approx(1.5e-6 + Graph.PAUSE_S / 4)
    before = device.free_s
    launches.blocking(GPU)(0.01)
    assert device.free_s - max(before, device.now_s) == pytest.approx(0.01, rel=0.01)
    for cached in (launches.blocking, launches.launch_seconds, launches.graph_launch_seconds):
        cached.cache_clear()
