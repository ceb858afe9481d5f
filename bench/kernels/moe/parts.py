"""Kernels `moe_gate`, `moe_dispatch` and `moe_combine`: a layer without its experts.

They have hardly any FLOPs, but a device that is slow here loses the time that its matrix units save.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from bench.kernels.base import Kernel, Operand, Size, Work
from bench.kernels.dtypes import DTYPES
from bench.kernels.inputs import generator, tensor
from bench.kernels.moe.base import RoutedKernel
from bench.kernels.moe.gated import PLANTED, GatedKernel
from bench.kernels.terms import TermBound, Terms, missing_term
from bench.kernels.verification import (
    RANDOM_WALK,
    SAFETY,
    ErrorBound,
    Verification,
    compare,
    failed,
)

INDEX_BYTES = 4
WEIGHT_BYTES = 4


def _floating(case: Kernel) -> None:
    if case.dtype in ("int8", "float8_e4m3", "float4_e2m1", "tf32", "hf32"):
        raise ValueError(
            f"dtype: {case.name} has no {case.dtype} form; tokens are not stored in it"
        )


class MoeGate(GatedKernel):
    """The gate alone: logits, scores, the choice of `top_k` experts, and their weights.

    Reads the tokens and the router once; writes one weight and one index per assignment.
    """

    name: ClassVar[str] = "moe_gate"
    error_bound = ErrorBound(
        f"2·max(u_out, 2⁻²³)·(1 + {PLANTED:g})",
        f"logits, at most about {1 + PLANTED:g} in magnitude, stored in the dtype",
        "softmax, sigmoid and √softplus have a relative slope of at most 1",
    )

    @model_validator(mode="after")
    def _plausible(self) -> MoeGate:
        _floating(self)
        if self.capacity_factor is not None:
            raise ValueError("capacity_factor: tokens are dropped at dispatch, not by the gate")
        if self.expert_parallel > 1:
            raise ValueError(
                "expert_parallel: a gate scores its device's tokens for all experts, however many "
                "devices share them; leave it out"
            )
        return self

    def shape(self, model: str | None = None) -> str:
        """Describe experts, width, tokens and routing."""
        width = "" if model else f" {self.hidden}"
        return f"{self.experts_text(model)}{width} {self.load_text()}"

    def work(self, seed: int) -> Work:
        """Count 2 · tokens · hidden · experts FLOPs, and the bytes of x, router, weights and indices."""
        size = DTYPES[self.dtype].bytes
        weight_bytes = self.scored_experts * self.hidden * size
        results = self.tokens * self.top_k * (WEIGHT_BYTES + INDEX_BYTES)
        return Work(
            flops=2 * self.tokens * self.hidden * self.scored_experts,
            bytes=weight_bytes + self.tokens * self.hidden * size + results,
            weight_bytes=weight_bytes,
            tokens=self.tokens,
            load=self.load(seed)[1],
        )

    def memory_bytes(self) -> int:
        """Add up the bytes of tokens, router and logits."""
        size, experts = DTYPES[self.dtype].bytes, self.scored_experts
        return (self.tokens + experts) * self.hidden * size + 8 * self.tokens * experts

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Make `x` [tokens, hidden], `router` [experts, hidden] and the inputs of the gate."""
        operands = {
            name: Operand(
                tensor(
                    shape,
                    self.dtype,
                    seed=seed,
                    name=f"moe_gate/{name}",
                    scale=scale,
                    distribution="normal" if name == "router" else self.inputs,
                ),
                self.dtype,
            )
            for name, (shape, scale) in self.gate_shapes.items()
        }
        return {**operands, **self.gate_inputs(seed)}

    def tolerance(self) -> float:
        """Bound the relative error: twice the change of a weight when its logit is rounded."""
        return float(SAFETY * max(DTYPES[self.dtype].output_roundoff, 2.0**-23) * (1 + PLANTED))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `weight` [tokens, top_k] of the experts `chosen` [tokens, top_k], in any order."""
        x, router = (inputs[name].array.astype(np.float64) for name in ("x", "router"))
        chosen = self.chosen(seed)
        ref = np.zeros((self.tokens, self.scored_experts))
        weight = self.weights(x @ router.T + inputs["planted"].array, chosen)
        np.put_along_axis(ref, chosen.astype(np.int64), weight, axis=1)
        weights, picked = outputs["weight"], outputs["chosen"].astype(np.int64)
        out = np.zeros_like(ref)
        if weights.shape != chosen.shape:
            fault = f"shape {weights.shape} instead of {chosen.shape}"
            return failed(self.tolerance(), "every weight", fault)
        if not np.array_equal(np.sort(picked, axis=-1), chosen):
            return failed(self.tolerance(), "every weight", "a token's experts are others")
        np.put_along_axis(out, picked, weights.astype(np.float64), axis=1)
        return compare(out, ref, self.tolerance(), "every weight")


class MovingKernel(RoutedKernel):
    """What dispatch and combine share: rows of one width in another order."""

    expert_hidden: Size | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, given: Any) -> Any:
        """Leave out the experts' width where it is the model's, so that equal work has one case_id."""
        if isinstance(given, dict) and given.get("expert_hidden") == given.get("hidden"):
            return {**given, "expert_hidden": None}
        return given

    @model_validator(mode="after")
    def _plausible(self) -> MovingKernel:
        _floating(self)
        return self

    @property
    def width(self) -> int:
        """The width of the rows: that of the experts if it differs from the model's."""
        return self.expert_hidden or self.hidden

    def shape(self, model: str | None = None) -> str:
        """Describe experts, width, tokens and routing."""
        width = "" if model else f" {self.width}"
        return f"{self.experts_text(model)}{width} {self.load_text()}"

    def work(self, seed: int) -> Work:
        """Count the bytes of tokens and rows, and of indices and weights per assignment; no FLOPs."""
        counts, load = self.load(seed)
        rows = int(counts.sum())
        size = DTYPES[self.dtype].bytes
        return Work(
            flops=0,
            bytes=(self.tokens + rows) * self.width * size
            + self.received(seed) * self.assignment_bytes,
            tokens=self.tokens,
            load=load,
        )

    # Bytes of indices and weights per assignment.
    assignment_bytes: ClassVar[int]

    def memory_bytes(self) -> int:
        """Add up the bytes of tokens and rows, those of the mean device."""
        received = self.tokens * self.top_k
        rows = (self.tokens + received) * self.width * DTYPES[self.dtype].bytes
        return rows + received * self.assignment_bytes

    def order(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sort the assignments into rows; also count the rows per expert.

        Rows are sorted by local expert, then by token; dropped assignments have no row.
        """
        expert = self.assignments(seed).expert
        ordered = np.argsort(expert, kind="stable")
        ordered = ordered[self.kept(seed)[ordered]]
        return ordered, np.bincount(expert[ordered], minlength=self.local_experts)

    def table(self, assigned: NDArray[Any]) -> NDArray[Any]:
        """Shape one value per assignment: [tokens, top_k], or [A, 1] where `ragged`."""
        return assigned.reshape(-1, 1 if self.ragged else self.top_k)


class MoeDispatch(MovingKernel):
    """Tokens sorted by expert: `rows` [assignments, width], `counts` [experts], `places`.

    The experts of each token are given, as the gate returns them; sorting them is part of the kernel.
    `places` [tokens, top_k] is the row of each assignment, which combine needs. Where tokens have
    unequal numbers of rows (`ragged`), A assignments are given as [A, 1], with the token of each.
    """

    name: ClassVar[str] = "moe_dispatch"
    error_bound = ErrorBound("0", "nothing: rows are copied", "copies are exact")
    assignment_bytes: ClassVar[int] = 2 * INDEX_BYTES

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Make `x` [tokens, width], the local experts `chosen` [tokens, top_k] int32, and arrivals."""
        local = self.table(self.assignments(seed).expert).astype(np.int32)
        shape = (self.tokens, self.width)
        x = tensor(shape, self.dtype, seed=seed, name="moe_dispatch/x", distribution=self.inputs)
        return {
            "x": Operand(x, self.dtype),
            "chosen": Operand(local, "int32"),
            **self.arrival_inputs(seed),
        }

    def tolerance(self) -> float:
        """Allow no error: rows are copied."""
        return 0.0

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare rows, counts and the places of kept assignments, all of which must be exact."""
        order, counts = self.order(seed)
        ref = inputs["x"].array[self.assignments(seed).token[order]].astype(np.float64)
        check = compare(outputs["rows"], ref, self.tolerance(), "every row")
        places = outputs["places"].reshape(-1)
        right = (
            np.array_equal(outputs["counts"], counts)
            and places.size == self.received(seed)
            and np.array_equal(places[order], np.arange(len(order)))
        )
        if right:
            return check
        return failed(self.tolerance(), "every row", "counts or places are wrong")


class MoeCombine(MovingKernel):
    """The weighted sum of each token's rows, back in the order of tokens.

    `rows` [assignments, width], `weight` [tokens, top_k] and `places` [tokens, top_k] are given; a
    dropped assignment has weight zero. Where tokens have unequal numbers of rows (`ragged`), weights
    and places are [A, 1].
    """

    name: ClassVar[str] = "moe_combine"
    error_bound = ErrorBound(
        "2·√(2 + top_k)·max(u_out, 2⁻²⁴)",
        "weights and result and, in the worst implementation, each of top_k sums",
        RANDOM_WALK,
    )

    assignment_bytes: ClassVar[int] = INDEX_BYTES + WEIGHT_BYTES

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Make `rows`, `weight` float32 (of sum one per token), `places` int32, and arrivals."""
        order, _ = self.order(seed)
        assigned, kept = self.assignments(seed), self.kept(seed)
        places = np.zeros(len(assigned), np.int32)
        places[order] = np.arange(len(order))
        weight = generator(seed, "moe_combine/weight").uniform(0.5, 1.5, len(assigned))
        total = np.bincount(assigned.token, weight, minlength=self.tokens)
        weight = np.where(kept, weight / total[assigned.token], 0.0)
        rows = tensor(
            (len(order), self.width),
            self.dtype,
            seed=seed,
            name="moe_combine/rows",
            distribution=self.inputs,
        )
        return {
            "rows": Operand(rows, self.dtype),
            "weight": Operand(self.table(weight.astype(np.float32)), "float32"),
            "places": Operand(self.table(places), "int32"),
            **self.arrival_inputs(seed),
        }

    def tolerance(self) -> float:
        """Bound the relative error: twice the rounding of weights and sums."""
        rounding = np.sqrt(2 + self.top_k) * max(DTYPES[self.dtype].output_roundoff, 2.0**-24)
        return float(SAFETY * rounding)

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `y` [tokens, width] with float64 sums, and look for each row in the sum of its token."""
        rows, weight, places = (inputs[name].array for name in ("rows", "weight", "places"))
        token = self.table(self.assignments(seed).token)
        ref = np.zeros((self.tokens, self.width))
        for slot in range(token.shape[1]):
            shares = rows[places[:, slot]].astype(np.float64) * weight[:, slot, None]
            np.add.at(ref, token[:, slot], shares)
        check = compare(outputs["y"], ref, self.tolerance(), "every token")
        if not check.passed:
            return check
        difference = outputs["y"].astype(np.float64) - ref
        bound = TermBound(
            rounding=self.tolerance() / SAFETY,
            coherent=SAFETY * max(DTYPES[self.dtype].output_roundoff, 2.0**-24),
            inner=self.width,
            spread=self.inputs == "normal",
        )
        for slot in range(token.shape[1]):
            terms = Terms(
                rows[places[:, slot]] * weight[:, slot, None],
                token[:, slot],
                np.arange(len(token)),
                (f"row {slot} of token", f"rows {slot} of all tokens"),
            )
            if fault := missing_term(difference, ref, terms, bound):
                return replace(check, passed=False, fault=fault)
        return check
