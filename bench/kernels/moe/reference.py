"""A mixture-of-experts layer and its gradients in float64, written like the formulas.

Clarity matters here and speed does not: every implementation is compared with this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Operand
from bench.kernels.dtypes import DTYPES, FloatArray, accumulate_roundoff
from bench.kernels.moe.math import activate, activate_backward, gate_backward
from bench.kernels.moe.shape import LayerShape

# A gradient, and the norm that its error is relative to unless that is its own.
Gradient = tuple[FloatArray, float | None]


@dataclass(frozen=True)
class Part:
    """The part of a layer that is compared: tokens, experts, and whether that is all of them."""

    tokens: NDArray[Any]
    experts: NDArray[Any]
    whole: bool
    described: str


@dataclass(frozen=True)
class Mlp:
    """One expert: its matrices [out, in] in float64."""

    activation: str
    up: FloatArray
    gate: FloatArray | None
    down: FloatArray

    def forward(self, x: FloatArray) -> FloatArray:
        """Return [rows, out] for x [rows, in]."""
        return np.asarray(activate(self.activation, *self._between(x)) @ self.down.T)

    def backward(self, x: FloatArray, d_out: FloatArray) -> dict[str, FloatArray]:
        """Return the gradients of x, up, gate and down for x [rows, in] and d_out [rows, out]."""
        up, gate = self._between(x)
        d_acted = d_out @ self.down
        d_up, d_gate = activate_backward(self.activation, up, gate, d_acted)
        result = {
            "x": d_up @ self.up,
            "up": d_up.T @ x,
            "down": d_out.T @ activate(self.activation, up, gate),
        }
        if self.gate is not None and d_gate is not None:
            result["x"] = result["x"] + d_gate @ self.gate
            result["gate"] = d_gate.T @ x
        return result

    def _between(self, x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        return x @ self.up.T, None if self.gate is None else x @ self.gate.T


class Layer:
    """The operands of a case in float64, and the experts of its tokens."""

    def __init__(self, case: LayerShape, inputs: Mapping[str, Operand], seed: int) -> None:
        self.case = case
        self._inputs = inputs
        self.chosen = case.chosen(seed)
        assigned, kept = case.assignments(seed), case.kept(seed)
        self._token, self._slot, self._expert = (
            each[kept] for each in (assigned.token, assigned.slot, assigned.expert)
        )

    def operand(self, name: str, part: Any = ...) -> FloatArray:
        """Return an input, or a part of it along the first axis, times its scales."""
        array = np.asarray(self._inputs[name].array[part], np.float64)
        scale = self._inputs.get(f"{name}_scale")
        return array if scale is None else array * np.asarray(scale.array[part], np.float64)

    def mlp(self, prefix: str, part: Any = ...) -> Mlp:
        """Return the routed expert number `part`, or with `shared_` the shared experts as one."""
        gate = self.operand(f"{prefix}gate", part) if self.case.gated else None
        up, down = self.operand(f"{prefix}up", part), self.operand(f"{prefix}down", part)
        return Mlp(self.case.activation, up, gate, down)

    def logits(self, tokens: NDArray[Any]) -> FloatArray:
        """Return [len(tokens), experts]."""
        x = self.operand("x", tokens)
        return np.asarray(x @ self.operand("router").T + self.operand("planted", tokens))

    def weight(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the weights of the chosen experts [len(tokens), top_k]."""
        return np.asarray(self.case.weights(self.logits(tokens), self.chosen[tokens]))

    def dispatched(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the inputs of routed experts: the tokens, or their projections in a latent layer."""
        x = self.operand("x", tokens)
        return np.asarray(x @ self.operand("latent_in").T) if self.case.latent else x

    def assignments(self, tokens: NDArray[Any], expert: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what a local expert computes, dropped ones left out: indices into `tokens`, and slots.

        `tokens` are ascending.
        """
        computed = np.flatnonzero(self._expert == expert)
        computed = computed[np.isin(self._token[computed], tokens)]
        return np.searchsorted(tokens, self._token[computed]), self._slot[computed]

    def unchanged(self, tokens: NDArray[Any]) -> FloatArray:
        """Return where a chosen expert returns its token unchanged, 1 or 0 [len(tokens), top_k]."""
        return np.asarray(self.chosen[tokens] >= self.case.experts, np.float64)

    def served(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the weighted sums of the routed experts, [len(tokens), width]."""
        z, weight = self.dispatched(tokens), self.weight(tokens)
        served = (weight * self.unchanged(tokens)).sum(axis=1, keepdims=True) * z
        for expert in range(self.case.local_experts):
            rows, slots = self.assignments(tokens, expert)
            if len(rows):
                out = self.mlp("", expert).forward(z[rows])
                np.add.at(served, rows, out * weight[rows, slots][:, None])
        return np.asarray(served)

    def d_served(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the gradient of `served`."""
        dy = self.operand("dy", tokens)
        return np.asarray(dy @ self.operand("latent_out")) if self.case.latent else dy


def forward(
    case: LayerShape, inputs: Mapping[str, Operand], tokens: NDArray[Any], seed: int
) -> FloatArray:
    """Return the outputs y [len(tokens), hidden] of the given tokens."""
    layer = Layer(case, inputs, seed)
    served = layer.served(tokens)
    y = served @ layer.operand("latent_out").T if case.latent else served
    if case.shared_width:
        y = y + layer.mlp("shared_").forward(layer.operand("x", tokens))
    return np.asarray(y)


def gradients(
    case: LayerShape, inputs: Mapping[str, Operand], part: Part, seed: int
) -> dict[str, Gradient]:
    """Return the gradients in `part` by name, d_NAME.

    d_x of its tokens, and d_up, d_gate and d_down of its experts. Gradients of the router, the shared
    experts and the latent projections need every token, so they are returned only for the whole layer.
    """
    layer = Layer(case, inputs, seed)
    every = np.arange(case.tokens)
    result: dict[str, Gradient] = {}
    for name, stack in _expert_gradients(layer, part.experts, every).items():
        result[f"d_{name}"] = (stack, None)
    result |= _token_gradients(layer, part)
    return result


def _expert_gradients(
    layer: Layer, experts: NDArray[Any], every: NDArray[Any]
) -> dict[str, FloatArray]:
    z, weight, d_served = layer.dispatched(every), layer.weight(every), layer.d_served(every)
    stacks: dict[str, list[FloatArray]] = {}
    for expert in experts:
        mlp = layer.mlp("", expert)
        rows, slots = layer.assignments(every, int(expert))
        d_out = d_served[rows] * weight[rows, slots][:, None]
        for name, gradient in mlp.backward(z[rows], d_out).items():
            if name != "x":
                stacks.setdefault(name, []).append(gradient)
    return {name: np.stack(stack) for name, stack in stacks.items()}


def _token_gradients(layer: Layer, part: Part) -> dict[str, Gradient]:
    case, tokens, tokens_in = layer.case, part.tokens, layer.case.token_dtype
    x, dy = layer.operand("x", tokens), layer.operand("dy", tokens)
    z, weight, d_served = layer.dispatched(tokens), layer.weight(tokens), layer.d_served(tokens)
    unchanged = layer.unchanged(tokens)
    d_z = (weight * unchanged).sum(axis=1, keepdims=True) * d_served
    # The gradient of a weight is a sum over rows; their magnitudes bound its rounding error.
    d_weight = unchanged * (d_served * z).sum(axis=1, keepdims=True)
    products = unchanged * np.linalg.norm(d_served * z, axis=1, keepdims=True)
    for expert in range(case.local_experts):
        rows, slots = layer.assignments(tokens, expert)
        if len(rows):
            mlp = layer.mlp("", expert)
            product = d_served[rows] * mlp.forward(z[rows])
            np.add.at(d_weight, (rows, slots), product.sum(axis=1))
            np.add.at(products, (rows, slots), np.linalg.norm(product, axis=1))
            d_out = d_served[rows] * weight[rows, slots][:, None]
            np.add.at(d_z, rows, mlp.backward(z[rows], d_out)["x"])
    d_logits, terms = gate_backward(
        layer.logits(tokens),
        layer.chosen[tokens],
        d_weight,
        products,
        gate=case.gate,
        normalize=case.normalize,
        scaling=case.scaling,
        rounding=accumulate_roundoff(tokens_in) / DTYPES[tokens_in].output_roundoff,
    )
    result: dict[str, Gradient] = {}
    d_x = d_logits @ layer.operand("router")
    d_x = d_x + (d_z @ layer.operand("latent_in") if case.latent else d_z)
    if case.shared_width:
        shared = layer.mlp("shared_").backward(x, dy)
        d_x = d_x + shared.pop("x")
        if part.whole:
            result |= {f"d_shared_{name}": (gradient, None) for name, gradient in shared.items()}
    if part.whole:
        # The gradient of the gate is a sum whose terms may cancel, completely for a normalized top-1.
        result["d_router"] = (d_logits.T @ x, float(np.linalg.norm(terms.T @ x)))
        if case.latent:
            result["d_latent_in"] = (d_z.T @ x, None)
            result["d_latent_out"] = (dy.T @ layer.served(tokens), None)
    result["d_x"] = (d_x, None)
    return result
