"""Stands in for torch's module of a device: a stream that executes in order, in simulated time."""

from __future__ import annotations

from contextlib import contextmanager


class Simulated:
    """Stands in for torch's module of a device: one stream that executes what is queued, in order."""

    def __init__(self) -> None:
        self.now_s = 0.0  # the host's clock
        self.free_s = 0.0  # when the stream has done all that is queued
        self.blocked: list[float] = []

    def launch(self, host_s: float, device_s: float) -> None:
        """Spend the host's time of a launch, and queue work."""
        self.now_s += host_s
        self.free_s = max(self.free_s, self.now_s) + device_s

    def wait(self) -> None:
        """Wait for the device, as a step that reads a result does."""
        self.now_s = max(self.now_s, self.free_s)

    @contextmanager
    def graph(self, graph, *, stream):
        """Record: what is launched meanwhile belongs to the graph, and does not execute."""
        launch, graph.device = self.launch, self
        self.launch = lambda host_s, device_s: graph.nodes.append(device_s)
        yield
        self.launch = launch

    def block(self, seconds: float) -> None:
        self.blocked.append(seconds)
        self.launch(5e-6, seconds)

    def Event(self, enable_timing):
        return Event(self)

    def Stream(self, index):
        return self

    def current_stream(self, device):
        return self

    def wait_stream(self, stream):
        pass

    def synchronize(self, index):
        self.wait()

    @contextmanager
    def stream(self, stream):
        yield


class Event:
    def __init__(self, device: Simulated) -> None:
        self._device, self.at_s = device, 0.0

    def record(self, stream) -> None:
        self.at_s = max(self._device.free_s, self._device.now_s)

    def query(self) -> bool:
        return self._device.now_s >= self.at_s

    def synchronize(self) -> None:
        self._device.now_s = max(self._device.now_s, self.at_s)

    def elapsed_time(self, end: Event) -> float:
        return (end.at_s - self.at_s) * 1e3


class Graph:
    """A graph of launches, which replays them without the host, after a pause of the device."""

    PAUSE_S = 1e-6

    def __init__(self) -> None:
        self.nodes: list[float] = []
        self.device: Simulated

    def replay(self) -> None:
        self.device.launch(1e-5, self.PAUSE_S + sum(self.nodes))
