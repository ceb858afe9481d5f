"""Each execution as one recorded graph, the same on every torch device that has graphs: cuda, npu."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from backends.torch.events import own_stream
from backends.torch.implementation import Step, Tensors


def recorded(steps: list[Step], device: torch.device, graph_class: type[Any]) -> list[Step]:
    """Record steps one by one and return their replays, whose outputs stay in place.

    All of them take their temporary memory from one pool: they never run at the same time, and a pool
    for each of the many input sets of a cold run would fill the device. Recording and timing share a
    stream, because libraries keep a workspace per stream.
    """
    module = torch.get_device_module(device)
    stream = own_stream(device)
    stream.wait_stream(module.current_stream(device))
    replays: list[Step] = []
    pool = None
    for step in steps:
        with module.stream(stream):
            step()  # libraries choose kernels and allocate at the first call, which recording forbids
        graph = graph_class()
        with module.graph(graph, pool=pool, stream=stream):
            outputs = step()
        pool = graph.pool()
        replays.append(partial(_replay, graph, outputs))
    return replays


def _replay(graph: Any, outputs: Tensors) -> Tensors:
    graph.replay()
    return outputs
