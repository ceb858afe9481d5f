"""Which part of a layer's outputs is compared with the reference, and by which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Operand
from bench.kernels.dtypes import DTYPES, FloatArray
from bench.kernels.inputs import generator
from bench.kernels.moe.gated import PLANTED
from bench.kernels.moe.reference import Expected, Layer, Part, forward, gradients
from bench.kernels.moe.shape import LayerShape
from bench.kernels.terms import TermBound, missing_term
from bench.kernels.verification import SAFETY, Verification, compare, failed, worst_of

# Layers up to this size are verified for every token. Of larger ones at least so many random tokens, among
# them one of each expert, and the gradients of so many random neurons of each expert.
WHOLE_FLOPS = 1 << 31
WHOLE_TERMS = 1 << 26
SAMPLED_TOKENS = 32
SAMPLED_NEURONS = 16


def verify(
    case: LayerShape, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
) -> Verification:
    """Compare `y` [tokens, hidden] and every gradient `d_NAME` with the reference.

    Small layers are compared in full; in large ones random tokens, and the gradients of random neurons.
    """
    tolerance = case.tolerance()
    part = part_to_compare(case, Layer(case, inputs, seed), seed)
    expected = {"y": forward(case, inputs, part.tokens, seed)}
    if case.backward:
        expected |= gradients(case, inputs, part, seed)
    checks = []
    for name, one in expected.items():
        if name not in outputs:
            return failed(tolerance, part.described, f"{name} is missing")
        out = compared_part(case, name, outputs[name], part)
        check = compare(out, one.value, tolerance, f"{name} of {part.described}", one.scale)
        if check.passed:
            check = _check_terms(case, out, one, check)
        checks.append(check)
    worst = worst_of(checks)
    return replace(worst, compared=part.described if worst.passed else worst.compared)


def _check_terms(
    case: LayerShape, out: NDArray[Any], expected: Expected, check: Verification
) -> Verification:
    """Return the verification of outputs whose sums may lack one of their terms."""
    difference = out.astype(np.float64) - expected.value
    for terms in expected.terms:
        if fault := missing_term(difference, expected.value, terms, term_bound(case)):
            return replace(check, passed=False, fault=f"{check.compared}: {fault}")
    return check


def term_bound(case: LayerShape) -> TermBound:
    """Return what rounding explains of the error of one expert's share.

    Half of the tolerance is the error of a sum, and a weight has that of its logit, as in moe_gate.
    """
    dtype, tokens = DTYPES[case.dtype], DTYPES[case.token_dtype]
    logit = max(
        tokens.output_roundoff, dtype.multiply_roundoff, 2.0**-23 if tokens.name != "float64" else 0
    )
    return TermBound(
        rounding=case.tolerance() / SAFETY,
        coherent=SAFETY * (1 + PLANTED) * logit,
        inner=case.intermediate,
        spread=case.inputs == "normal",
    )


def part_to_compare(case: LayerShape, layer: Layer, seed: int) -> Part:
    """Return the part of the outputs that is compared."""
    flops, terms = case.work(seed).flops, case.tokens * case.top_k * case.width
    if flops <= WHOLE_FLOPS and terms <= WHOLE_TERMS:
        return Part.everything(case)
    random = generator(seed, "moe_layer/verify")
    neurons, shared_neurons = (
        np.sort(random.choice(width, min(SAMPLED_NEURONS, width), replace=False))
        for width in (case.intermediate, case.shared_width)
    )
    tokens = sample_tokens(layer.token, layer.expert, case.tokens, random)
    described = f"{len(tokens)} random tokens"
    if case.backward:
        described += f" and the gradients of {len(neurons)} random neurons of each expert"
    return Part(tokens, neurons, shared_neurons, False, described)


def sample_tokens(
    token: NDArray[Any], expert: NDArray[Any], tokens: int, random: np.random.Generator
) -> NDArray[Any]:
    """Return random tokens out of `tokens`, ascending, with at least one of each expert that serves any.

    `token` and `expert` [assignments] are those of the assignments that are computed.
    """
    order = random.permutation(tokens)
    sample = list(order[:SAMPLED_TOKENS])
    reached = set(expert[np.isin(token, sample)])
    place = np.empty(tokens, np.int64)
    place[order] = np.arange(tokens)
    by_place = np.argsort(place[token], kind="stable")
    experts, first = np.unique(expert[by_place], return_index=True)
    for missing, one in zip(experts, token[by_place[first]], strict=True):
        if missing not in reached:
            sample.append(one)
            reached.update(expert[token == one])
    return np.sort(sample)


def compared_part(
    case: LayerShape, name: str, out: NDArray[Any], part: Part
) -> NDArray[Any] | FloatArray:
    """Return the part of an output that is compared; all of one whose shape is wrong."""
    if name in ("y", "d_x"):
        return out[part.tokens] if len(out) == case.tokens else out
    shared = name.startswith("d_shared")
    neurons, width = (
        (part.shared_neurons, case.shared_width) if shared else (part.neurons, case.intermediate)
    )
    if name.endswith("_down") and out.shape[-1] == width:
        return out[..., neurons]
    if name.endswith(("_up", "_gate")) and out.ndim > 1 and out.shape[-2] == width:
        return out[..., neurons, :]
    return out
