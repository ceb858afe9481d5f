"""Prints the tables of the verifier's power in docs/methods.md: which faults it sees, in each format.

Every trial takes correct outputs, off by as much as rounding explains on average (half of the tolerance, in
a random direction), and the same with a fault. The first must pass and the second must not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.catalog.models import get_model
from bench.kernels.base import Kernel, Operand
from bench.kernels.dtypes import DTYPES
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.memory import PARTS, Memory
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.reference import ReferenceLayer, forward
from bench.kernels.verification import SAFETY

Array = NDArray[Any]
Inputs = dict[str, Operand]
# From a case, its inputs, correct outputs and random numbers to wrong outputs.
Fault = Callable[[Any, Inputs, Array, np.random.Generator], Array]

# Models with many experts per token, shared experts that outweigh a routed one, latent experts, or neither.
MODELS = (
    *("qwen3-next-80b-a3b", "qwen3.5-397b-a17b", "kimi-k3", "glm-4.5-air", "pangu-pro-moe"),
    *("deepseek-v3", "nemotron-3-super-120b-a12b", "llama-4-maverick-17b-128e", "gpt-oss-120b"),
)
HIDDEN, INTERMEDIATE, TOKENS, EXPERTS = 1024, 32, 24, 24

# Products that are compared element by element, and by sums of them.
PRODUCTS = ({"m": 96, "n": 128, "k": 512}, {"m": 512, "n": 2048, "k": 1056})


def small(model: str, dtype: str) -> MoeLayer:
    """Return a layer of a model's structure with fewer and smaller experts."""
    shape = get_model(model).moe_layer()
    hidden, intermediate = shape["hidden"], shape["intermediate"]
    for name in ("shared_intermediate", "expert_hidden"):
        if shape.get(name):
            base, whole = (
                (INTERMEDIATE, intermediate) if name.startswith("shared") else (HIDDEN, hidden)
            )
            shape[name] = max(32, round(shape[name] * base / whole / 16) * 16)
    experts = max(EXPERTS, shape["top_k"] + 8)
    groups = min(shape.get("groups", 1), EXPERTS // 4)
    return MoeLayer(
        **{
            **shape,
            "hidden": HIDDEN,
            "intermediate": INTERMEDIATE,
            "experts": -(-experts // groups) * groups,
            "groups": groups,
        },
        dtype=dtype,
        tokens=TOKENS,
        routing="uniform",
    )


def outputs(case: MoeLayer, inputs: Inputs) -> Array:
    """Return the outputs y [tokens, hidden]."""
    return forward(case, inputs, np.arange(case.tokens), 0).value


def with_experts(inputs: Inputs, change: Callable[[Array, str], None]) -> Inputs:
    """Return inputs in which the matrices of routed experts, and their scales, are changed in place."""
    changed = dict(inputs)
    for name, operand in inputs.items():
        if name.removesuffix("_scale") in ("up", "gate", "down"):
            array = operand.array.copy()
            change(array, name)
            changed[name] = Operand(array, operand.dtype)
    return changed


def busiest(case: MoeLayer) -> tuple[int, int]:
    """Return the two experts with the most tokens."""
    counts, _ = case.load(0)
    first, second = np.argsort(counts)[-2:]
    return int(first), int(second)


def missing(case: MoeLayer, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
    """Leave out the busiest expert."""
    first, _ = busiest(case)

    def change(array: Array, name: str) -> None:
        array[first] = 0

    return outputs(case, with_experts(inputs, change))


def swapped(case: MoeLayer, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
    """Exchange the weights of the two busiest experts."""
    first, second = busiest(case)

    def change(array: Array, name: str) -> None:
        array[[first, second]] = array[[second, first]]

    return outputs(case, with_experts(inputs, change))


def stale(case: MoeLayer, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
    """Give the busiest expert the weights of another one: its own in another order, so unrelated."""
    first, _ = busiest(case)

    def change(array: Array, name: str) -> None:
        if not name.endswith("_scale"):
            array[first] = random.permutation(array[first].ravel()).reshape(array[first].shape)

    return outputs(case, with_experts(inputs, change))


def misrouted(case: MoeLayer, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
    """Send one token to a wrong expert in place of one of its own."""
    layer, token = ReferenceLayer(case, inputs, 0), np.array([5])
    right = int(layer.chosen[5, 0])
    wrong = next(e for e in range(case.local_experts) if e not in layer.chosen[5])
    z = layer.dispatched(token)
    change = layer.mlp("", wrong).forward(z) - layer.mlp("", right).forward(z)
    change = change * layer.weight(token)[0, 0]
    y = y.copy()
    y[5] += (change @ layer.operand("latent_out").T if case.latent else change)[0]
    return y


def scaled(factor: float, *, all_experts: bool) -> Fault:
    """Multiply the outputs of the busiest expert, or of all routed ones, by a factor."""

    def fault(case: MoeLayer, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
        last = "down_scale" if "down_scale" in inputs else "down"
        experts = slice(None) if all_experts else busiest(case)[0]

        def change(array: Array, name: str) -> None:
            if name == last:
                array[experts] *= factor

        return outputs(case, with_experts(inputs, change))

    return fault


LAYER_FAULTS: dict[str, Fault] = {
    "an expert is missing": missing,
    "two experts are swapped": swapped,
    "an expert's weights are stale": stale,
    "one token has a wrong expert": misrouted,
    "one expert's scale is off by half": scaled(1.5, all_experts=False),
    "all routed experts' scales are off by 10 %": scaled(1.1, all_experts=True),
}


def element(case: Kernel, inputs: Inputs, c: Array, random: np.random.Generator) -> Array:
    """Change one element by what is typical of all; an integer by one."""
    c = c.copy()
    place = tuple(int(random.integers(size)) for size in c.shape)
    c[place] += np.sqrt(np.square(c).mean()) if case.tolerance() else 1
    return c


def row(case: Kernel, inputs: Inputs, c: Array, random: np.random.Generator) -> Array:
    """Scale one row by 2 %."""
    c = c.copy()
    c[..., int(random.integers(c.shape[-2])), :] *= 1.02
    return c


def tile(case: Kernel, inputs: Inputs, c: Array, random: np.random.Generator) -> Array:
    """Transpose a tile of 16 × 16."""
    c = c.copy()
    c[..., 16:32, 32:48] = c[..., 16:32, 32:48].swapaxes(-1, -2).copy()
    return c


def tail(case: Kernel, inputs: Inputs, c: Array, random: np.random.Generator) -> Array:
    """Leave the last 16 of k out."""
    short = dict(inputs)
    array = inputs["a"].array.copy()
    array[..., -16:] = 0
    short["a"] = Operand(array, case.dtype)
    return right(case, short)


PRODUCT_FAULTS: dict[str, Fault] = {
    "one element is wrong": element,
    "one row is scaled by 2 %": row,
    "a tile is transposed": tile,
    "the last 16 of k are left out": tail,
}


def skipped(case: Memory, inputs: Inputs, y: Array, random: np.random.Generator) -> Array:
    """Read all but a thousandth of the array."""
    array = inputs["a"].array.copy()
    few = array.size // 1000
    start = int(random.integers(array.size - few))
    array[start : start + few] = 0
    return right(case, {"a": Operand(array, case.dtype)})


MEMORY_FAULTS: dict[str, Fault] = {"0.1 % of the array is not read": skipped}


def right(case: Kernel, inputs: Inputs) -> Array:
    """Return the exact outputs of a case."""
    a = inputs["a"].array.astype(np.float64)
    if isinstance(case, Memory):
        return np.asarray(a.reshape(PARTS, -1).sum(axis=1))
    b = inputs["b"].array.astype(np.float64)
    if isinstance(case, GroupedMatmul):
        owners = case.owners(0)
        groups = [a[owners == expert] @ b[expert].T for expert in range(case.experts)]
        return np.concatenate(groups)
    return np.asarray(a @ b)


def rounded(case: Kernel, exact: Array, random: np.random.Generator) -> Array:
    """Return outputs that are off by half of the tolerance, each row in a random direction."""
    noise = random.standard_normal(exact.shape)
    size = np.sqrt(np.square(exact).mean(axis=-1, keepdims=True) if exact.ndim > 1 else 1.0)
    size = size if exact.ndim > 1 else np.abs(exact)
    return np.asarray(exact + case.tolerance() / SAFETY * size * noise)


def trials(kernel: str, dtype: str) -> list[tuple[Kernel, str]]:
    """Return the cases of a format, and the name of the output that has faults."""
    if kernel == "moe_layer":
        return [(small(model, dtype), "y") for model in MODELS]
    if kernel == "memory":
        return [(Memory(operation="read", dtype=dtype, size_mib=4), "y")]
    if kernel == "matmul":
        return [(Matmul(dtype=dtype, **sizes), "c") for sizes in PRODUCTS]
    return [(GroupedMatmul(dtype=dtype, **sizes, experts=4), "c") for sizes in PRODUCTS]


def seen(case: Kernel, name: str, faults: dict[str, Fault]) -> dict[str, bool]:
    """Return whether each fault is seen, and whether none is where there is none."""
    random = np.random.default_rng(0)
    inputs = case.make_inputs(0)
    exact = outputs(case, inputs) if isinstance(case, MoeLayer) else right(case, inputs)

    def passes(wrong: Array) -> bool:
        return case.verify(inputs, {name: rounded(case, wrong, random)}, 0).passed

    verdicts = {"none": passes(exact)}
    for label, fault in faults.items():
        verdicts[label] = not passes(fault(case, inputs, exact, random))
    return verdicts


FAULTS: dict[str, dict[str, Fault]] = {
    "moe_layer": LAYER_FAULTS,
    "matmul": PRODUCT_FAULTS,
    "grouped_matmul": PRODUCT_FAULTS,
    "memory": MEMORY_FAULTS,
}


def measured(kernel: str, dtype: str) -> dict[str, list[bool]] | None:
    """Return for each fault whether it is seen, case by case; None where the kernel lacks the format."""
    try:
        cases = trials(kernel, dtype)
    except ValidationError:
        return None
    if kernel == "memory" and dtype in ("int8", "float8_e4m3"):
        return None  # nothing adds in these formats
    verdicts: dict[str, list[bool]] = {}
    for case, name in cases:
        for label, verdict in seen(case, name, FAULTS[kernel]).items():
            verdicts.setdefault(label, []).append(verdict)
    return verdicts


def lines() -> Iterator[str]:
    """Yield one table in Markdown: a row for each kernel and fault, a column for each format."""
    yield "| kernel | seen | " + " | ".join(f"`{name}`" for name in DTYPES) + " |"
    yield "|" + " --- |" * (2 + len(DTYPES))
    for kernel, faults in FAULTS.items():
        by_dtype = [measured(kernel, dtype) for dtype in DTYPES]
        for label in ("none", *faults):
            cells = [
                "–" if verdicts is None else f"{sum(verdicts[label])} of {len(verdicts[label])}"
                for verdicts in by_dtype
            ]
            text = "correct: it passes" if label == "none" else label
            yield f"| `{kernel}` | {text} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print("\n".join(lines()))
