"""The numbers that docs/cost.md and README.md lead with, computed again by hand.

Nothing here uses a formula of the harness: figures of a paper or a data sheet, cells of a published file,
and arithmetic, written out.
"""

from __future__ import annotations

import csv

import pytest

import bench
from bench.catalog.chips import get_chip
from bench.errors import UsageError
from bench.results.published import published_folder

# DeepSeek-V3, arXiv 2412.19437, sections 2 and 4.2: sizes, layers with experts, keys and values per token.
ACTIVE, ALL = 37e9, 671e9
ROUTED = 58 * 256 * (3 * 7168 * 2048)
KEYS_AND_VALUES = 61 * (512 + 64) * 2

H800_TFLOPS = 989
# 24 Cube units, each with 16 × 16 × 16 multiplications and additions per cycle of 1.8 GHz.
NPU_TFLOPS = 24 * 16**3 * 2 * 1.8e9 / 1e12


def cells(file, **wanted):
    """The cells of the rows of a published file with these values, as texts."""
    with (published_folder() / file).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if all(row[name] == value for name, value in wanted.items()):
                yield row


@pytest.mark.parametrize(
    ("chip", "tflops", "chip_hours"),
    [("h800-sxm", H800_TFLOPS, 3_076_059), ("ascend-910b2", NPU_TFLOPS, 8_596_412)],
)
def test_training_deepseek_v3(chip, tflops, chip_hours):
    """14.8 T tokens × 6 × 37e9 FLOPs at 30 % of the peak of 2048 chips."""
    seconds = 14.8e12 * 6 * ACTIVE / (2048 * tflops * 1e12 * 0.3)
    run = bench.project("deepseek-v3", chip=chip, chips=2048, tokens=14.8e12, utilization=0.3)
    assert run.days.value == pytest.approx(seconds / 86400)
    assert run.chip_hours.value == pytest.approx(seconds / 3600 * 2048)
    assert run.chip_hours.value == pytest.approx(chip_hours, abs=1)
    assert run.weights_gb == pytest.approx(2 * 671 / 2048)


@pytest.mark.parametrize(("chip", "chips"), [("h100-sxm", 32), ("ascend-910b2", 64)])
def test_memory_of_deepseek_v3(chip, chips):
    """In bfloat16: 1308 GB of routed experts shared by the chips, 34.2 GB of the rest on each."""
    memory_gb = get_chip(chip).memory_gb
    others_gb = 2 * (ALL - ROUTED) / 1e9
    assert others_gb == pytest.approx(34.18, abs=0.01)
    shared_gb = 2 * ROUTED / 1e9
    assert shared_gb / chips + others_gb <= memory_gb < shared_gb / (chips // 2) + others_gb
    with pytest.raises(UsageError, match=f"a multiple of {chips} chips does"):
        bench.project("deepseek-v3", chip=chip, chips=chips // 2, decode=64)
    room = memory_gb - shared_gb / chips - others_gb
    sequences = int(room / (4096 * KEYS_AND_VALUES / 1e9))
    with pytest.raises(UsageError, match=f"at most {sequences} sequences of this length fit"):
        bench.project("deepseek-v3", chip=chip, chips=chips, decode=512, context=4096)
    with pytest.raises(UsageError, match=rf"expert_parallel: {chips}, .*tokens: \[{sequences}\]"):
        bench.project("deepseek-v3", chip=chip, chips=chips, decode=sequences, context=4096)


@pytest.mark.parametrize(
    ("file", "chip", "price", "dollars"),
    [
        ("nvidia-h100.csv", "h100-sxm", 2.99, 0.961),
        ("ascend-910b2.csv", "ascend-910b2", 1.50, 1.321),
    ],
)
def test_the_fastest_product(file, chip, price, dollars):
    """The price of a second over the operations of a second, for 1e18 of them."""
    rates = [
        float(row["achieved_tflops"])
        for row in cells(file, kernel="matmul", dtype="bfloat16", chip=chip)
    ]
    costs = bench.cost(bench.load(published_folder() / file), prices={chip: price})
    (cost,) = [each for each in costs.products if each.dtype == "bfloat16"]
    assert cost.usd_per_exaflop.value == pytest.approx(price / 3600 / (max(rates) * 1e12) * 1e18)
    assert cost.usd_per_exaflop.value == pytest.approx(dollars, abs=5e-4)


@pytest.fixture(scope="module")
def qwen():
    """Qwen3-30B-A3B on one H100: times of a layer by tokens, the rest of the parameters, best rates.

    48 layers with 8 of 128 experts of 2048 × 768, 32 heads and 4 of keys and values of 128.
    """
    rows = list(cells("nvidia-h100.csv", chip="h100-sxm", dtype="bfloat16"))
    layers = [row for row in rows if row["model"] == "qwen3-30b-a3b"]
    times = {
        int(row["tokens"]): float(row["time_median_s"])
        for row in layers
        if row["routing"] == "balanced"
    }
    tflops = max(float(row["achieved_tflops"]) for row in rows if row["achieved_tflops"])
    gbps = max(float(row["achieved_gbps"]) for row in layers if row["achieved_gbps"])
    return times, 3.3e9 - 48 * 8 * 3 * 2048 * 768, tflops * 1e12, gbps * 1e9


def test_decoding_on_an_h100(qwen):
    times, rest, _, bytes_per_s = qwen
    cache = 16 * 4096 * 48 * 2 * 4 * 128 * 2
    step = 48 * times[16] + 2 * rest / bytes_per_s + cache / bytes_per_s
    on = {"chip": "h100-sxm", "chips": 8, "decode": 16, "context": 4096}
    served = bench.project("qwen3-30b-a3b", **on)
    (decode,) = served.phases
    assert decode.tokens_per_s.value == pytest.approx(16 / step)
    assert decode.attention_share.value == pytest.approx(cache / bytes_per_s / step)
    assert (served.weights_gb, served.cache_gb) == pytest.approx((61, cache / 1e9))


def test_prompts_on_an_h100(qwen):
    times, rest, flops_per_s, _ = qwen
    attention = 8192 * 48 * 4096 * 32 * (128 + 128)
    step = 48 * times[8192] + 2 * rest * 8192 / flops_per_s + attention / flops_per_s
    on = {"chip": "h100-sxm", "chips": 8, "prefill": 8192, "context": 4096}
    (prefill,) = bench.project("qwen3-30b-a3b", **on).phases
    assert prefill.tokens_per_s.value == pytest.approx(8192 / step)
    h100 = bench.load(published_folder() / "nvidia-h100.csv")
    costs = bench.cost(h100, prices={"h100-sxm": 2.99}, model="qwen3-30b-a3b", context=4096)
    (cost,) = [c for c in costs.tokens if (c.dtype, c.tokens) == ("bfloat16", 8192)]
    assert cost.usd_per_million_tokens.value == pytest.approx(2.99 / 3600 / (8192 / step) * 1e6)
