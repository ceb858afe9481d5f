"""The arguments of flashinfer.fused_moe.cutlass_fused_moe that serve 16-bit layers, in float32."""

import torch
import torch.nn.functional as F


def cutlass_fused_moe(
    input,
    token_selected_experts,
    token_final_scales,
    fc1_expert_weights,
    fc2_expert_weights,
    output_dtype,
    quant_scales,
    output=None,
):
    """Write Σ scale · (silu(x · gateᵀ) ∘ (x · upᵀ)) · downᵀ into `output`; fc1 is [up; gate]."""
    assert token_selected_experts.dtype == torch.int32
    assert token_final_scales.dtype == torch.float32
    assert fc1_expert_weights.is_contiguous() and output.dtype == output_dtype
    total = torch.zeros(output.shape)
    for token, expert_row in enumerate(token_selected_experts.tolist()):
        x = input[token].float()
        for slot, expert in enumerate(expert_row):
            up, gate = fc1_expert_weights[expert].float().chunk(2)
            acted = F.silu(gate @ x) * (up @ x)
            out = fc2_expert_weights[expert].float() @ acted
            total[token] += token_final_scales[token, slot] * out
    output.copy_(total)
    return [output]
