"""Measures one device by `bench run`, and prints the tables that its rows give.

    python benchmarks/gpu_tables.py FOLDER [--backend cpu] [--small]

Expert products against plain ones, decode against the memory's rate, zeros against random inputs, cold
against hot caches, and published rates of an H100 beside ours. FOLDER gets the result files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

PUBLISHED = Path(__file__).with_name("published_h100.csv")


def config(small: bool) -> dict[str, object]:
    """Make the config whose rows the tables show."""
    measure = {"precision": 0.005, "time_budget_s": 0.05 if small else 1.0, "case_timeout_s": 120}
    scale = 32 if small else 1
    matmul = {"kernel": "matmul", "dtype": "bfloat16", "layout": "nt"}
    moe = {"kernel": "moe_layer", "dtype": "bfloat16", "routing": "balanced"}
    layer: dict[str, object] = {"model": "deepseek-v3", "expert_parallel": [8, 32]}
    other: dict[str, object] = {"model": "qwen3-30b-a3b"}
    if small:
        layer = {"hidden": 256, "intermediate": 64, "experts": 8, "top_k": 2}
        other = {"hidden": 128, "intermediate": 64, "experts": 16, "top_k": 2}
    squares = [16, 128] if small else [512, 1024, 2048, 4096, 8192]
    published = pd.read_csv(PUBLISHED)
    shapes = published[published["kernel"] == "matmul"][["m", "n", "k"]].astype(int)
    cut = {name: [max(1, size // scale) for size in shapes[name]] for name in ("m", "n", "k")}
    tokens = published[published["kernel"] == "moe_layer"]["tokens"].astype(int).tolist()
    return {
        "description": "The cases behind the tables of benchmarks/gpu.sh",
        "measurement": measure,
        "kernels": [
            {
                "kernel": "memory",
                "operation": ["read", "copy"],
                "dtype": "float32",
                "size_mib": 4 if small else 2048,
            },
            {
                **matmul,
                "cache": ["cold", "hot"],
                "inputs": ["normal", "zeros"],
                "zip": {"m": squares, "n": squares, "k": squares},
            },
            {**matmul, "cache": "hot", "zip": cut},
            {**moe, **layer, "tokens": [64, 4096 // scale], "graph": [False, not small]},
            {**moe, **other, "tokens": [count // scale for count in tokens]},
        ],
    }


def measure(folder: Path, backend: str, small: bool) -> pd.DataFrame:
    """Run the config, print the rows that are not ok, and return the others."""
    path = folder / "tables.yaml"
    path.write_text(yaml.safe_dump(config(small), sort_keys=False))
    result = folder / "tables.csv"
    command = [sys.executable, "-m", "bench", "run", str(path), "--backend", backend, "--force"]
    # Not where this is run, where Python may find a package bench that is not the installed one.
    done = subprocess.run([*command, "--quiet", "-o", str(result)], cwd=folder, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    rows = pd.read_csv(result)
    for row in rows[rows["status"] != "ok"].itertuples():
        print(f"{row.kernel} {row.dtype}: {row.status}: {row.error}")
    return rows[rows["status"] == "ok"]


def experts(rows: pd.DataFrame) -> None:
    """Print the layer's rate against the best product's, and its bandwidth against the memory's."""
    plain = rows[(rows["kernel"] == "matmul") & (rows["inputs"] == "normal")]
    best_tflops = plain["achieved_tflops"].max()
    memory = rows[rows["kernel"] == "memory"]
    read_gbps = memory[memory["operation"] == "read"]["achieved_gbps"].max()
    print("\n## DeepSeek-V3's layer against the device's own rates\n")
    print(f"Best bfloat16 product: {best_tflops:.4g} TFLOP/s; read: {read_gbps:.4g} GB/s\n")
    print(
        "| devices | tokens | launched by | time, µs | of the product's rate | of the read rate |"
    )
    print("|---:|---:|---|---:|---:|---:|")
    layer = rows[(rows["kernel"] == "moe_layer") & rows["hidden"].isin([7168, 256])]
    for row in layer.itertuples():
        print(
            f"| {row.expert_parallel:.0f} | {row.tokens:.0f} | {row.timing} "
            f"| {row.time_median_s * 1e6:.1f} | {row.achieved_tflops / best_tflops:.3f} "
            f"| {row.achieved_gbps / read_gbps:.3f} |"
        )
    print("\nWanted: 0.85 of the product's rate at 4096 tokens, 0.8 of the read rate at 64.")


def pairs(rows: pd.DataFrame, column: str, title: str) -> None:
    """Print the times of square products by two values of a column, and their ratio."""
    square = rows[
        (rows["kernel"] == "matmul") & (rows["m"] == rows["n"]) & (rows["n"] == rows["k"])
    ]
    fixed = {"cache": "hot", "inputs": "normal"}
    for name, value in fixed.items():
        if name != column:
            square = square[square[name] == value]
    times = square.pivot_table(index="m", columns=column, values="time_median_s")
    first, second = times.columns
    print(f"\n## {title}\n\n| bfloat16 | {first}, µs | {second}, µs | {first} / {second} |")
    print("|---|---:|---:|---:|")
    for m, row in times.iterrows():
        cells = f"{row[first] * 1e6:.1f} | {row[second] * 1e6:.1f} | {row[first] / row[second]:.3f}"
        print(f"| {m:.0f}³ | {cells} |")


def published(rows: pd.DataFrame, small: bool) -> None:
    """Print published rates of an H100 beside ours for the same shapes."""
    print("\n## Published for an H100 SXM, and measured here, TFLOP/s\n")
    print("| case | published | here | here / published | source |\n|---|---:|---:|---:|---|")
    scale = 32 if small else 1
    normal = rows[(rows["inputs"] == "normal") & (rows["timing"] != "graph")]
    for entry in pd.read_csv(PUBLISHED).itertuples():
        same = normal[normal["kernel"] == entry.kernel]
        if entry.kernel == "matmul":
            name = f"{entry.m:.0f}×{entry.n:.0f}×{entry.k:.0f}"
            for size in ("m", "n", "k"):
                same = same[same[size] == max(1, int(getattr(entry, size)) // scale)]
            same = same[same["cache"] == "hot"]
        else:
            name = f"Qwen3-30B-A3B, {entry.tokens:.0f} tokens"
            model = same["hidden"] == 128 if small else same["model"] == "qwen3-30b-a3b"
            same = same[model & (same["tokens"] == int(entry.tokens) // scale)]
        here = same["achieved_tflops"].max()
        print(
            f"| {name} | {entry.tflops} | {here:.4g} | {here / entry.tflops:.3f} | {entry.source} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny cases, to try the script")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = measure(options.folder.resolve(), options.backend, options.small)
    experts(rows)
    pairs(rows, "inputs", "Random inputs against zeros, warm caches")
    pairs(rows, "cache", "Cold caches against warm ones, random inputs")
    published(rows, options.small)


if __name__ == "__main__":
    main()
