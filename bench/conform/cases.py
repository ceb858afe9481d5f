"""The cases of the checks: one of any size for each kernel, and a grid of shapes that break assumptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Kernels in the order in which a case is looked for, and dtypes likewise.
KERNEL_ORDER = (
    *("matmul", "memory", "grouped_matmul"),
    *("moe_gate", "moe_dispatch", "moe_combine", "moe_layer"),
)
DTYPE_ORDER = (
    *("float32", "bfloat16", "float16", "float64", "tf32", "hf32"),
    *("int8", "float8_e4m3", "float4_e2m1"),
)

Parameters = dict[str, Any]


# A cold case is made as often as fills the cache several times over: it must not be small.
COLD: Parameters = {"cache": "cold"}


def sized_parameters(kernel: str, size: int) -> Parameters:
    """Return the parameters of a case without its dtype; `size` is a dimension, or 1 MiB per 64."""
    parameters: Parameters = {"cache": "hot"}
    if kernel == "matmul":
        return parameters | {"m": size, "n": size, "k": size}
    if kernel == "memory":
        return parameters | {"operation": "copy", "size_mib": max(1, size // 64)}
    if kernel == "grouped_matmul":
        return parameters | {"m": size, "experts": 4, "n": size, "k": size}
    routed = {"hidden": size, "experts": 8, "top_k": 2, "tokens": size}
    return parameters | routed | ({"intermediate": size} if kernel == "moe_layer" else {})


def grid(kernel: str) -> list[Parameters]:
    """Return shapes for a kernel, small and odd ones first; none for a kernel that has no grid."""
    shapes = {
        "matmul": _matmul,
        "memory": _memory,
        "grouped_matmul": _grouped_matmul,
        "moe_gate": _routed,
        "moe_dispatch": _moved,
        "moe_combine": _moved,
        "moe_layer": _layers,
    }.get(kernel)
    return [{"cache": "hot", **shape} for shape in shapes()] if shapes else []


def _matmul() -> Iterator[Parameters]:
    yield {"m": 64, "n": 48, "k": 96}
    yield {"m": 7, "n": 5, "k": 3}
    yield {"m": 1, "n": 1, "k": 1}
    for layout in ("nt", "tn", "tt"):
        yield {"m": 32, "n": 48, "k": 64, "layout": layout}
    yield {"m": 33, "n": 65, "k": 129, "batch": 3}
    yield {"m": 1, "n": 512, "k": 1024, "layout": "nt"}
    yield {"m": 64, "n": 64, "k": 64, "graph": True}
    yield {"m": 64, "n": 64, "k": 64, "inputs": "zeros"}
    yield {"m": 640, "n": 384, "k": 1056, **COLD}


def _memory() -> Iterator[Parameters]:
    for operation in ("copy", "read", "triad"):
        yield {"operation": operation, "size_mib": 1}
    yield {"operation": "triad", "size_mib": 1, "graph": True}
    for operation in ("copy", "read", "triad"):
        yield {"operation": operation, "size_mib": 17, **COLD}


def _grouped_matmul() -> Iterator[Parameters]:
    yield {"m": 64, "experts": 4, "n": 48, "k": 96}
    yield {"m": 5, "experts": 8, "n": 16, "k": 32}  # experts without rows
    yield {"m": 1, "experts": 1, "n": 1, "k": 1}
    yield {"m": 37, "experts": 5, "n": 11, "k": 13, "routing": "uniform"}
    yield {"m": 96, "experts": 8, "n": 32, "k": 64, "routing": "power_law", "routing_exponent": 3.0}
    yield {"m": 64, "experts": 4, "n": 32, "k": 32, "graph": True}
    yield {"m": 768, "experts": 6, "n": 320, "k": 512, "routing": "uniform", **COLD}


def _routed() -> Iterator[Parameters]:
    yield {"hidden": 64, "experts": 8, "top_k": 2, "tokens": 32}
    yield {"hidden": 32, "experts": 8, "top_k": 1, "tokens": 3}  # experts without tokens
    yield {"hidden": 48, "experts": 5, "top_k": 5, "tokens": 7}
    yield {"hidden": 64, "experts": 16, "top_k": 2, "tokens": 1}
    yield {"hidden": 64, "experts": 8, "top_k": 2, "tokens": 24, "zero_experts": 2}
    skewed = {"routing": "power_law", "routing_exponent": 3.0}
    yield {"hidden": 64, "experts": 8, "top_k": 2, "tokens": 33, **skewed}
    yield {"hidden": 64, "experts": 8, "top_k": 2, "tokens": 32, "graph": True}
    yield {"hidden": 512, "experts": 32, "top_k": 4, "tokens": 512, **COLD}


def _moved() -> Iterator[Parameters]:
    *small, large = _routed()
    yield from small
    yield {"hidden": 64, "experts": 8, "top_k": 2, "tokens": 33, "expert_parallel": 4}
    yield from (
        {**_UNEQUAL, "hidden": 64, "device": device} for device in ("mean", "median", "hottest")
    )
    yield {**_UNEQUAL, "hidden": 64, "expert_parallel": 1, "capacity_factor": 1.0}
    yield large


_UNEQUAL: Parameters = {
    **{"experts": 8, "top_k": 2, "tokens": 16, "expert_parallel": 4},
    **{"routing": "power_law", "routing_exponent": 2.0},
}


def _layers() -> Iterator[Parameters]:
    *small, large = _moved()
    yield from ({**shape, "intermediate": 32} for shape in small)
    first = {**small[0], "intermediate": 48}
    yield {**first, "shared_experts": 1}
    yield {**first, "gated": False, "activation": "relu2"}
    yield {**first, "activation": "swigluoai"}
    yield {**first, "expert_hidden": 32}
    yield {**first, "pass": "forward_backward"}
    yield {**large, "intermediate": 256}
