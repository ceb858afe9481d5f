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
from bench.kernels.terms import Terms

# What messages call one of the terms of an output, and all of them.
ROUTED = ("the share of expert", "the share of the routed experts")
SHARED = ("the share of the shared experts, number", "the share of the shared experts")


@dataclass(frozen=True)
class Part:
    """The part of a layer that is compared: tokens, and neurons (columns of `down`) of every expert."""

    tokens: NDArray[Any]
    neurons: NDArray[Any]
    shared_neurons: NDArray[Any]
    whole: bool
    described: str

    @staticmethod
    def everything(case: LayerShape) -> Part:
        """Return the whole of a case's outputs and gradients."""
        described = "every token" + (" and every gradient" if case.backward else "")
        neurons, shared_neurons = np.arange(case.intermediate), np.arange(case.shared_width)
        return Part(np.arange(case.tokens), neurons, shared_neurons, True, described)


@dataclass(frozen=True)
class Expected:
    """An output or gradient: its value, and the terms that its rows are sums of, where known.

    Errors are relative to `scale`, or to the norm of the value.
    """

    value: FloatArray
    terms: tuple[Terms, ...] = ()
    scale: float | None = None


@dataclass(frozen=True)
class ReferenceMlp:
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


class Served:
    """Weighted sums of the outputs of routed experts, [tokens, width], and what they are sums of."""

    def __init__(self, tokens: int, width: int) -> None:
        self.total: FloatArray = np.zeros((tokens, width))
        self._rows: list[NDArray[Any]] = []
        self._owners: list[NDArray[Any]] = []
        self._vectors: list[FloatArray] = []

    def add(self, expert: int, rows: NDArray[Any], outputs: FloatArray) -> None:
        """Add an expert's weighted outputs to the rows of their tokens."""
        np.add.at(self.total, rows, outputs)
        self._rows.append(rows)
        self._owners.append(np.full(len(rows), expert))
        # Only their direction and length count: float32 will do.
        self._vectors.append(outputs.astype(np.float32))

    def add_unchanged(self, expert: int, weight: FloatArray, tokens: FloatArray) -> None:
        """Add the tokens that experts return unchanged, weight [tokens, top_k], as one expert's share."""
        total = weight.sum(axis=1)
        rows = np.flatnonzero(total)
        self.add(expert, rows, total[rows, None] * tokens[rows])

    def terms(self, mixing: FloatArray | None) -> Terms:
        """Return the terms, which `mixing` projects before they are added."""
        if not self._rows:
            none = np.zeros(0, np.int64)
            return Terms(np.zeros((0, self.total.shape[1])), none, none, ROUTED, mixing)
        rows, owners = np.concatenate(self._rows), np.concatenate(self._owners)
        return Terms(np.concatenate(self._vectors), rows, owners, ROUTED, mixing)


class ReferenceLayer:
    """The operands of a case in float64, and the experts of its tokens.

    `token` and `expert` [assignments] are those of the assignments that are not dropped.
    """

    def __init__(self, case: LayerShape, inputs: Mapping[str, Operand], seed: int) -> None:
        self.case = case
        self._inputs = inputs
        self.chosen = case.chosen(seed)
        assigned, kept = case.assignments(seed), case.kept(seed)
        self.token, self._slot, self.expert = (
            each[kept] for each in (assigned.token, assigned.slot, assigned.expert)
        )

    def operand(self, name: str, part: Any = ..., within: Any = ...) -> FloatArray:
        """Return an input times its scales; `part` selects along the first axis, `within` inside of that."""
        array = np.asarray(self._inputs[name].array[part][within], np.float64)
        scale = self._inputs.get(f"{name}_scale")
        return array if scale is None else array * np.asarray(scale.array[part][within], np.float64)

    def mlp(self, prefix: str, part: Any = ..., neurons: Any = slice(None)) -> ReferenceMlp:
        """Return the routed expert number `part`, or with `shared_` the shared experts as one.

        With `neurons`, only these rows of its up and gate matrices and columns of its down matrix.
        """
        gate = self.operand(f"{prefix}gate", part, neurons) if self.case.gated else None
        up = self.operand(f"{prefix}up", part, neurons)
        down = self.operand(f"{prefix}down", part, (slice(None), neurons))
        return ReferenceMlp(self.case.activation, up, gate, down)

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
        computed = np.flatnonzero(self.expert == expert)
        computed = computed[np.isin(self.token[computed], tokens)]
        return np.searchsorted(tokens, self.token[computed]), self._slot[computed]

    def unchanged(self, tokens: NDArray[Any]) -> FloatArray:
        """Return where a chosen expert returns its token unchanged, 1 or 0 [len(tokens), top_k]."""
        return np.asarray(self.chosen[tokens] >= self.case.experts, np.float64)

    def served(self, tokens: NDArray[Any]) -> Served:
        """Return the weighted sums of the routed experts, [len(tokens), width]."""
        z, weight = self.dispatched(tokens), self.weight(tokens)
        served = Served(len(tokens), self.case.width)
        if self.case.zero_experts:
            served.add_unchanged(self.case.experts, weight * self.unchanged(tokens), z)
        for expert in range(self.case.local_experts):
            rows, slots = self.assignments(tokens, expert)
            if len(rows):
                out = self.mlp("", expert).forward(z[rows])
                served.add(expert, rows, out * weight[rows, slots][:, None])
        return served

    def d_served(self, tokens: NDArray[Any]) -> FloatArray:
        """Return the gradient of `served`."""
        dy = self.operand("dy", tokens)
        return np.asarray(dy @ self.operand("latent_out")) if self.case.latent else dy


def forward(
    case: LayerShape, inputs: Mapping[str, Operand], tokens: NDArray[Any], seed: int
) -> Expected:
    """Return the outputs y [len(tokens), hidden] of the given tokens."""
    layer = ReferenceLayer(case, inputs, seed)
    served = layer.served(tokens)
    mixing = layer.operand("latent_out") if case.latent else None
    y = served.total if mixing is None else served.total @ mixing.T
    terms = [served.terms(mixing)]
    if case.shared_width:
        shared = layer.mlp("shared_").forward(layer.operand("x", tokens))
        y = y + shared
        terms.append(_shared_terms(shared))
    return Expected(y, tuple(terms))


def _shared_terms(shared: FloatArray) -> Terms:
    every = np.arange(len(shared))
    return Terms(shared, every, np.zeros_like(every), SHARED)


def gradients(
    case: LayerShape, inputs: Mapping[str, Operand], part: Part, seed: int
) -> dict[str, Expected]:
    """Return the gradients in `part` by name, d_NAME.

    d_x of its tokens, and those of the matrices of experts, routed and shared, in its neurons. Gradients
    of the router and the latent projections need every token in full, so they are returned only for the
    whole layer.
    """
    layer = ReferenceLayer(case, inputs, seed)
    result = {
        f"d_{name}": Expected(stack) for name, stack in _expert_gradients(layer, part).items()
    }
    if case.shared_width:
        mlp = layer.mlp("shared_", neurons=part.shared_neurons)
        shared = mlp.backward(layer.operand("x"), layer.operand("dy"))
        result |= {f"d_shared_{name}": Expected(d) for name, d in shared.items() if name != "x"}
    return result | _token_gradients(layer, part)


def _expert_gradients(layer: ReferenceLayer, part: Part) -> dict[str, FloatArray]:
    every = np.arange(layer.case.tokens)
    z, weight, d_served = layer.dispatched(every), layer.weight(every), layer.d_served(every)
    stacks: dict[str, list[FloatArray]] = {}
    for expert in range(layer.case.local_experts):
        mlp = layer.mlp("", expert, part.neurons)
        rows, slots = layer.assignments(every, expert)
        d_out = d_served[rows] * weight[rows, slots][:, None]
        for name, gradient in mlp.backward(z[rows], d_out).items():
            if name != "x":
                stacks.setdefault(name, []).append(gradient)
    return {name: np.stack(stack) for name, stack in stacks.items()}


def _token_gradients(layer: ReferenceLayer, part: Part) -> dict[str, Expected]:
    case, tokens, tokens_in = layer.case, part.tokens, layer.case.token_dtype
    x, dy = layer.operand("x", tokens), layer.operand("dy", tokens)
    z, weight, d_served = layer.dispatched(tokens), layer.weight(tokens), layer.d_served(tokens)
    d_z = Served(*z.shape)
    unchanged = layer.unchanged(tokens)
    if case.zero_experts:
        d_z.add_unchanged(case.experts, weight * unchanged, d_served)
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
            d_z.add(expert, rows, mlp.backward(z[rows], d_out)["x"])
    d_logits, canceling = gate_backward(
        layer.logits(tokens),
        layer.chosen[tokens],
        d_weight,
        products,
        gate=case.gate,
        normalize=case.normalize,
        scaling=case.scaling,
        rounding=accumulate_roundoff(tokens_in) / DTYPES[tokens_in].output_roundoff,
    )
    mixing = layer.operand("latent_in").T if case.latent else None
    d_x = d_logits @ layer.operand("router")
    d_x = d_x + (d_z.total if mixing is None else d_z.total @ mixing.T)
    terms = [d_z.terms(mixing)]
    if case.shared_width:
        shared = layer.mlp("shared_").backward(x, dy)["x"]
        d_x = d_x + shared
        terms.append(_shared_terms(shared))
    result = {"d_x": Expected(d_x, tuple(terms))}
    if part.whole:
        # The gradient of the gate is a sum whose terms may cancel, completely for a normalized top-1.
        scale = float(np.linalg.norm(canceling.T @ x))
        result["d_router"] = Expected(d_logits.T @ x, scale=scale)
        if case.latent:
            result["d_latent_in"] = Expected(d_z.total.T @ x)
            result["d_latent_out"] = Expected(dy.T @ layer.served(tokens).total)
    return result
