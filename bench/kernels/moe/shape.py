"""The parameters of a whole mixture-of-experts layer, and the sizes that follow from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from bench.kernels.base import Count, Size
from bench.kernels.dtypes import DTYPES
from bench.kernels.inputs import INT8_SCALE
from bench.kernels.moe.gated import GatedKernel

# Formats whose weights come with scales, and the standard deviation of the stored values.
SCALED = {"int8": INT8_SCALE, "float8_e4m3": 1.0}
CHANNEL_SCALE_BYTES = 4


class LayerShape(GatedKernel):
    """Widths, experts, activation and pass: what the layer's work, stages and reference depend on."""

    intermediate: Size
    shared_experts: Count = 0
    shared_intermediate: Count | None = None
    expert_hidden: Size | None = None
    gated: bool = True
    activation: Literal["silu", "gelu", "relu2", "swigluoai"] = "silu"
    pass_: Literal["forward", "forward_backward"] = Field("forward", alias="pass")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, given: Any) -> Any:
        """Spell equal shared experts and equal widths in one way, so that equal layers have one case_id.

        Shared experts are one MLP of their total width. It is named as that many experts of `intermediate`
        where the width is a multiple of it, else as one.
        """
        if not isinstance(given, dict):
            return given
        inner, count, total = (
            given.get(name) for name in ("intermediate", "shared_experts", "shared_intermediate")
        )
        given = {**given}
        if given.get("expert_hidden") == given.get("hidden"):
            given["expert_hidden"] = None
        if _is_size(inner) and inner and (count is None or _is_size(count)):
            total = inner * (count or 0) if total is None else total
            if _is_size(total):
                whole = total // inner if total % inner == 0 else 1
                given |= {"shared_experts": whole, "shared_intermediate": total}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> LayerShape:
        if self.activation == "swigluoai" and not self.gated:
            raise ValueError("activation: swigluoai is a gated activation, but gated is false")
        if self.dtype == "float4_e2m1":
            raise ValueError("dtype: moe_layer has no float4_e2m1 form")
        if self.backward and self.dtype in SCALED:
            raise ValueError(f"pass: there are no gradients in {self.dtype}")
        return self

    @property
    def backward(self) -> bool:
        """Whether gradients are computed too."""
        return self.pass_ == "forward_backward"

    @property
    def width(self) -> int:
        """The input and output width of routed experts."""
        return self.expert_hidden or self.hidden

    @property
    def latent(self) -> bool:
        """Whether tokens are projected to another width before dispatch and back after combine."""
        return self.width != self.hidden

    @property
    def shared_width(self) -> int:
        """The intermediate width of all shared experts together."""
        return self.shared_intermediate or 0

    @property
    def matrices(self) -> int:
        """The number of matrices per expert: gate, up and down, or only the last two."""
        return 3 if self.gated else 2

    @property
    def token_dtype(self) -> str:
        """The number format of tokens, gate and results: the case's, or bfloat16 with quantized weights."""
        return "bfloat16" if self.dtype in SCALED else self.dtype

    @property
    def expert_bytes(self) -> int:
        """The bytes of one routed expert's matrices and their scales."""
        weights = self.matrices * self.width * self.intermediate
        return self._matrix_bytes(weights, (self.matrices - 1) * self.intermediate + self.width)

    @property
    def shared_bytes(self) -> int:
        """The bytes of the shared experts' matrices and their scales."""
        weights = self.matrices * self.hidden * self.shared_width
        channels = (self.matrices - 1) * self.shared_width + self.hidden
        return self._matrix_bytes(weights, channels) if self.shared_width else 0

    @property
    def latent_bytes(self) -> tuple[int, int]:
        """The bytes of the projections before dispatch and after combine, and of their scales."""
        if not self.latent:
            return 0, 0
        weights = self.hidden * self.width
        return self._matrix_bytes(weights, self.width), self._matrix_bytes(weights, self.hidden)

    def _matrix_bytes(self, weights: int, channels: int) -> int:
        """Return the bytes of matrices and, in 8 bits, of one float32 scale per output channel."""
        scales = channels * CHANNEL_SCALE_BYTES if self.dtype in SCALED else 0
        return weights * DTYPES[self.dtype].bytes + scales


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
