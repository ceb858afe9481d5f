"""Our clock against others on the same products in the same process, and what watching costs.

    python benchmarks/gpu_timers.py [--backend cpu] [--small]

1. Ten bfloat16 products: our median with cold caches against triton.testing.do_bench, which flushes the L2
   cache (GPUs only), and ours with warm caches against torch.utils.benchmark, which does not. Above 100 µs
   they should agree within 1 %.
2. A search in the manner of MAMF finder (github.com/stas00/ml-engineering): torch.mm in a loop between
   two readings of the clock, the best shape against our best over the same shapes: at least 0.99.
3. A product while the sensors are read 20 times a second, against the same without.
"""

from __future__ import annotations

import argparse
import statistics

import torch
import torch.utils.benchmark

from backends.torch.device import TorchBackend
from backends.torch.prepared import TorchPrepared
from bench.analysis.statistics import LEAST_VALUES
from bench.backend import Device
from bench.kernels.matmul import Matmul
from bench.measure.sampling import Goal, Sampler
from bench.measure.timing import CheckedRun
from bench.plugins import load_backend

# Of the sizes that layers have, from a few microseconds to tens of milliseconds.
TEN = [
    (128, 4096, 4096),
    (1024, 1024, 1024),
    (1024, 4096, 4096),
    (2048, 2048, 2048),
    (4096, 4096, 4096),
    (1024, 8192, 8192),
    (4096, 7168, 2048),
    (4096, 7168, 16384),
    (8192, 8192, 8192),
    (8192, 8192, 16384),
]
SEARCHED = [
    (2048, 2048, 13312),
    (1024, 9216, 14336),
    (1024, 10240, 5120),
    (3329, 1536, 51200),
    *((m, n, k) for m in (2048, 4096, 8192) for n in (4096, 8192) for k in (2048, 8192)),
]
LONG_S = 100e-6


class Bench:
    """Measures products by the harness's own backend and sampler."""

    def __init__(self, name: str, budget_s: float) -> None:
        backend = load_backend(name)
        assert isinstance(backend, TorchBackend)
        self.backend, self.device = backend, backend.devices()[0]
        self.place = self.backend.torch_device(self.device)
        self._sampler = Sampler()
        self._goal = Goal(budget_s, precision=0.002, least=LEAST_VALUES)

    def prepared(self, m: int, n: int, k: int, cache: str = "hot") -> TorchPrepared:
        """Return a product on the device, by the implementation `torch`."""
        case = Matmul(dtype="bfloat16", layout="nt", m=m, n=n, k=k, cache=cache)
        return self.backend.prepare(case, "torch", self.device, case.make_inputs(0))

    def median_s(self, prepared: TorchPrepared, before=lambda: None) -> float:
        """Return the median of our samples; `before` is called after the warm-up."""
        samples = self._sampler.sample(
            "product",
            CheckedRun(prepared.run, prepared.timing),
            self._goal,
            lambda phase, values: None,
            before,
        )
        return statistics.median(samples.run.values)

    def operands(self, m: int, n: int, k: int):
        """Return a [m, k], b [k, n] that lies transposed, and room for the result."""
        a = torch.randn(m, k, device=self.place).bfloat16()
        b = torch.randn(n, k, device=self.place).bfloat16()
        return a, b.T, torch.empty(m, n, dtype=torch.bfloat16, device=self.place)


def timers(bench: Bench, shapes) -> None:
    """Print our times of each product, and the other timers' over them."""
    print("\n## Timers: others over ours\n")
    print("| product | cold, µs | do_bench / cold | warm, µs | torch.utils.benchmark / warm | |")
    print("|---|---:|---:|---:|---:|---|")
    worst = 0.0
    for shape in shapes:
        ours = {}
        for cache in ("cold", "hot"):
            prepared = bench.prepared(*shape, cache)
            ours[cache] = bench.median_s(prepared)
            prepared.close()
        a, b, c = bench.operands(*shape)
        flushed_s, warm_s = do_bench_s(a, b, c), utils_s(a, b, c)
        ratios = [flushed_s and flushed_s / ours["cold"], warm_s / ours["hot"]]
        apart = max(abs(ratio - 1) for ratio in ratios if ratio)
        long = min(ours.values()) >= LONG_S
        worst = max(worst, apart if long else 0.0)
        cold, warm = (f"{ours[cache] * 1e6:.1f}" for cache in ("cold", "hot"))
        first, second = (f"{ratio:.3f}" if ratio else "–" for ratio in ratios)
        note = f"{apart:.1%} apart" if long else ""
        print(f"| {'×'.join(map(str, shape))} | {cold} | {first} | {warm} | {second} | {note} |")
    print(f"\nProducts of 100 µs and more: {worst:.2%} apart at most (wanted: 1 %)")


def do_bench_s(a, b, c) -> float | None:
    """Return Triton's median with the L2 cache flushed, None where there is no GPU that it could time."""
    if a.device.type != "cuda":
        return None
    from triton.testing import do_bench

    return do_bench(lambda: torch.mm(a, b, out=c), return_mode="median") / 1e3


def utils_s(a, b, c) -> float:
    """Return the median of torch's own timer, which synchronizes GPUs itself."""
    timer = torch.utils.benchmark.Timer(
        "torch.mm(a, b, out=c)",
        globals={"torch": torch, "a": a, "b": b, "c": c},
        num_threads=torch.get_num_threads(),
    )
    return timer.blocked_autorange(min_run_time=0.3).median


def searched_s(bench: Bench, shape, executions: int) -> float:
    """Return the mean time of a loop of torch.mm, as MAMF finder takes it."""
    a, b, c = bench.operands(*shape)
    step = [lambda: {"c": torch.mm(a, b, out=c)}]
    timer = bench.backend.timer(bench.device)
    timer(step * (executions // 4 + 1))
    return timer(step * executions) / executions


def search(bench: Bench, shapes, executions: int) -> None:
    """Print the best rate of the search and of ours over the same shapes."""
    print("\n## Search for the highest bfloat16 rate, TFLOP/s\n")
    print("| product | a MAMF-style loop | ours | ours / loop |\n|---|---:|---:|---:|")
    best = [0.0, 0.0]
    for m, n, k in shapes:
        loop = 2 * m * n * k / searched_s(bench, (m, n, k), executions) / 1e12
        prepared = bench.prepared(m, n, k)
        ours = 2 * m * n * k / bench.median_s(prepared) / 1e12
        prepared.close()
        best = [max(best[0], loop), max(best[1], ours)]
        print(f"| {m}×{n}×{k} | {loop:.4g} | {ours:.4g} | {ours / loop:.3f} |")
    print(f"\nBest: {best[1]:.4g} of ours, {best[1] / best[0]:.3f} of the loop's (wanted: 0.99);")
    print(f"{best[1] / 794.5:.3f} of the 794.5 that are published for an H100 SXM")


def watching(bench: Bench, shape, device: Device) -> None:
    """Print how much longer a product takes while its device's sensors are read."""
    prepared = bench.prepared(*shape)
    ratios = []
    for _ in range(5):
        without = bench.median_s(prepared)
        sampler = bench.backend.telemetry(device)
        watched = bench.median_s(prepared, sampler.start)
        sampler.stop()
        ratios.append(watched / without)
    prepared.close()
    print("\n## Watching the sensors\n")
    print(
        f"A product of {shape[0]} takes {statistics.median(ratios):.4f} times as long (wanted: 1)"
    )


def main() -> None:
    """Run the three comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny products, to try the script")
    options = parser.parse_args()
    bench = Bench(options.backend, 0.05 if options.small else 0.6)
    ten, searched = TEN, SEARCHED
    if options.small:
        ten, searched = [(32, 64, 64), (64, 64, 64)], [(64, 64, 64), (64, 128, 64)]
    print(f"{bench.device.name}; torch {torch.__version__}; {bench.device.runtime}")
    timers(bench, ten)
    search(bench, searched, executions=10 if options.small else 100)
    watching(bench, ten[1], bench.device)


if __name__ == "__main__":
    main()
