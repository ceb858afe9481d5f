"""vLLM's fused experts: its Triton kernels, with tile sizes tuned for known GPUs.

`vllm.model_executor.layers.fused_moe.fused_experts` as of 0.9 to 0.11 (github.com/vllm-project/vllm,
fused_moe.py at 13cb3e4): the first product's matrix is [gate; up], and the gate's weights are used
unchanged. Arguments that later versions change are left at their defaults, silu among them.
"""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.moe.library import Experts, LibraryExperts
from bench.kernels.moe.layer import MoeLayer


class Vllm(LibraryExperts):
    """fused_experts, out of place."""

    package: ClassVar[str] = "vllm"
    project: ClassVar[str] = "vllm"
    capability: ClassVar[tuple[int, int]] = (8, 0)

    def experts(self, case: MoeLayer, gate: Tensor, up: Tensor, down: Tensor) -> Experts:
        """Make the call; vLLM allocates the result."""
        fused = import_module("vllm.model_executor.layers.fused_moe").fused_experts
        first = torch.cat([gate, up], dim=1)

        def call(z: Tensor, weight: Tensor, local: Tensor) -> Tensor:
            y: Tensor = fused(
                hidden_states=z, w1=first, w2=down, topk_weights=weight, topk_ids=local
            )
            return y

        return call
