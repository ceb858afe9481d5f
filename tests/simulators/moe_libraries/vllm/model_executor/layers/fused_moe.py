"""The arguments of vLLM's fused_experts that serve 16-bit layers, in float32."""

import torch
import torch.nn.functional as F


def fused_experts(hidden_states, w1, w2, topk_weights, topk_ids, inplace=False, activation="silu"):
    """Return Σ weight · (silu(x · gateᵀ) ∘ (x · upᵀ)) · downᵀ; w1 is [gate; up]."""
    assert hidden_states.is_contiguous() and w1.stride(-1) == w2.stride(-1) == 1
    assert hidden_states.size(1) == w1.size(2) and topk_weights.size() == topk_ids.size()
    assert activation == "silu" and not inplace
    total = torch.zeros(hidden_states.shape)
    for token, experts in enumerate(topk_ids.tolist()):
        x = hidden_states[token].float()
        for slot, expert in enumerate(experts):
            gate, up = w1[expert].float().chunk(2)
            acted = F.silu(gate @ x) * (up @ x)
            total[token] += topk_weights[token, slot] * (w2[expert].float() @ acted)
    return total.to(hidden_states.dtype)
