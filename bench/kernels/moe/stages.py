"""The work of each stage of a mixture-of-experts layer."""

from __future__ import annotations

import numpy as np

from bench.kernels.base import Work
from bench.kernels.dtypes import DTYPES
from bench.kernels.moe.shape import LayerShape

# A float32 weight and an int32 expert number.
ASSIGNMENT_BYTES = 8


def stage_work(case: LayerShape, seed: int) -> dict[str, Work]:
    """Count the FLOPs and minimum bytes of each stage of the forward pass.

    FLOPs add up to those of the layer. Bytes add up to more: rows are written by one stage and read by
    the next, which a fused layer avoids.

    gate: logits, scores, choice. dispatch: rows sorted by expert (and the projection of a latent
    layer). experts: the products. activation: the functions between them. combine: the weighted sum
    (and the projection back). shared: the experts that serve every token, added to the sum.
    """
    counts, _ = case.load(seed)
    rows, reached = int(counts.sum()), int(np.count_nonzero(counts))
    size = DTYPES[case.token_dtype].bytes
    latent_in_bytes, latent_out_bytes = case.latent_bytes
    tokens, hidden, width, inner = case.tokens, case.hidden, case.width, case.intermediate
    chosen = tokens * case.top_k * ASSIGNMENT_BYTES
    received = case.received(seed) * ASSIGNMENT_BYTES
    one_expert = case.matrices * width * inner
    router = case.scored_experts * hidden * size
    latent = hidden * width if case.latent else 0
    first, shared = (case.matrices - 1) * inner, case.matrices * hidden * case.shared_width

    def work(flops: int, moved: int, weights: int) -> Work:
        return Work(flops=flops, bytes=moved + weights, weight_bytes=weights or None)

    stages = {
        "gate": work(
            2 * tokens * hidden * case.scored_experts, tokens * hidden * size + chosen, router
        ),
        "dispatch": work(
            2 * tokens * latent,
            (tokens * hidden + rows * width) * size + received,
            latent_in_bytes,
        ),
        "experts": work(
            2 * rows * one_expert,
            rows * (2 * width + first + inner) * size,
            reached * case.expert_bytes,
        ),
        "activation": work(0, rows * (first + inner) * size, 0),
        "combine": work(
            2 * tokens * latent,
            (rows * width + tokens * hidden) * size + received,
            latent_out_bytes,
        ),
    }
    if shared:
        stages["shared"] = work(2 * tokens * shared, 3 * tokens * hidden * size, case.shared_bytes)
    return stages
