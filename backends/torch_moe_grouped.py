"""A mixture-of-experts layer by torch's grouped product: all experts in two launches, no host waits.

Rows are sorted by expert, so that each expert's are contiguous; gate and up matrices are one operand,
so that both products are one. Nothing depends on a value that the host would have to read back, which
lets the whole layer be captured into a graph.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch_device import Step, Tensors
from backends.torch_moe import activate, choose, mlp
from bench.kernels.moe_layer import MoeLayer

# torch 2.10 made it public; before, it had an underscore.
grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


class Grouped:
    """Sort rows by expert, two grouped products, and a weighted sum over each token's experts."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "grouped"

    def preference(self, device_type: str) -> int:
        """Prefer it on accelerators; on a processor it runs expert by expert with more copies."""
        return -1 if device_type == "cpu" else 1

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why torch cannot group these products, or None."""
        if grouped_mm is None:
            return f"torch {torch.__version__} has no grouped product; 2.8 has the first"
        if case.dtype != "bfloat16":
            return "torch's grouped product takes bfloat16 only"
        if case.width % 8 or case.intermediate % 8:
            return "torch's grouped product needs widths that are multiples of 8 (16 bytes)"
        return None

    def build(self, case: MoeLayer, operands: Tensors) -> Step:
        """Return the layer; weights are joined beforehand, as a model would do when it is loaded."""
        assert grouped_mm is not None
        x, down = operands["x"], operands["down"]
        joined = (
            torch.cat([operands["gate"], operands["up"]], dim=1) if case.gated else operands["up"]
        )
        shared = (
            (operands["shared_up"], operands.get("shared_gate"), operands["shared_down"])
            if (case.shared_width)
            else None
        )
        experts = torch.arange(case.local_experts, device=x.device)

        def products(rows: Tensor, ends: Tensor) -> Tensor:
            first = grouped_mm(rows, joined.transpose(1, 2), offs=ends)
            gate, up = first.chunk(2, dim=1) if case.gated else (None, first)
            acted = activate(case, up, gate)
            second: Tensor = grouped_mm(acted, down.transpose(1, 2), offs=ends)
            return second

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            z = x @ operands["latent_in"].T if case.latent else x
            assigned, order = (chosen % case.local_experts).flatten().sort(stable=True)
            ends = torch.searchsorted(assigned, experts, right=True).to(torch.int32)
            out = products(z[order // case.top_k], ends)
            # Back in the order of tokens, a token's top_k rows are a matrix, and the sum a product.
            back = torch.empty_like(out)
            back[order] = out
            by_token = back.view(case.tokens, case.top_k, case.width)
            y = torch.bmm(weight.to(x.dtype)[:, None, :], by_token)[:, 0]
            if case.latent:
                y = y @ operands["latent_out"].T
            if shared is not None:
                y = y + mlp(case, x, *shared)
            return {"y": y}

        return step
