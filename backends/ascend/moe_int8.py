"""A mixture-of-experts layer in int8 by Ascend's operators: vllm-ascend's sequences for W8A8.

Routing quantises the rows that it sorts. `npu-int8` then takes an operator a step and knows every
activation; in `npu-int8-fused` one operator does the first product, SwiGLU and the next quantisation.
The gate stays in the tokens' own format.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from backends.ascend.matmul import fractal_nz
from backends.ascend.moe import SPLIT_ROWS, gate, route, swiglu
from backends.torch.device import Mark, Step, Tensors, unmarked
from bench.kernels.moe_layer import MoeLayer

QUANTISE_ROWS = 1  # npu_moe_init_routing_v2's quant_mode: a scale for each row, as it comes

# What aclnnGroupedMatmulSwigluQuantWeightNZ takes (github.com/hicann/ops-transformer,
# gmm/grouped_matmul_swiglu_quant/docs): columns of gate and up together, and width.
MOST_COLUMNS = 10240
MOST_WIDTH = 65535


class NpuInt8:
    """Rows sorted and quantised at once, two grouped products of int8, one weighted sum a token."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "npu-int8"
    staged: ClassVar[bool] = True

    def preference(self, device_type: str) -> int | None:
        """Offer it on NPUs, behind the fused one."""
        return 4 if device_type == "npu" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why CANN cannot compute the layer so, or None."""
        if case.dtype != "int8":
            return f"{self.name} is for layers in int8"
        if case.capacity is not None:
            return f"{self.name} computes every assignment; it cannot drop those beyond a capacity"
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; weights are laid out beforehand, as a server does when it loads them."""
        import torch_npu

        x = operands["x"]
        first = self.lay_out(*upward(case, operands, ""))
        second = Grouped(operands["down"], operands["down_scale"], x.dtype)
        shared = SharedMlp(case, operands) if case.shared_width else None
        latent = [
            Linear(operands[name], operands[f"{name}_scale"])
            for name in ("latent_in", "latent_out")
            if case.latent
        ]

        def step() -> Tensors:
            weight, chosen = gate(case, operands)
            mark("gate")
            z = latent[0](x) if case.latent else x
            rows, places, counts, scales = route(case, z, chosen, QUANTISE_ROWS)
            mark("dispatch")
            out = second(*self.between(case, first, rows, scales, counts, mark), counts)
            mark("experts")
            y = torch_npu.npu_moe_token_unpermute(out, places, probs=weight.to(x.dtype))
            if case.latent:
                y = latent[1](y)
            mark("combine")
            if shared is not None:
                y = y + shared(x)
                mark("shared")
            return {"y": y}

        return step

    def lay_out(self, weight: Tensor, scale: Tensor) -> Grouped:
        """Return the experts' first matrices, ready to be multiplied."""
        return Grouped(weight, scale, torch.bfloat16)

    def between(
        self,
        case: MoeLayer,
        first: Grouped,
        rows: Tensor,
        scales: Tensor,
        counts: Tensor,
        mark: Mark,
    ) -> tuple[Tensor, Tensor]:
        """Return the second product's rows [rows, intermediate] in int8, and their scales [rows]."""
        import torch_npu

        product = first(rows, scales, counts)
        mark("experts")
        acted, acted_scales = torch_npu.npu_dynamic_quant(swiglu(case, product))
        mark("activation")
        return acted, acted_scales


class NpuInt8Fused(NpuInt8):
    """First product, SwiGLU and quantisation by one operator, which reads matrices in FRACTAL_NZ."""

    name: ClassVar[str] = "npu-int8-fused"

    def preference(self, device_type: str) -> int | None:
        """Prefer it on NPUs."""
        return 5 if device_type == "npu" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the one operator cannot do it, or None."""
        if reason := super().unsupported(case, device):
            return reason
        if not case.gated or case.activation != "silu":
            return "npu_grouped_matmul_swiglu_quant knows no activation but SwiGLU"
        if 2 * case.intermediate > MOST_COLUMNS:
            return (
                f"npu_grouped_matmul_swiglu_quant takes {MOST_COLUMNS} columns at most; "
                f"gate and up together have {2 * case.intermediate}"
            )
        if case.width > MOST_WIDTH:
            return f"npu_grouped_matmul_swiglu_quant takes rows of {MOST_WIDTH} at most"
        return None

    def lay_out(self, weight: Tensor, scale: Tensor) -> Grouped:
        """Return the experts' first matrices in FRACTAL_NZ, their scales as they are."""
        return Grouped(weight, scale, torch.float32, fractal=True)

    def between(
        self,
        case: MoeLayer,
        first: Grouped,
        rows: Tensor,
        scales: Tensor,
        counts: Tensor,
        mark: Mark,
    ) -> tuple[Tensor, Tensor]:
        """Return the same as the separate operators; this one wants the groups' ends."""
        import torch_npu

        acted, acted_scales, _ = torch_npu.npu_grouped_matmul_swiglu_quant(
            rows, first.weight, counts.cumsum(0), first.scale, scales
        )
        return acted, acted_scales


class Grouped:
    """Each row times its expert's matrix: int8 weights [experts, out, in], scales [experts, out, 1]."""

    def __init__(
        self, weight: Tensor, scale: Tensor, dtype: torch.dtype, *, fractal: bool = False
    ) -> None:
        # Results are bfloat16 where the channels' scales are; with float32 they would be float16.
        self.scale = scale.squeeze(-1).to(dtype)
        transposed = weight.transpose(1, 2)
        self.weight = fractal_nz(transposed) if fractal else transposed.contiguous()

    def __call__(self, rows: Tensor, scales: Tensor, counts: Tensor) -> Tensor:
        """Return [rows, out] for rows [rows, in] in int8 with scales [rows], `counts` an expert."""
        import torch_npu

        product: Tensor = torch_npu.npu_grouped_matmul(
            [rows],
            [self.weight],
            scale=[self.scale],
            per_token_scale=[scales],
            group_list=counts,
            output_dtype=self.scale.dtype,
            **SPLIT_ROWS,
        )[0]
        return product


def upward(case: MoeLayer, operands: Tensors, prefix: str) -> tuple[Tensor, Tensor]:
    """Return gate beside up as one matrix [.., out, in], or up alone, and its scales [.., out, 1]."""
    names = [f"{prefix}{name}" for name in (("gate", "up") if case.gated else ("up",))]
    joined = torch.cat([operands[name] for name in names], dim=-2)
    return joined, torch.cat([operands[f"{name}_scale"] for name in names], dim=-2)


class Linear:
    """x · weightᵀ: x quantised row by row, an int8 weight [out, in] with scales [out, 1]."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._weight = fractal_nz(weight.T)
        self._scale = scale.view(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [rows, out] in the dtype of x [rows, in]."""
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
        self._first = Linear(*upward(case, operands, "shared_"))
        self._down = Linear(operands["shared_down"], operands["shared_down_scale"])

    def __call__(self, x: Tensor) -> Tensor:
        """Return [tokens, hidden]."""
        return self._down(swiglu(self._case, self._first(x)))
