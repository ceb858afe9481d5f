"""Any YAML document is a config, or a sentence with its file: never another exception."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config.load import Config, build_config
from bench.errors import UsageError
from bench.yaml_files.source import parse_yaml

WORDS = [
    *(
        "kernels",
        "kernel",
        "measurement",
        "description",
        "zip",
        "model",
        "phase",
        "dtype",
        "inputs",
    ),
    *("m", "n", "k", "batch", "layout", "graph", "cache", "operation", "size_mib", "precision"),
    *(
        "hidden",
        "intermediate",
        "experts",
        "top_k",
        "tokens",
        "routing",
        "routing_exponent",
        "trace",
    ),
    *("trace_sha256", "expert_parallel", "device", "zero_experts", "capacity_factor", "groups"),
    *("topk_groups", "shared_experts", "shared_intermediate", "expert_hidden", "pass", "scaling"),
    *("matmul", "memory", "grouped_matmul", "moe_layer", "moe_gate", "moe_dispatch", "moe_combine"),
    *("deepseek-v3", "decode", "float32", "bfloat16", "int8", "uniform", "power_law", "balanced"),
    *("hottest", "mean", "copy", "nt", "forward_backward", "/", "<<", "1e3", "0x10"),
]
NUMBERS = [0, 1, 2, 3, 4, 8, 64, -1, 1 << 20, 1 << 32, 1 << 40, 10**12, 10**300, 0.5, 1e300]
scalars = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(NUMBERS),
    st.booleans(),
    st.none(),
    st.floats(),
    st.integers(),
    st.text(max_size=9),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), inner, max_size=4),
    ),
    max_leaves=12,
)

# Blocks that are nearly right reach further than arbitrary documents.
SIZES = {"hidden": 8, "intermediate": 8, "experts": 8, "top_k": 2, "tokens": 4}
SOUND = [
    {"kernel": "matmul", "dtype": "float32", "m": 4, "n": 4, "k": 4},
    {"kernel": "memory", "dtype": "float32", "operation": "copy"},
    {"kernel": "grouped_matmul", "dtype": "float32", "m": 4, "n": 4, "k": 4, "experts": 2},
    {"kernel": "moe_layer", "dtype": "float32", "routing": "uniform", **SIZES},
    {"kernel": "moe_layer", "dtype": "bfloat16", "model": "deepseek-v3", "tokens": [1, 16]},
    {"kernel": "moe_dispatch", "dtype": "float32", "expert_parallel": 2, **SIZES},
]
blocks = st.builds(
    lambda block, changes: {**block, **changes},
    st.sampled_from(SOUND),
    st.dictionaries(st.sampled_from(WORDS), values, max_size=3),
)
documents = st.one_of(
    values,
    st.fixed_dictionaries(
        {"kernels": st.lists(blocks, min_size=1, max_size=2)},
        optional={"measurement": values, "description": values},
    ),
)


@settings(max_examples=400)
@given(documents)
def test_a_config_or_a_sentence(document):
    text = yaml.safe_dump(document, allow_unicode=True)
    try:
        config = build_config(parse_yaml(text, "c.yaml"), "c")
    except UsageError as error:
        assert all(line.startswith("c.yaml:") for line in str(error).splitlines()), str(error)
    else:
        assert isinstance(config, Config)
        assert all(case.case_id and case.title for case in config.cases)
