"""Prints the tables of tolerances in docs/methods.md: what each kernel allows, and each format's roundoff."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from bench.catalog.models import get_model
from bench.kernels.base import Kernel
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.matmul import Matmul
from bench.kernels.moe.layer import MoeLayer
from bench.plugins import kernels

# The cases of the examples: a product with a long inner dimension, and a large layer.
K = 4096
MODEL = "deepseek-v3"

FORMATS = ("dtype", "u_in", "u_acc", "u_out", "result", f"`matmul`, k = {K}", f"`{MODEL}`")


def lines() -> Iterator[str]:
    """Yield both tables in Markdown."""
    yield row(("kernel", "tolerance", "what is rounded", "source"))
    yield row(["---"] * 4)
    for name, kernel in kernels().items():
        bound = kernel.error_bound
        yield row((f"`{name}`", bound.formula, bound.rounded, bound.source))
    yield ""
    yield row(FORMATS)
    yield row(["---"] * len(FORMATS))
    for name, dtype in DTYPES.items():
        roundoffs = (dtype.multiply_roundoff, accumulate_roundoff(name), dtype.output_roundoff)
        product = {"dtype": name, "m": 1, "n": 1, "k": K}
        layer = {**get_model(MODEL).moe_layer(), "dtype": name, "tokens": 1}
        yield row(
            (
                f"`{name}`",
                *map(power_of_two, roundoffs),
                dtype.output,
                tolerance(Matmul, product),
                tolerance(MoeLayer, layer),
            )
        )


def row(texts: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(texts)} |"


def power_of_two(roundoff: float) -> str:
    """Return a roundoff as an exponent: 2⁻²⁴."""
    if not roundoff:
        return "0"
    return "2" + str(round(math.log2(roundoff))).translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    )


def tolerance(kernel: type[Kernel], parameters: dict[str, object]) -> str:
    """Return the tolerance of a case, or a dash where the kernel has no such format."""
    try:
        return f"{kernel(**parameters).tolerance():.2g}"
    except ValidationError:
        return "–"


if __name__ == "__main__":
    print("\n".join(lines()))
