"""A mixture-of-experts layer in int8 by Ascend's operators: vllm-ascend's sequences for W8A8.

Routing quantizes the rows that it sorts. `npu-int8` then takes one operator per step and has every
activation; in `npu-int8-fused` one operator does the first product, SwiGLU and the next quantization.
The gate stays in the tokens' own format.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from backends.ascend.matmul import fractal_nz
from backends.ascend.moe import (
    ENDS,
    SPLIT_ROWS,
    NpuLayer,
    Routed,
    route,
    routing_unsupported,
    swiglu,
    unpermuted,
    without_experts,
)
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.layer import joined_first
from bench.kernels.moe.layer import MoeLayer

QUANTIZE_ROWS = 1  # npu_moe_init_routing_v2's quant_mode: dynamic per-row scales

# What aclnnGroupedMatmulSwigluQuantWeightNZ takes (github.com/hicann/ops-transformer,
# gmm/grouped_matmul_swiglu_quant/docs): columns of gate and up together, and width.
MOST_COLUMNS = 10240
MOST_WIDTH = 65535


class Int8Layer(NpuLayer):
    """Rows sorted and quantized at once, two grouped products of int8, one weighted sum per token."""

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        super().__init__(case, without_experts(operands))
        self._first = self.lay_out(
            joined_first(case, operands), joined_first(case, operands, suffix="_scale")
        )
        self._second = QuantizedGroupedMatmul(
            operands["down"], operands["down_scale"], operands["x"].dtype
        )
        if case.latent:
            self._latent_in, self._latent_out = (
                NpuQuantizedLinear(operands[name], operands[f"{name}_scale"])
                for name in ("latent_in", "latent_out")
            )
        if case.shared_width:
            self._shared = SharedMlp(case, operands)

    def dispatch(self, z: Tensor, arrived: Arrivals) -> Routed:
        """Sort, gather and quantize by one operator."""
        # Both products, and the operator that fuses the first, take the ends of groups.
        return route(self.case, z, arrived, QUANTIZE_ROWS, ENDS)

    def experts(self, dispatched: Routed, mark: Mark) -> Tensor:
        """Launch two grouped products; activate and quantize between them."""
        return self._second(*self.between(dispatched, mark), dispatched.groups)

    def combine(self, rows: Tensor, dispatched: Routed) -> Tensor:
        """Weigh and add by one operator."""
        return unpermuted(rows, dispatched.places, dispatched.weight.to(rows.dtype))

    def latent_in(self, tokens: Tensor) -> Tensor:
        """Quantize the tokens and project them, back in their own dtype."""
        return self._latent_in(tokens)

    def latent_out(self, y: Tensor) -> Tensor:
        """Quantize the sums and project them, back in their own dtype."""
        return self._latent_out(y)

    def shared(self, tokens: Tensor) -> Tensor:
        """Compute the shared experts by two products of int8."""
        return self._shared(tokens)

    def lay_out(self, weight: Tensor, scale: Tensor) -> QuantizedGroupedMatmul:
        """Convert the experts' first matrices to FRACTAL_NZ."""
        return QuantizedGroupedMatmul(weight, scale, torch.bfloat16)

    def between(self, routed: Routed, mark: Mark) -> tuple[Tensor, Tensor]:
        """Compute the second product's rows [rows, intermediate] in int8, and their scales [rows]."""
        import torch_npu

        product = self._first(routed.rows, routed.scales, routed.groups)
        mark("experts")
        activated, scales = torch_npu.npu_dynamic_quant(swiglu(self.case, product))
        mark("activation")
        return activated, scales


class FusedInt8Layer(Int8Layer):
    """First product, SwiGLU and quantization by one operator."""

    def lay_out(self, weight: Tensor, scale: Tensor) -> QuantizedGroupedMatmul:
        """Convert the experts' first matrices to FRACTAL_NZ; keep the scales in float32."""
        return QuantizedGroupedMatmul(weight, scale, torch.float32)

    def between(self, routed: Routed, mark: Mark) -> tuple[Tensor, Tensor]:
        """Launch the one operator."""
        import torch_npu

        activated, scales, _ = torch_npu.npu_grouped_matmul_swiglu_quant(
            routed.rows,
            self._first.weight,
            routed.groups,
            self._first.scale,
            routed.scales,
        )
        return activated, scales


class NpuInt8:
    """The layer by one operator per step, for every activation."""

    staged: ClassVar[bool] = True
    layer: ClassVar[type[Int8Layer]] = Int8Layer

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other dtypes and capacities."""
        if case.dtype != "int8":
            return "npu-int8 layers are for layers in int8"
        return routing_unsupported(case, device)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Lay the weights out beforehand, as a server does when it loads them."""
        layer = self.layer(case, operands)
        return lambda: {"y": layer(mark)}


class NpuInt8Fused(NpuInt8):
    """The layer with npu_grouped_matmul_swiglu_quant, for SwiGLU only."""

    layer: ClassVar[type[Int8Layer]] = FusedInt8Layer

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what the one operator does not take."""
        if reason := super().unsupported(case, device):
            return reason
        if not case.gated or case.activation != "silu":
            return "npu_grouped_matmul_swiglu_quant has no activation but SwiGLU"
        if 2 * case.intermediate > MOST_COLUMNS:
            return (
                f"npu_grouped_matmul_swiglu_quant takes {MOST_COLUMNS} columns at most; "
                f"gate and up together have {2 * case.intermediate}"
            )
        if case.width > MOST_WIDTH:
            return f"npu_grouped_matmul_swiglu_quant takes rows of {MOST_WIDTH} at most"
        return None


class QuantizedGroupedMatmul:
    """Each row times its expert's matrix: int8 weights [experts, out, in], scales [experts, out, 1].

    The matrices are laid out in FRACTAL_NZ, as vllm-ascend does with both (quantization/methods).
    """

    def __init__(self, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        # Results have the scales' dtype, bfloat16; with float32 scales they would be float16.
        self.scale = scale.squeeze(-1).to(dtype)
        self.weight = fractal_nz(weight.transpose(1, 2))

    def __call__(self, rows: Tensor, scales: Tensor, ends: Tensor) -> Tensor:
        """Multiply rows [rows, in] in int8 with scales [rows], experts' rows up to `ends`: [rows, out]."""
        import torch_npu

        product: Tensor = torch_npu.npu_grouped_matmul(
            [rows],
            [self.weight],
            scale=[self.scale],
            per_token_scale=[scales],
            group_list=ends,
            group_list_type=ENDS,
            output_dtype=self.scale.dtype,
            **SPLIT_ROWS,
        )[0]
        return product


class NpuQuantizedLinear:
    """x · weightᵀ: x quantized row by row, an int8 weight [out, in] with scales [out, 1]."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._weight = fractal_nz(weight.T)
        self._scale = scale.view(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply x [rows, in]: [rows, out] in its dtype."""
        import torch_npu

        rows, scales = torch_npu.npu_dynamic_quant(x)
        product: Tensor = torch_npu.npu_quant_matmul(
            rows, self._weight, self._scale, pertoken_scale=scales, output_dtype=x.dtype
        )
        return product


class SharedMlp:
    """The shared experts as one: two products of int8, the activation between them."""

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        self._case = case
        self._first = NpuQuantizedLinear(
            joined_first(case, operands, prefix="shared_"),
            joined_first(case, operands, prefix="shared_", suffix="_scale"),
        )
        self._down = NpuQuantizedLinear(operands["shared_down"], operands["shared_down_scale"])

    def __call__(self, x: Tensor) -> Tensor:
        """Compute [tokens, hidden]."""
        return self._down(swiglu(self._case, self._first(x)))
