"""Executions as a recorded graph, the same on every torch device that has graphs: cuda, npu."""

from __future__ import annotations

from typing import Any

import torch

from backends.torch.events import own_stream
from backends.torch.implementation import Step, Tensors


def recorded(steps: list[Step], device: torch.device, graph_class: type[Any]) -> Step:
    """Record all steps as one graph and return its replay, whose outputs are those of the last step.

    One graph, because the device pauses between two replays, which one execution per replay would count.
    Recording and timing share a stream, because libraries keep a workspace per stream.
    """
    module = torch.get_device_module(device)
    stream = own_stream(device)
    stream.wait_stream(module.current_stream(device))
    with module.stream(stream):
        for step in steps:
            step()  # libraries choose kernels and allocate at the first call, which recording forbids
    graph = graph_class()
    outputs: list[Tensors] = []
    with module.graph(graph, stream=stream):
        # All outputs stay alive: memory that is freed while recording is given to the next step, whose
        # outputs would then be written to what is still in the cache.
        outputs.extend([step() for step in steps])

    def replay() -> Tensors:
        graph.replay()
        return outputs[-1]

    return replay
