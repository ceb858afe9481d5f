"""A mixture-of-experts layer in float8 (e4m3): a scale a row and a scale a channel, as models are served.

`float8` multiplies expert by expert (torch._scaled_mm), `float8-grouped` all experts at once
(torch._scaled_grouped_mm), with nothing that the host waits for.

Both let Hopper's tensor cores add in their own short accumulator (`use_fast_accum`), which is what
libraries for inference do (vLLM's CUTLASS kernels, torchao); other chips know no difference.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.device import Mark, Step, Tensors, unmarked
from backends.torch.grouped_matmul import launched_at_once
from backends.torch.matmul import has_kernel
from backends.torch.moe.gate import choose
from backends.torch.moe.grouped import group_ends, sum_by_token
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import sort_by_expert
from backends.torch.moe.quantized import (
    Linear,
    Mlp,
    Quantized,
    first_names,
    latent_linears,
    quantise,
)
from bench.kernels.moe_layer import MoeLayer

# torch._scaled_mm and its grouped form take no other widths (TORCH_CHECKs of torch 2.6 to 2.13).
WIDTH = 16


class Float8Linear(Linear):
    """torch._scaled_mm with a scale a row of both operands."""

    dtype: ClassVar[torch.dtype] = torch.float8_e4m3fn

    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return [rows, out] bfloat16."""
        return torch._scaled_mm(
            x,
            self.weight,
            # A view into the scales of all rows begins anywhere; kernels load sixteen bytes at a time.
            scale_a=scale.clone(),
            scale_b=self.scale,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )


def float8_unsupported(device: torch.device, *widths: int) -> str | None:
    """Return why torch cannot multiply float8 matrices of such widths by scaled rows, or None."""
    if not has_kernel("aten::_scaled_mm", device):
        return f"torch has no float8 product (torch._scaled_mm) for {device.type} devices"
    if any(width % WIDTH for width in widths):
        return f"torch._scaled_mm takes widths that are multiples of {WIDTH} only"
    if device.type == "cuda" and torch.version.hip is None:
        capability = torch.cuda.get_device_capability(device)
        if capability < (8, 9):
            return "float8 needs compute capability 8.9, this GPU has {}.{}".format(*capability)
    return None


class Float8(Quantized):
    """The layer by torch's float8 product, expert by expert."""

    name: ClassVar[str] = "float8"
    dtype: ClassVar[str] = "float8_e4m3"
    linear: ClassVar[type[Linear]] = Float8Linear

    def preference(self, device_type: str) -> int | None:
        """Return 0: the plain one; None where torch has no float8 product."""
        return 0 if has_kernel("aten::_scaled_mm", torch.device(device_type)) else None

    def products_unsupported(self, device: torch.device, *widths: int) -> str | None:
        """Return why torch has no such products, or None."""
        return float8_unsupported(device, *widths)


class Float8Grouped:
    """The layer by torch's grouped float8 product: all experts in two launches."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "float8-grouped"
    staged: ClassVar[bool] = True

    def preference(self, device_type: str) -> int | None:
        """Prefer it on GPUs; there is none elsewhere."""
        return 1 if device_type == "cuda" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why torch cannot group these products, or None."""
        if case.dtype != "float8_e4m3":
            return "float8-grouped is for layers in float8_e4m3"
        if case.capacity is not None:
            return "float8-grouped computes every assignment; it drops none beyond a capacity"
        if not hasattr(torch, "_scaled_grouped_mm"):
            return f"torch {torch.__version__} has no grouped float8 product; 2.8 has the first"
        if not launched_at_once(device):
            return "torch groups float8 products on compute capability 9 and 10 only"
        widths = case.hidden, case.width, case.intermediate, case.shared_width
        return float8_unsupported(device, *widths)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; weights are joined beforehand, as a model would do when it is loaded."""
        x = operands["x"]
        first, first_scale = (
            torch.cat([operands[f"{name}{what}"] for name in first_names(case)], dim=1)
            for what in ("", "_scale")
        )
        down, down_scale = operands["down"], operands["down_scale"]
        shared = Mlp(case, operands, Float8Linear, "shared_") if case.shared_width else None
        latent = latent_linears(case, operands, Float8Linear)

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            mark("gate")
            quantised = quantise(x, torch.float8_e4m3fn)
            z, scale = quantised
            if case.latent:
                z, scale = quantise(latent[0](*quantised), torch.float8_e4m3fn)
            order = sort_by_expert(chosen % case.local_experts, None)
            ends = group_ends(case, order)
            tokens = order.assignments // case.top_k
            # Rows are moved as bytes: not every operator that moves them knows float8.
            rows = z.view(torch.uint8).index_select(0, tokens).view(z.dtype)
            scales = scale.index_select(0, tokens)
            mark("dispatch")
            product = grouped_product(rows, scales, first, first_scale, ends)
            mark("experts")
            gate, up = product.chunk(2, dim=1) if case.gated else (None, product)
            acted = quantise(activate(case, up, gate), torch.float8_e4m3fn)
            mark("activation")
            out = grouped_product(*acted, down, down_scale, ends)
            mark("experts")
            y = sum_by_token(case, out, weight, order)
            if case.latent:
                y = latent[1](*quantise(y, torch.float8_e4m3fn))
            mark("combine")
            if shared is not None:
                y = y + shared(*quantised)
                mark("shared")
            return {"y": y}

        return step


def grouped_product(
    rows: Tensor, scales: Tensor, weights: Tensor, weight_scales: Tensor, ends: Tensor
) -> Tensor:
    """Return [rows, out] bfloat16: each group of rows [rows, in], scales [rows, 1], times its matrix.

    `weights` [experts, out, in] have scales [experts, out, 1]; groups end at `ends` [experts] int32.
    """
    return torch._scaled_grouped_mm(
        rows,
        weights.transpose(1, 2),
        scales.flatten(),
        weight_scales.flatten(1),
        offs=ends,
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )
