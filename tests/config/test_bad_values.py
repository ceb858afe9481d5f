"""Values of a config that are refused with file, line and key instead of being read as something else."""

from __future__ import annotations

import pytest

from bench.config.load import build_config
from bench.errors import UsageError
from bench.yaml_files.source import parse_yaml

LAYER = "kernel: moe_layer, dtype: float32, hidden: 64, intermediate: 32, experts: 8, top_k: 2, tokens: 16"
MATMUL = "kernel: matmul, dtype: float32, m: 64, n: 64, k: 64"
MODEL = "kernel: moe_layer, dtype: float32"


def load(block: str, measurement: str = "{}"):
    text = f"measurement: {measurement}\nkernels:\n  - {{{block}}}\n"
    return build_config(parse_yaml(text, "c.yaml"), "c")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            f"{MODEL}, model: [[deepseek-v3]], tokens: 16",
            "model: expected the name of a model, got ['deepseek-v3']",
        ),
        (
            f"{MODEL}, model: {{a: b}}, tokens: 16",
            "model: expected the name of a model, got {'a': 'b'}",
        ),
        (
            f"{MODEL}, model: deepseek-v3, phase: [[decode]]",
            "phase: unknown phase ['decode']; known: decode, prefill",
        ),
        (f"{MODEL}, model: deepseek-v3, phase: {{a: b}}", "phase: unknown phase {'a': 'b'}"),
        (
            "kernel: moe_gate, dtype: float32, hidden: 64, experts: 8, top_k: 2, tokens: 4294967296",
            "tokens: 4294967296 in all, times top_k (2), is more than 134217728",
        ),
        (
            "kernel: moe_gate, dtype: float32, hidden: 64, experts: 1000000000000, top_k: 2, tokens: 16",
            "experts: expected at most 1048576, got 1000000000000",
        ),
        (
            f"{LAYER}, expert_parallel: 4, routing: uniform".replace("16", "33554432"),
            "tokens: 134217728 in all, times top_k (2)",
        ),
        (
            "kernel: moe_gate, dtype: float32, hidden: 64, experts: 1000000, top_k: 2, tokens: 60000",
            "tokens: 60000 in all, times 1000000 experts, is more than 4294967296 scores",
        ),
        (
            "kernel: grouped_matmul, dtype: float32, m: 1099511627776, n: 64, k: 64, experts: 8",
            "m: 1099511627776 in all",
        ),
        (
            "kernel: matmul, dtype: float32, m: 64, n: 1099511627776, k: 1099511627776",
            "n: the case takes 4.4e+12 TiB of memory; at most 64 are allowed",
        ),
        (
            "kernel: memory, dtype: float32, operation: copy, size_mib: [4, 1099511627776]",
            "size_mib: the case takes 2.1e+06 TiB",
        ),
        (f"{LAYER}, scaling: 1.0e+300", "scaling: expected at most 1000, got 1e+300"),
        (f"{LAYER}, routing: trace, trace: [[a]]", "trace: expected text, got ['a']"),
        (f"{LAYER}, routing: trace, trace: {{a: b}}", "trace: expected text, got {'a': 'b'}"),
        (f"{LAYER}, routing: trace, trace: 5", "trace: expected text, got 5"),
        (f'{LAYER}, routing: trace, trace: "a\\0b"', "trace: 'a\\x00b' cannot be a path"),
        (f"{LAYER}, routing: trace, trace: /", "trace: / is not a regular file"),
        (f"{LAYER}, trace_sha256: abc", "trace_sha256: is that of the file `trace`"),
        (f"{MATMUL}, zip: []", "zip: the list is empty; expected at least one value"),
        (
            f"{LAYER}, expert_parallel: 2, routing: uniform, device: [[mean]]",
            "device: unknown value ['mean']",
        ),
        (
            f"{LAYER}, expert_parallel: 2, device: hottest",
            "device: has no effect in any case here: balanced routing gives all devices the same load",
        ),
        (
            f"{MATMUL}, dtype: {'x' * 300}".replace("dtype: float32, ", ""),
            "dtype: unknown value 'xxx",
        ),
        (f"{MATMUL}, graph: 'yes'", "graph: expected true or false, got 'yes'"),
        (f"{MATMUL}, graph: 1", "graph: expected true or false, got 1"),
        (f"{MATMUL}, graph: 'true'", "graph: expected true or false, got 'true'"),
        (
            f"{LAYER}, routing: power_law, routing_exponent: '0.7'",
            "routing_exponent: expected a number, got '0.7'",
        ),
        (f"{LAYER}, capacity_factor: true", "capacity_factor: expected a number, got True"),
        (
            f"{LAYER}, routing: balanced, routing_exponent: 0.7",
            "routing_exponent: has no effect in any case here: it belongs to `routing: power_law`",
        ),
        (
            f"{LAYER}, routing: [balanced, uniform], routing_exponent: [0.5, 0.7]",
            "routing_exponent: has no effect in any case here",
        ),
        (
            "kernel: grouped_matmul, dtype: float32, m: 64, n: 64, k: 64, experts: 4, "
            "routing_exponent: 0.7",
            "routing_exponent: has no effect in any case here",
        ),
    ],
)
def test_a_value_that_is_refused(block, message):
    with pytest.raises(UsageError) as error:
        load(block)
    assert str(error.value).startswith(f"c.yaml:3: kernels[0].{message}")


@pytest.mark.parametrize("value", ["'0.5'", "true", "'yes'"])
def test_a_precision_that_is_no_number(value):
    with pytest.raises(UsageError, match=r"measurement\.precision: expected a number, got"):
        load(MATMUL, f"{{precision: {value}}}")


def test_a_parameter_may_have_an_effect_in_some_cases_only():
    config = load(f"{LAYER}, routing: [uniform, power_law], routing_exponent: 0.8")
    assert len(config.cases) == 2
