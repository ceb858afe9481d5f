"""The order in which a torch device prefers the implementations of a kernel.

`best` is the first that takes a case. A device type that a kernel does not list has the order of `OTHER`.
An implementation in none of its kernel's lists, such as one of another package, comes after all listed
ones, unless its method `before` says otherwise (backends/torch/implementation.py).
"""

from __future__ import annotations

from collections.abc import Mapping

OTHER = "other"

TRANSFORMERS = ("transformers-batched", "transformers-eager", "transformers-grouped")

# By kernel, then by torch's device type. An implementation that tunes or compiles for seconds comes after
# those that start at once; those of other projects come last: they are the baselines to compare with.
PREFERENCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "collective": {OTHER: ("torch",)},
    "grouped_matmul": {
        # On a processor, torch's grouped product is a loop with an additional copy.
        "cpu": ("loop", "grouped"),
        "npu": ("npu-grouped", "grouped", "loop"),
        OTHER: ("grouped", "loop"),
    },
    "matmul": {
        "cuda": ("torch", "mxfp8", "nvfp4", "rowwise", "block128", "triton", "compiled"),
        # FRACTAL_NZ replaces the layout that the case asks for.
        "npu": ("torch", "npu-quant", "rowwise", "npu-fractal-nz", "triton", "compiled"),
        OTHER: ("torch", "rowwise", "triton", "compiled"),
    },
    "memory": {OTHER: ("torch",)},
    "moe_combine": {
        "cpu": ("bag", "torch"),
        "npu": ("npu-unpermute", "torch", "bag"),
        OTHER: ("torch", "bag"),
    },
    "moe_dispatch": {"npu": ("npu-routing", "torch"), OTHER: ("torch",)},
    "moe_gate": {"npu": ("npu-gating", "torch"), OTHER: ("torch",)},
    "moe_layer": {
        # docs/moe.md has the figures; `fused` goes behind `loop` where oneDNN multiplies with AMX.
        "cpu": (
            *("fused", "packed", "float8", "int8", "loop", "grouped", "compiled"),
            *TRANSFORMERS,
        ),
        "cuda": (
            *("float8-grouped", "grouped", "float8", "int8", "loop", "compiled"),
            *("flashinfer", "vllm"),
            *(*TRANSFORMERS, "transformers-deepgemm", "transformers-sonicmoe"),
        ),
        "npu": (
            *("npu-int8-fused", "npu-fused", "npu-int8", "npu-fused-nz", "npu-finalize"),
            *("grouped", "float8", "loop"),  # torch-npu has no torch._int_mm
        ),
        OTHER: ("grouped", "float8", "int8", "loop"),
    },
}
