"""The number of parameters of a model, in total and active per token, counted from its shape.

With hidden width H, vocabulary V, m matrices per expert (3 if gated, else 2), and routed experts of
width I in a space of width R (H unless the model has latent experts):

    embeddings   2·V·H, or V·H when tied
    dense MLP    m·H·I_dense
    MoE layer    H·(E + Z) + E·m·R·I + m·H·I_shared + (2·H·R when latent), with Z zero experts
    attention    by its kind: bench.catalog.attention_kinds

Active parameters are those that one token uses: top_k of the E routed experts, and everything else. Zero
experts have no parameters; with even routing, a token uses top_k·E/(E + Z) of the others on average.
The reports of DeepSeek-V3 (arXiv 2412.19437, section 2) and Mixtral (arXiv 2401.04088, section 2) count
the same way. Multi-token prediction modules, image encoders, norms and biases are left out.
"""

from __future__ import annotations

from bench.catalog.models import Counted, Model


def total_parameters(model: Model) -> int:
    """Return the number of all parameters, counting embeddings as the publisher does."""
    return _always(model) + _embeddings(model, model.total_counts) + _routed(model, model.experts)


def active_parameters(model: Model) -> int:
    """Return the number of parameters active per token, counting embeddings as the publisher does."""
    routed = _routed(model, model.computing_experts)
    return _always(model) + _embeddings(model, model.active_counts) + routed


def _always(model: Model) -> int:
    """Return the number of parameters that every token uses, without embeddings."""
    matrices = 3 if model.gated else 2
    attention = sum(kind.layers * kind.parameters(model.hidden) for kind in model.attention)
    dense = model.dense_layers * matrices * model.hidden * (model.dense_intermediate or 0)
    layer = (
        model.hidden * model.scored_experts + matrices * model.hidden * model.shared_intermediate
    )
    if model.expert_hidden is not None:
        layer += 2 * model.hidden * model.expert_hidden
    return attention + dense + model.moe_layers * layer


def _routed(model: Model, experts: float) -> int:
    """Return the number of parameters of `experts` routed experts per layer, over all layers."""
    matrices = 3 if model.gated else 2
    width = model.expert_hidden or model.hidden
    return round(model.moe_layers * experts * matrices * width * model.intermediate)


def _embeddings(model: Model, counted: Counted) -> int:
    """Return the number of parameters of the embeddings that are counted."""
    one = model.vocabulary * model.hidden
    every = one if model.tied else 2 * one
    return {"all": every, "output": one, "no_embeddings": 0}[counted]
