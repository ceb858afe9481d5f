"""Configs: what spans which cases, and every mistake in a sentence with its line."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.filters import parse_filter
from bench.config.load import build_config, config_schema, load_config
from bench.errors import UsageError
from bench.yaml_files.source import parse_yaml


def build(text, **more):
    return build_config(parse_yaml(text, "c.yaml"), "c", **more)


def matmul(body):
    return f"kernels:\n  - kernel: matmul\n    dtype: float32\n{body}"


def shapes(config):
    return [(c.kernel.m, c.kernel.n, c.kernel.k) for c in config.cases]


def test_axes_multiply_in_the_order_written_last_fastest():
    config = build(matmul("    k: [1, 2]\n    m: [3, 4]\n    n: 5\n"))
    assert shapes(config) == [(3, 5, 1), (4, 5, 1), (3, 5, 2), (4, 5, 2)]


def test_zip_varies_together_and_multiplies_with_the_rest():
    config = build(matmul("    k: [1, 2]\n    zip: {m: [3, 4], n: [5, 6]}\n"))
    assert shapes(config) == [(3, 5, 1), (4, 6, 1), (3, 5, 2), (4, 6, 2)]


def test_several_zip_groups():
    body = "    zip:\n      - {m: [1, 2], n: [3, 4]}\n      - {k: [5, 6], batch: [7, 8]}\n"
    assert shapes(build(matmul(body))) == [(1, 3, 5), (1, 3, 6), (2, 4, 5), (2, 4, 6)]


def test_a_case_appears_once():
    config = build(matmul("    m: [1, 2, 1]\n    n: 1\n    k: 1\n"))
    assert shapes(config) == [(1, 1, 1), (2, 1, 1)]


def test_a_phase_stands_for_numbers_of_tokens():
    def tokens(phase):
        text = "kernels:\n  - kernel: moe_gate\n    model: qwen3-30b-a3b\n    dtype: bfloat16\n"
        return [case.kernel.tokens for case in build(f"{text}    phase: {phase}\n").cases]

    assert tokens("decode") == [1, 8, 32, 64, 128, 256, 512]
    assert tokens("[prefill, decode]")[:2] == [1024, 4096]


def test_a_model_gives_the_shape_and_may_be_overridden():
    text = (
        "kernels:\n  - kernel: moe_layer\n    model: [deepseek-v3, mixtral-8x7b]\n"
        "    dtype: bfloat16\n    tokens: 4\n    shared_experts: 0\n    shared_intermediate: 0\n"
    )
    first, second = build(text).cases
    assert (first.model, first.kernel.hidden, first.kernel.groups) == ("deepseek-v3", 7168, 8)
    assert (second.model, second.kernel.hidden, second.kernel.top_k) == ("mixtral-8x7b", 4096, 2)
    assert first.kernel.shared_experts == 0


def test_the_hash_is_of_the_content_not_of_comments():
    body = matmul("    m: 1\n    n: 1\n    k: 1\n")
    assert build(body).sha256 == build(f"# comment\n{body}").sha256
    assert build(body).sha256 != build(body.replace("m: 1", "m: 2")).sha256


@given(
    axes=st.dictionaries(
        st.sampled_from(["m", "n", "k", "batch"]),
        st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True),
        min_size=4,
    )
)
def test_the_product_is_complete_and_ordered(axes):
    body = "".join(f"    {key}: {values}\n" for key, values in axes.items())
    combinations = [
        tuple(getattr(c.kernel, key) for key in axes) for c in build(matmul(body)).cases
    ]
    assert combinations == list(product(*axes.values()))


GOOD = "    m: 1\n    n: 1\n    k: 1\n"
MOE = "kernels:\n  - kernel: moe_layer\n    dtype: bfloat16\n    hidden: 8\n    intermediate: 8\n"

BAD = {
    "not a mapping": ("[1]", "c.yaml:1: expected a mapping with `kernels:`"),
    "no kernels": ("description: x", "kernels: expected a list of kernels"),
    "unknown top key": (
        f"kernel: 1\n{matmul(GOOD)}",
        "c.yaml:1: kernel: unknown key (did you mean 'kernels'?)",
    ),
    "unknown kernel": (
        "kernels: [{kernel: matmull}]",
        "unknown kernel 'matmull' (did you mean 'matmul'?)",
    ),
    "no kernel": ("kernels: [{m: 1}]", "kernels[0]: expected a mapping with the key `kernel`"),
    "unknown key": (
        matmul(f"{GOOD}    bacth: 2\n"),
        "c.yaml:7: kernels[0].bacth: unknown key (did you mean 'batch'?)",
    ),
    "missing": (matmul("    m: 1\n    n: 1\n"), "c.yaml:2: kernels[0].k: is missing"),
    "text": (
        matmul("    m: many\n    n: 1\n    k: 1\n"),
        "c.yaml:4: kernels[0].m: expected a whole number, got 'many'",
    ),
    "fraction": (matmul("    m: 1.5\n    n: 1\n    k: 1\n"), "expected a whole number, got 1.5"),
    "1e3": (matmul("    m: 1e3\n    n: 1\n    k: 1\n"), "YAML reads this as text, write 1000"),
    "bool": (matmul("    m: true\n    n: 1\n    k: 1\n"), "expected a whole number, got True"),
    "null": (matmul("    m:\n    n: 1\n    k: 1\n"), "expected a whole number, got None"),
    "negative": (matmul("    m: -1\n    n: 1\n    k: 1\n"), "expected at least 1, got -1"),
    "zero": (
        matmul("    m: 1\n    n: [4, 0]\n    k: 1\n"),
        "c.yaml:5: kernels[0].n: expected at least 1, got 0",
    ),
    "nan": (matmul("    m: .nan\n    n: 1\n    k: 1\n"), "c.yaml:4: kernels[0].m: expected a"),
    "infinite": (matmul("    m: .inf\n    n: 1\n    k: 1\n"), "c.yaml:4: kernels[0].m: expected a"),
    "huge": (matmul(f"    m: {10**30}\n    n: 1\n    k: 1\n"), "kernels[0].m: expected"),
    "dtype": (
        f"kernels:\n  - kernel: matmul\n    dtype: bfloat61\n{GOOD}",
        "unknown value 'bfloat61' (did you mean 'bfloat16'?)",
    ),
    "nested list": (
        matmul("    m: [[1]]\n    n: 1\n    k: 1\n"),
        "expected a whole number, got [1]",
    ),
    "empty list": (
        matmul("    m: []\n    n: 1\n    k: 1\n"),
        "the list is empty; expected at least one value",
    ),
    "twice": (
        matmul(f"{GOOD}    zip: {{m: [1], batch: [1]}}\n"),
        "kernels[0].zip.m: the parameter is given twice",
    ),
    "zip lengths": (
        matmul("    k: 1\n    zip: {m: [1, 2], n: [1]}\n"),
        "equal lengths: m has 2, n has 1",
    ),
    "zip value": (
        matmul("    k: 1\n    zip: {m: 1, n: [1]}\n"),
        "kernels[0].zip.m: expected a list",
    ),
    "zip text": (matmul(f"{GOOD}    zip: x\n"), "kernels[0].zip: expected a mapping"),
    "in zip": (
        matmul("    k: 1\n    zip:\n      m: [1, 2]\n      n: [1, -2]\n"),
        "c.yaml:7: kernels[0].zip.n: expected at least 1, got -2",
    ),
    "top_k": (
        f"{MOE}    experts: 8\n    tokens: 1\n    top_k: 9\n",
        "c.yaml:8: kernels[0].top_k: 9 is more than experts (8)",
    ),
    "nan float": (
        f"{MOE}    experts: 8\n    tokens: 1\n    top_k: 2\n    scaling: .nan\n",
        "scaling: expected a finite number, got nan",
    ),
    "model": (
        f"{MOE}    tokens: 1\n    model: deepseek-v33\n",
        "unknown model 'deepseek-v33' (did you mean 'deepseek-v3'?)",
    ),
    "model of matmul": (
        matmul(f"{GOOD}    model: deepseek-v3\n"),
        "matmul has no model; a model sets the shape of mixture-of-experts kernels",
    ),
    "unknown phase": (
        "kernels: [{kernel: moe_gate, dtype: float32, hidden: 8, experts: 4, top_k: 1, phase: decod}]",
        "did you mean 'decode'?",
    ),
    "phase and tokens": (
        "kernels: [{kernel: moe_gate, dtype: float32, hidden: 8, experts: 4, top_k: 1, tokens: 1,"
        " phase: decode}]",
        "the parameter is given twice",
    ),
    "phase of matmul": (
        matmul(f"{GOOD}    phase: decode\n"),
        "kernels[0].phase: unknown key",
    ),
    "missing trace": (
        "kernels: [{kernel: moe_gate, dtype: float32, hidden: 8, experts: 4, top_k: 1, tokens: 1,"
        " routing: trace, trace: no.csv}]",
        "c.yaml:1: kernels[0].trace: no.csv: No such file or directory",
    ),
    "precision": (
        f"measurement: {{precision: 2}}\n{matmul(GOOD)}",
        "c.yaml:1: measurement.precision: expected less than 1, got 2",
    ),
    "measurement": (
        f"measurement: {{time_bugdet_s: 2}}\n{matmul(GOOD)}",
        "unknown key (did you mean 'time_budget_s'?)",
    ),
    "description": (f"description: [x]\n{matmul(GOOD)}", "description: expected text"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes(name):
    text, message = BAD[name]
    with pytest.raises(UsageError) as error:
        build(text)
    assert message in str(error.value)
    assert "Input should" not in str(error.value), "pydantic's jargon is not for users"
    assert error.value.exit_code == 2


def test_all_mistakes_at_once_each_once():
    text = "kernels:\n  - kernel: matmul\n    dtype: [float32, int4]\n    m: [1, -1]\n    n: 0\n    k: x\n"
    with pytest.raises(UsageError) as error:
        build(text)
    lines = str(error.value).splitlines()
    assert len(lines) == len(set(lines)) == 4
    assert sorted(int(line.split(":")[1]) for line in lines) == [3, 4, 5, 6]


def test_too_many_cases_are_counted_not_made():
    axis = f"[{', '.join(map(str, range(1, 1001)))}]"
    text = matmul(f"    m: {axis}\n    n: {axis}\n    k: {axis}\n")
    with pytest.raises(UsageError, match="1,000,000,000 cases, more than 100,000"):
        build(text)


def test_force_lifts_the_bound(monkeypatch):
    monkeypatch.setattr("bench.config.load.MOST_CASES", 3)
    text = matmul("    m: [1, 2, 3, 4]\n    n: 1\n    k: 1\n")
    with pytest.raises(UsageError, match="--force"):
        build(text)
    assert len(build(text, force=True).cases) == 4


def test_filter():
    cases = build(
        "kernels:\n  - {kernel: matmul, dtype: [float32, bfloat16], m: [1, 2], n: 1, k: 1}\n"
        "  - {kernel: memory, operation: copy, size_mib: 1}\n"
    ).cases
    assert len(parse_filter("kernel=matmul,dtype=bfloat16").select(cases)) == 2
    assert len(parse_filter("m=1|2").select(cases)) == 4
    assert [c.kernel.name for c in parse_filter("operation=copy").select(cases)] == ["memory"]
    for text, message in {
        "kernel": "is not KEY=VALUE",
        "kernle=matmul": "unknown key 'kernle' (did you mean 'kernel'?)",
        "dtype=int8": "selects no case; in this config dtype is bfloat16, float32",
        "": "is not KEY=VALUE",
    }.items():
        with pytest.raises(UsageError) as error:
            parse_filter(text).select(cases)
        assert message in str(error.value)


def test_the_schema_knows_every_parameter():
    schema = config_schema()
    blocks = {
        b["properties"]["kernel"]["const"]: b
        for b in schema["properties"]["kernels"]["items"]["oneOf"]
    }
    assert {"m", "n", "k", "layout", "zip"} <= set(blocks["matmul"]["properties"])
    assert "deepseek-v3" in blocks["moe_layer"]["properties"]["model"]["anyOf"][0]["enum"]


def test_unknown_names_and_paths():
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        load_config("smoek")
    with pytest.raises(UsageError, match=r"nowhere/c\.yaml: no such file"):
        load_config("nowhere/c.yaml")
