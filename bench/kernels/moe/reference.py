"""A mixture-of-experts layer and its gradients in float64, written as the formulas read.

Nothing here is fast or clever: it is what every implementation is held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import FloatArray, Operand
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.moe.math import activate, activate_backward, gate_backward
from bench.kernels.moe.shape import LayerShape

# A gradient, and what its error is relative to where that is not its own norm.
Gradient = tuple[FloatArray, float | None]


@dataclass(frozen=True)
class Part:
    """What of a layer is compared: tokens, experts, and whether that is all there are."""

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
        found = {
            "x": d_up @ self.up,
            "up": d_up.T @ x,
            "down": d_out.T @ activate(self.activation, up, gate),
        }
        if self.gate is not None and d_gate is not None:
            found["x"] = found["x"] + d_gate @ self.gate
            found["gate"] = d_gate.T @ x
        return found

    def _between(self, x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        return x @ self.up.T, None if self.gate is None else x @ self.gate.T


class Layer:
    """A case's operands in float64, and who goes where."""

    def __init__(self, case: LayerShape, inputs: Mapping[str, Operand], seed: int) -> None:
        self.case = case
        self._inputs = inputs
        self.chosen = case.chosen(seed)
        self.local = self.chosen % case.local_experts
        self.kept = case.kept(seed)

    def operand(self, name: str, part: Any = ...) -> FloatArray:
        """Return an input, or part of it along its first axis."""
        array = np.asarray(self._inputs[name].array[part], np.float64)
        scale = self._inputs.get(f"{name}_scale")
        return array if scale is None else array * np.asarray(scale.array[part], np.float64)

    def mlp(self, prefix: str, part: Any = ...) -> Mlp:
        """Return a routed expert by its number, or the shared ones."""
        gate = self.operand(f"{prefix}gate", part) if self.case.gated else None
        up, down = self.operand(f"{prefix}up", part), self.operand(f"{prefix}down", part)
        return Mlp(self.case.activation, up, gate, down)

    def logits(self, tokens: NDArray[Any]) -> FloatArray:
        """Return [len(tokens), experts]."""
        x = self.operand("x", tokens)
        return np.asarray(x @ self.operand("router").T + self.operand("planted", tokens))

    def weight(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the weights of the chosen experts [len(tokens), top_k]; zero where dropped."""
        weight = self.case.weights(self.logits(tokens), self.chosen[tokens])
        return np.where(self.kept[tokens], weight, 0.0)

    def dispatched(self, tokens: NDArray[Any]) -> FloatArray:
        """Return what experts get of tokens: themselves, or their projection."""
        x = self.operand("x", tokens)
        return np.asarray(x @ self.operand("latent_in").T) if self.case.latent else x

    def assignments(self, tokens: NDArray[Any], expert: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return rows (into `tokens`) and slots that go to a local expert and are not dropped."""
        rows, slots = np.nonzero((self.local[tokens] == expert) & self.kept[tokens])
        return rows, slots

    def served(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the weighted sums of the routed experts, [len(tokens), width]."""
        z, weight = self.dispatched(tokens), self.weight(tokens)
        served = np.zeros((len(tokens), self.case.width))
        for expert in range(self.case.local_experts):
            rows, slots = self.assignments(tokens, expert)
            if len(rows):
                out = self.mlp("", expert).forward(z[rows])
                np.add.at(served, rows, out * weight[rows, slots][:, None])
        return served

    def d_served(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the gradient of `served`."""
        dy = self.operand("dy", tokens)
        return np.asarray(dy @ self.operand("latent_out")) if self.case.latent else dy


def forward(
    case: LayerShape, inputs: Mapping[str, Operand], tokens: NDArray[Any], seed: int
) -> FloatArray:
    """Return y [len(tokens), hidden] for some tokens, expert by expert."""
    found = Layer(case, inputs, seed)
    served = found.served(tokens)
    y = served @ found.operand("latent_out").T if case.latent else served
    if case.shared_width:
        y = y + found.mlp("shared_").forward(found.operand("x", tokens))
    return np.asarray(y)


def gradients(
    case: LayerShape, inputs: Mapping[str, Operand], part: Part, seed: int
) -> dict[str, Gradient]:
    """Return the gradients that `part` selects, as d_NAME.

    d_x of its tokens, d_up, d_gate and d_down of its experts; of the router, the shared experts and
    the latent projections only if `part` is the whole, because each of them needs every token.
    """
    found = Layer(case, inputs, seed)
    every = np.arange(case.tokens)
    result: dict[str, Gradient] = {}
    for name, stack in _expert_gradients(found, part.experts, every).items():
        result[f"d_{name}"] = (stack, None)
    result |= _token_gradients(found, part)
    return result


def _expert_gradients(
    found: Layer, experts: NDArray[Any], every: NDArray[Any]
) -> dict[str, FloatArray]:
    z, weight, d_served = found.dispatched(every), found.weight(every), found.d_served(every)
    stacks: dict[str, list[FloatArray]] = {}
    for expert in experts:
        mlp = found.mlp("", expert)
        rows, slots = found.assignments(every, int(expert))
        d_out = d_served[rows] * weight[rows, slots][:, None]
        for name, gradient in mlp.backward(z[rows], d_out).items():
            if name != "x":
                stacks.setdefault(name, []).append(gradient)
    return {name: np.stack(stack) for name, stack in stacks.items()}


def _token_gradients(found: Layer, part: Part) -> dict[str, Gradient]:
    case, tokens, tokens_in = found.case, part.tokens, found.case.token_dtype
    x, dy = found.operand("x", tokens), found.operand("dy", tokens)
    z, weight, d_served = found.dispatched(tokens), found.weight(tokens), found.d_served(tokens)
    d_z = np.zeros_like(z)
    d_weight, products = np.zeros_like(weight), np.zeros_like(weight)
    for expert in range(case.local_experts):
        rows, slots = found.assignments(tokens, expert)
        if len(rows):
            mlp = found.mlp("", expert)
            product = d_served[rows] * mlp.forward(z[rows])
            d_weight[rows, slots] = product.sum(axis=1)
            products[rows, slots] = np.linalg.norm(product, axis=1)
            d_out = d_served[rows] * weight[rows, slots][:, None]
            np.add.at(d_z, rows, mlp.backward(z[rows], d_out)["x"])
    d_logits, terms = gate_backward(
        found.logits(tokens),
        found.chosen[tokens],
        d_weight,
        products,
        gate=case.gate,
        normalize=case.normalize,
        scaling=case.scaling,
        rounding=accumulate_roundoff(tokens_in) / DTYPES[tokens_in].output_roundoff,
    )
    result: dict[str, Gradient] = {}
    d_x = d_logits @ found.operand("router")
    d_x = d_x + (d_z @ found.operand("latent_in") if case.latent else d_z)
    if case.shared_width:
        shared = found.mlp("shared_").backward(x, dy)
        d_x = d_x + shared.pop("x")
        if part.whole:
            result |= {f"d_shared_{name}": (gradient, None) for name, gradient in shared.items()}
    if part.whole:
        # The gate's gradient is made of sums that may cancel, wholly so for a normalized top-1.
        result["d_router"] = (d_logits.T @ x, float(np.linalg.norm(terms.T @ x)))
        if case.latent:
            result["d_latent_in"] = (d_z.T @ x, None)
            result["d_latent_out"] = (dy.T @ found.served(tokens), None)
    result["d_x"] = (d_x, None)
    return result
