"""Is the guided search of `bench ceiling` as good as trying every shape, and how much sooner?

    python benchmarks/ceiling.py [--dtype bfloat16] [--largest 4096] [--rounds 15]

Both search with the same short trials, in one process: guided by bench.measure.search, whose three
fastest are measured again; and exhaustively, over m, n and k in steps of √2 from 512 and both layouts.
Then both winners are measured in turn, round after round, because the highest of many short trials is
high by luck. Targets: 0.98 of the exhaustive winner's rate, in a tenth of its time.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable

import torch

from bench.measure.search import FIRST_SQUARE, MULTIPLE, Shape, ShapeSearch

TRIAL_S, FINAL_S = 0.1, 0.5
FINALISTS = 6
TARGET_RATE, TARGET_TIME = 0.98, 0.1


def product(shape: Shape, dtype: torch.dtype) -> Callable[[], object]:
    """Return a product of this shape, as the implementation `torch` computes it."""
    a = torch.randn(shape.m, shape.k).to(dtype)
    b = torch.randn(*((shape.n, shape.k) if shape.layout == "nt" else (shape.k, shape.n))).to(dtype)
    b = b.T if shape.layout == "nt" else b
    c = torch.empty(shape.m, shape.n, dtype=dtype)
    return lambda: torch.mm(a, b, out=c)


def seconds(step: Callable[[], object]) -> float:
    """Return the time of one execution."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def trial(shape: Shape, dtype: torch.dtype, least_s: float = TRIAL_S) -> float:
    """Return a rate from a warm-up and `least_s` of executions, three at least."""
    step = product(shape, dtype)
    step()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < least_s:
        taken.append(seconds(step))
    return shape.flops / statistics.median(taken) / 1e12


def guided(dtype: torch.dtype, largest: int) -> tuple[Shape, int]:
    """Return what `bench ceiling` would: the best of the finalists; and the number of trials."""
    search = ShapeSearch(lambda shape: max(shape.m, shape.n, shape.k) <= largest)
    for shape in search:
        search.record(shape, trial(shape, dtype))
    finals = {shape: trial(shape, dtype, FINAL_S) for shape in search.finalists(FINALISTS)}
    return max(finals, key=finals.__getitem__), len(search.rates)


def exhaustive(dtype: torch.dtype, largest: int) -> tuple[Shape, int]:
    """Return the best of all shapes, and how many they are."""
    octaves = math.log2(largest / FIRST_SQUARE)
    steps = (FIRST_SQUARE * 2 ** (half / 2) for half in range(int(2 * octaves) + 1))
    sizes = [round(size / MULTIPLE) * MULTIPLE for size in steps]
    shapes = [
        Shape(*dimensions, layout)
        for dimensions in itertools.product(sizes, repeat=3)
        for layout in ("nt", "nn")
    ]
    return max(shapes, key=lambda shape: trial(shape, dtype)), len(shapes)


def main() -> None:
    """Search twice, measure both winners in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32", "float64"])
    parser.add_argument("--largest", type=int, default=4096, help="of a dimension (default: 4096)")
    parser.add_argument("--rounds", type=int, default=15, help="of the two winners (default: 15)")
    options = parser.parse_args()
    if options.largest < FIRST_SQUARE or options.rounds < 1:
        parser.error(f"--largest takes {FIRST_SQUARE} and more, --rounds 1 and more")
    dtype = getattr(torch, options.dtype)
    found: dict[str, tuple[Shape, int, float]] = {}
    for search in (guided, exhaustive):
        start = time.perf_counter()
        shape, trials = search(dtype, options.largest)
        found[search.__name__] = (shape, trials, time.perf_counter() - start)
    turns = [
        {name: trial(shape, dtype) for name, (shape, _, _) in found.items()}
        for _ in range(options.rounds)
    ]
    rates = {name: statistics.median(turn[name] for turn in turns) for name in found}
    for name, (shape, trials, taken) in found.items():
        print(
            f"{name:10} {shape.m}×{shape.n}×{shape.k} {shape.layout}: {rates[name]:.4f} TFLOP/s, "
            f"{trials} trials in {taken:.1f} s"
        )
    rate = rates["guided"] / rates["exhaustive"]
    share = found["guided"][2] / found["exhaustive"][2]
    print(f"{options.dtype}: {rate:.3f} of the rate, in {share:.3f} of the time")
    if rate < TARGET_RATE or share > TARGET_TIME:
        raise SystemExit(
            f"expected at least {TARGET_RATE} of the rate in {TARGET_TIME} of the time"
        )


if __name__ == "__main__":
    main()
