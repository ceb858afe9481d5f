"""How near a processor's MoE layer comes to what this machine can do: ratios inside one run.

    python benchmarks/moe.py [--layer NAME …] [--rounds N] [--json FILE]

Every implementation that takes a layer is verified, then all are timed in turn, with the bare
products of the same shapes and a read of a large array among them, round after round, so that a
busy machine slows all alike. Medians over the rounds count.

- rate: the layer's FLOPs over its time. Share of bare: that rate over the rate of the routed and
  shared experts' products alone at the same row counts, with plain weights (torch.mm into kept
  memory) or with weights packed by oneDNN, whichever is faster.
- × transformers: the time of transformers' fastest variant over this one's.
- share of reading: the layer's least bytes over its time, against the rate of a sum over 512 MiB in
  huge pages.

Targets, bfloat16, for the fastest of ours: of the bare products 0.85 at 4096 tokens and 0.75 at
1024; 1.4 × transformers at 4096; of reading 0.85 at 16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from backends.cpu.backend import CpuBackend
from backends.cpu.huge_pages import in_huge_pages
from backends.cpu.moe import PackedLinear
from backends.torch.operands import to_device
from bench.backend import Device
from bench.catalog.models import get_model
from bench.kernels.moe.layer import MoeLayer

PEER = "transformers-"
READ_BYTES = 512 << 20

LAYERS = {
    "32 experts of 2048×768, top-8": {
        "hidden": 2048,
        "intermediate": 768,
        "experts": 32,
        "top_k": 8,
    },
    "deepseek-v3/32": {**get_model("deepseek-v3").moe_layer(), "expert_parallel": 32},
    "qwen3-30b-a3b/4": {**get_model("qwen3-30b-a3b").moe_layer(), "expert_parallel": 4},
}
TOKENS = (16, 1024, 4096)
# One compiles for half a minute a layer, the other copies an expert's matrices for every token.
LEFT_OUT = ("compiled", "transformers-batched")
HEADER = (
    "| layer | tokens | implementation | ms | TFLOP/s | of bare | × transformers | of reading |\n"
    "|---|--:|---|--:|--:|--:|--:|--:|"
)

Subject = Callable[[], float]  # runs once and returns the seconds


@dataclass(frozen=True)
class Line:
    """One implementation on one layer."""

    layer: str
    tokens: int
    implementation: str
    time_s: float
    tflops: float
    share_of_bare: float
    times_transformers: float | None
    share_of_reading: float


def timed(step: Callable[[], object]) -> Subject:
    """Return a subject that times one step by the host's clock."""

    def run() -> float:
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    return run


def bare_products(case: MoeLayer, weights: dict[str, Tensor], seed: int) -> dict[str, Subject]:
    """Return the products of routed and shared experts alone, gate and up as one, in two ways."""
    counts = case.load(seed)[0].tolist()
    pairs = [
        (rows, torch.cat([weights["gate"][e], weights["up"][e]]), weights["down"][e])
        for e, rows in enumerate(counts)
        if rows
    ]
    if case.shared_width:
        first = torch.cat([weights["shared_gate"], weights["shared_up"]])
        pairs.append((case.tokens, first, weights["shared_down"]))
    plain: list[tuple[Tensor, Tensor, Tensor]] = []
    packed: list[tuple[Tensor, PackedLinear]] = []
    for rows, *matrices in pairs:
        for matrix in matrices:
            x = torch.randn(rows, matrix.shape[1]).to(matrix.dtype)
            plain.append((x, matrix.T, torch.empty(rows, len(matrix), dtype=matrix.dtype)))
            packed.append((x, PackedLinear(matrix, rows)))
    return {
        "bare, plain weights": timed(lambda: [torch.mm(x, w, out=y) for x, w, y in plain]),
        "bare, packed weights": timed(lambda: [product(x) for x, product in packed]),
    }


def rounds(subjects: dict[str, Subject], count: int) -> dict[str, float]:
    """Return each subject's median seconds; all run once a round, after one round of warming up."""
    with torch.inference_mode():
        turns = [{name: subject() for name, subject in subjects.items()} for _ in range(count + 1)]
    return {name: statistics.median(turn[name] for turn in turns[1:]) for name in subjects}


def measure(layer: str, tokens: int, count: int, seed: int = 0) -> list[Line]:
    """Return a line for each implementation that can compute the layer, and for the bare products."""
    backend = CpuBackend()
    device = Device(index=0, name="cpu", chip="cpu")
    case = MoeLayer(dtype="bfloat16", tokens=tokens, cache="hot", **LAYERS[layer])
    inputs = case.make_inputs(seed)
    subjects: dict[str, Subject] = {}
    for name in backend.implementations(case.name):
        if name not in LEFT_OUT and backend.unsupported(case, name, device) is None:
            prepared = backend.prepare(case, name, device, inputs)
            check = case.verify(inputs, prepared.outputs(), seed)
            if not check.passed:
                raise SystemExit(f"{layer}, {tokens} tokens: {name} is wrong: {check}")
            subjects[name] = lambda prepared=prepared: prepared.run(1)
    ours = list(subjects)
    with torch.inference_mode():
        weights = {
            name: to_device(operand, torch.device("cpu"))
            for name, operand in inputs.items()
            if name.removeprefix("shared_") in ("gate", "up", "down")
        }
        subjects |= bare_products(case, weights, seed)
    large = in_huge_pages(torch.ones(READ_BYTES // 4))
    seconds = rounds({**subjects, "read": timed(large.sum)}, count)

    work = case.work(seed)
    assignments = case.tokens * case.top_k * case.width * case.intermediate
    products = 2 * case.matrices * (assignments + case.tokens * case.hidden * case.shared_width)
    bare = max(products / seconds[name] for name in seconds if name.startswith("bare"))
    reading = READ_BYTES / seconds.pop("read")
    peers = [seconds[name] for name in seconds if name.startswith(PEER)]
    lines = []
    for name, taken in seconds.items():
        rate = (work.flops if name in ours else products) / taken
        lines.append(
            Line(
                layer=layer,
                tokens=tokens,
                implementation=name,
                time_s=taken,
                tflops=rate / 1e12,
                share_of_bare=rate / bare,
                times_transformers=min(peers) / taken if peers else None,
                share_of_reading=work.bytes / taken / reading,
            )
        )
    return lines


def markdown(line: Line) -> str:
    """Return a row of the table that HEADER heads."""
    times = "–" if line.times_transformers is None else f"{line.times_transformers:.2f}"
    return (
        f"| {line.layer} | {line.tokens} | {line.implementation} | {line.time_s * 1e3:.1f} "
        f"| {line.tflops:.3f} | {line.share_of_bare:.2f} | {times} | {line.share_of_reading:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", action="append", choices=[*LAYERS], help="default: all")
    parser.add_argument("--tokens", action="append", type=int, help="default: 16, 1024, 4096")
    parser.add_argument("--rounds", type=int, default=7, help="median of so many (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there, too")
    options = parser.parse_args()
    if options.rounds < 1 or min(options.tokens or TOKENS) < 1:
        parser.error("--rounds and --tokens take numbers from 1 on")
    lines: list[Line] = []
    print(HEADER)
    for layer in options.layer or LAYERS:
        for tokens in options.tokens or TOKENS:
            found = measure(layer, tokens, options.rounds)
            print(*map(markdown, found), sep="\n", flush=True)
            lines += found
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")


if __name__ == "__main__":
    main()
