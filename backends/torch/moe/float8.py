"""A mixture-of-experts layer in float8 (e4m3) with per-row and per-channel scales, as models are served.

`float8` multiplies expert by expert (torch._scaled_mm), `float8-grouped` all experts at once
(torch._scaled_grouped_mm), without waiting for the host.

Both let Hopper's tensor cores add in their own short accumulator (`use_fast_accum`), which is what
libraries for inference do (vLLM's CUTLASS kernels, torchao); on other chips it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.grouped_matmul import too_many_groups
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.matmul import has_kernel
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.grouped import group_ends, sum_by_token
from backends.torch.moe.layer import joined_first, split_first
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import Order, sort_by_expert
from backends.torch.moe.quantized import Linear, Quantized, QuantizedLayer, Scaled, quantize
from backends.torch.rowwise import rowwise_unsupported
from bench.kernels.moe.layer import MoeLayer

# torch._scaled_mm and its grouped form take no other widths (TORCH_CHECKs of torch 2.6 to 2.13).
WIDTH = 16


class Float8Linear(Linear):
    """torch._scaled_mm with per-row scales of both operands."""

    dtype: ClassVar[torch.dtype] = torch.float8_e4m3fn

    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Multiply: [rows, out] bfloat16."""
        return torch._scaled_mm(
            x,
            self.weight,
            # Kernels load sixteen bytes at a time; a view into the scales of all rows may be unaligned.
            scale_a=scale.clone(),
            scale_b=self.scale,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )


def float8_unsupported(device: torch.device, *widths: int) -> str | None:
    """Say why torch cannot multiply float8 matrices of such widths by scaled rows; None if it can."""
    if not has_kernel("aten::_scaled_mm", device):
        return f"torch has no float8 product (torch._scaled_mm) for {device.type} devices"
    if any(width % WIDTH for width in widths):
        return f"torch._scaled_mm takes widths that are multiples of {WIDTH} only"
    return rowwise_unsupported(device)


def has_grouped_rowwise(device: torch.device) -> bool:
    """Whether torch has a grouped product with scales per row and channel for a device.

    It lets compute capability 10.x pass its check and then runs code that only 9.0 has
    (f8f8bf16_grouped_gemm_impl_sm90, ScaledGroupMM.cu of torch 2.8 to 2.13).
    """
    if device.type != "cuda" or torch.version.hip:
        return False
    return torch.cuda.get_device_capability(device) == (9, 0)


class Float8(Quantized):
    """The layer by torch's float8 product, expert by expert."""

    dtype: ClassVar[str] = "float8_e4m3"
    linear: ClassVar[type[Linear]] = Float8Linear

    def products_unsupported(self, device: torch.device, *widths: int) -> str | None:
        """Say why torch has no float8 products of these widths; None if it has."""
        return float8_unsupported(device, *widths)


class Float8Grouped:
    """The layer by torch's grouped float8 product: all experts in two launches."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other dtypes, capacities, and devices without grouped float8 products."""
        if case.dtype != "float8_e4m3":
            return "float8-grouped is for layers in float8_e4m3"
        if case.capacity is not None:
            return "float8-grouped computes every assignment; it drops none beyond a capacity"
        if not hasattr(torch, "_scaled_grouped_mm"):
            return f"torch {torch.__version__} has no grouped float8 product; 2.8 is the first that has"
        if not has_grouped_rowwise(device):
            return "torch groups float8 products with scales per row on compute capability 9.0 only"
        if reason := too_many_groups(device, case.local_experts):
            return reason
        widths = case.hidden, case.width, case.intermediate, case.shared_width
        return float8_unsupported(device, *widths)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Join gate and up matrices beforehand, as a model does when it is loaded."""
        layer = GroupedFloat8Layer(case, operands)
        return lambda: {"y": layer(mark)}


@dataclass(frozen=True)
class Dispatched:
    """float8 rows in `order` with scales [rows, 1]; experts' ends [experts] int32."""

    rows: Tensor
    scales: Tensor
    ends: Tensor
    order: Order
    weight: Tensor  # [rows of the table, slots]


class GroupedFloat8Layer(QuantizedLayer[Dispatched]):
    """The layer by two grouped products."""

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        super().__init__(case, operands, Float8Linear)
        self._first = joined_first(case, operands), joined_first(case, operands, suffix="_scale")
        self._down = operands["down"], operands["down_scale"]

    def dispatch(self, z: Scaled, arrived: Arrivals) -> Dispatched:
        """Sort assignments by expert, and gather their rows and scales."""
        values, scale = z
        order = sort_by_expert(arrived.local, None)
        ends = group_ends(self.case, order)
        tokens = arrived.tokens(order.assignments)
        # Rows are moved as bytes: not every operator that moves them knows float8.
        rows = values.view(torch.uint8).index_select(0, tokens).view(values.dtype)
        return Dispatched(rows, scale.index_select(0, tokens), ends, order, arrived.weight)

    def experts(self, dispatched: Dispatched, mark: Mark) -> Tensor:
        """Launch two grouped products; activate and quantize between them."""
        ends = dispatched.ends
        product = grouped_product(dispatched.rows, dispatched.scales, *self._first, ends)
        mark("experts")
        activated = quantize(
            activate(self.case, *split_first(self.case, product)), torch.float8_e4m3fn
        )
        mark("activation")
        return grouped_product(*activated, *self._down, ends)

    def combine(self, rows: Tensor, dispatched: Dispatched) -> Tensor:
        """Weigh and add by one batched product."""
        return sum_by_token(rows, dispatched.weight, dispatched.order)


def grouped_product(
    rows: Tensor, scales: Tensor, weights: Tensor, weight_scales: Tensor, ends: Tensor
) -> Tensor:
    """Multiply each group of rows [rows, in], scales [rows, 1], by its matrix: [rows, out] bfloat16.

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
