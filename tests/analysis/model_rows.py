"""Rows of products and of layers of a model, as a result file has them."""

from __future__ import annotations

from bench.catalog.chips import get_chip

MODEL = "deepseek-v3"

# An H100 with the memory that these tests assume, whatever the table of chips says.
H100 = get_chip("h100-sxm").model_copy(update={"memory_gb": 80.0})


def product(tflops, **changes):
    return {
        "chip": "h100-sxm",
        "kernel": "matmul",
        "dtype": "bfloat16",
        "status": "ok",
        "model": None,
        "pass": "forward",
        "stage": None,
        "source": None,
        "file": "a.csv",
        "power_w": None,
        "achieved_tflops": tflops,
        "peak_tflops": 1000.0,
        "achieved_gbps": 2000.0,
        "peak_gbps": 3350.0,
        **changes,
    }


def layer(tokens, time_s, **changes):
    """A row of a layer whose experts 32 chips share, as DeepSeek-V3 in bfloat16 needs on H100s."""
    shape = {"kernel": "moe_experts", "model": MODEL, "routing": "balanced", "expert_parallel": 32}
    times = {"time_median_s": time_s, "ci_low_s": None, "ci_high_s": None}
    return {**product(500.0), **shape, **times, "tokens": tokens, **changes}
