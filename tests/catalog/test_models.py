"""The models: sizes counted from shapes, rumored models, and case_ids that stay the same."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from bench.catalog.model_size import active_parameters, total_parameters
from bench.catalog.models import ASSUMED, Model, assumed_shapes, get_model, load_models
from bench.config.load import build_config
from bench.plugins import kernels
from bench.yaml_files.source import parse_yaml

MODELS = load_models()
TOLERANCE = 0.02

# The active size of these is published with one or two digits, and differs by more than the tolerance.
FEW_DIGITS = {
    "deepseek-v2-lite",
    "ernie-4.5-21b-a3b",
    "glm-4.7-flash",
    "granite-4.0-h-small",
    "kimi-linear-48b-a3b",
    "minimax-m3",
    "qwen3-next-80b-a3b",
    "qwen3.5-35b-a3b",
    "qwen3.5-122b-a10b",
    "qwen3.5-397b-a17b",
}


# The active size of these is not published.
NO_ACTIVE_SIZE = {"grok-1"}


def within(counted, published_b):
    return abs(counted / (published_b * 1e9) - 1) <= TOLERANCE


def printed(counted, published_b):
    """Whether a count, rounded or truncated to the digits of a published number, equals that number."""
    decimals = len(f"{published_b:g}".partition(".")[2])
    units = counted / 1e9 * 10**decimals
    return round(published_b * 10**decimals) in (round(units), math.floor(units))


def test_the_number_of_models():
    assert len(MODELS) == 63
    rumored = [name for name, model in MODELS.items() if model.status == "rumored"]
    assert rumored == ["deepseek-1.2t-rumored"]


@pytest.mark.parametrize("name", MODELS)
def test_the_shape_gives_the_published_total(name):
    model = MODELS[name]
    assert within(total_parameters(model), model.total_params_b), total_parameters(model)


@pytest.mark.parametrize("name", sorted(set(MODELS) - FEW_DIGITS - NO_ACTIVE_SIZE))
def test_the_shape_gives_the_published_active_parameters(name):
    model = MODELS[name]
    assert within(active_parameters(model), model.active_params_b), active_parameters(model)


@pytest.mark.parametrize("name", sorted(FEW_DIGITS))
def test_the_shape_gives_the_digits_that_are_published(name):
    model = MODELS[name]
    counted = active_parameters(model)
    assert printed(counted, model.active_params_b), counted
    assert not within(counted, model.active_params_b), "no longer an exception"


def test_every_other_size_is_published():
    assert all(model.total_params_b for model in MODELS.values())
    assert {n for n, m in MODELS.items() if m.active_params_b is None} == NO_ACTIVE_SIZE


def test_kimi_k3_counts_the_output_embedding_as_active():
    """Its card says 104 B; 105.4 with both embeddings, 103.0 with none."""
    assert active_parameters(get_model("kimi-k3")) == pytest.approx(104.18e9, rel=1e-4)


def test_step_3_7_has_more_heads_in_sliding_layers():
    """96 instead of 64 in 33 layers: 196.9 B in total, 10.9 active without embeddings."""
    model = get_model("step-3.7-flash")
    assert total_parameters(model) == pytest.approx(196.94e9, rel=1e-4)
    assert active_parameters(model) == pytest.approx(10.915e9, rel=1e-4)


def test_hunyuan_large_ties_its_embeddings():
    model = get_model("hunyuan-large")
    assert model.tied
    assert total_parameters(model) == pytest.approx(388.7e9, rel=1e-3)


def test_an_alias_is_another_name_of_the_same_model():
    assert get_model("kimi-k2.6") is get_model("kimi-k2")
    names = [*MODELS, *(alias for model in MODELS.values() for alias in model.aliases)]
    assert len(names) == len(set(names))
    text = "kernels:\n  - {kernel: moe_layer, model: glm-4.7, dtype: bfloat16, tokens: 16}\n"
    (case,) = build_config(parse_yaml(text, "test"), "test").cases
    assert case.model == "glm-4.5"


def test_a_wrong_shape_is_outside_the_tolerance():
    """One more expert per token, or eight experts fewer, is outside the tolerance."""
    model = get_model("deepseek-v3")
    assert not within(active_parameters(model.model_copy(update={"top_k": 9})), 37)
    fewer = model.model_copy(update={"experts": 248})
    assert not within(total_parameters(fewer), 671)


def test_a_count_by_hand():
    """Mixtral-8x7B by the formula: 46.7 billion parameters, 12.9 of them active."""
    attention = 4096 * 4096 * 2 + 2 * 4096 * 1024
    expert = 3 * 4096 * 14336
    rest = 32 * (attention + 4096 * 8) + 2 * 32000 * 4096
    model = get_model("mixtral-8x7b")
    assert total_parameters(model) == rest + 32 * 8 * expert
    assert active_parameters(model) == rest + 32 * 2 * expert


@pytest.mark.parametrize(
    ("counts", "tied", "matrices"),
    [
        ("all", False, 2),
        ("output", False, 1),
        ("no_embeddings", False, 0),
        ("all", True, 1),
        ("output", True, 1),
    ],
)
def test_embeddings_count_as_the_publisher_counts_them(counts, tied, matrices):
    fields = {"total_counts": counts, "active_counts": counts, "tied": tied}
    model = get_model("mixtral-8x7b").model_copy(update=fields)
    none = model.model_copy(
        update={"total_counts": "no_embeddings", "active_counts": "no_embeddings"}
    )
    assert total_parameters(model) - total_parameters(none) == matrices * 32000 * 4096
    assert active_parameters(model) - active_parameters(none) == matrices * 32000 * 4096


def test_latent_and_ungated_experts():
    """Nemotron-3-Super: 512 experts with two matrices of 1024 × 2688, and two projections per layer."""
    model = get_model("nemotron-3-super-120b-a12b")
    one_more = model.model_copy(update={"top_k": 23})
    gained = active_parameters(one_more) - active_parameters(model)
    assert gained == 40 * 2 * 1024 * 2688
    wide = model.model_copy(update={"expert_hidden": None})
    lost = total_parameters(wide) - total_parameters(model)
    assert lost == 40 * (512 * 2 * (4096 - 1024) * 2688 - 2 * 4096 * 1024)


def test_zero_experts_have_no_parameters_and_take_their_share_of_tokens():
    """LongCat-Flash: 12 of 512 experts and 256 zero experts per token, so 8 experts on average."""
    model = get_model("longcat-flash")
    assert (model.scored_experts, model.computing_experts) == (768, 8)
    without = model.model_copy(update={"zero_experts": 0, "top_k": 8})
    router = 28 * 6144 * 256
    assert total_parameters(model) - total_parameters(without) == router
    assert active_parameters(model) - active_parameters(without) == router
    assert model.moe_layer()["zero_experts"] == 256
    assert get_model("deepseek-v3").moe_layer()["zero_experts"] == 0


def test_two_dense_layers_run_beside_each_layer_of_experts():
    """LongCat-Flash has 28 layers of experts, each across two blocks of attention and a dense MLP."""
    model = get_model("longcat-flash")
    assert (model.layers, model.moe_layers, model.dense_layers) == (56, 28, 56)
    with pytest.raises(ValidationError, match="layers: 28"):
        Model(**model.model_dump() | {"layers": 28})


def test_dense_layers_beside_the_experts_count_too():
    model = get_model("gemma-4-26b-a4b")
    without = model.model_copy(update={"dense_layers": 0, "dense_intermediate": None})
    assert total_parameters(model) - total_parameters(without) == 30 * 3 * 2816 * 2112


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_k": 257}, "more than experts \\(256\\)"),
        ({"top_k": 300, "zero_experts": 40}, "more than experts \\(296\\)"),
        ({"zero_experts": -1}, "zero_experts"),
        ({"layers": 60}, "layers: 60"),
        ({"dense_layers": 0}, "dense_layers"),
        ({"dense_intermediate": None}, "dense_layers"),
        ({"shared_experts": 0}, "shared_experts"),
        ({"attention": []}, "at least 1"),
        ({"status": "guessed"}, "published"),
        ({"source": []}, "at least 1"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_inconsistent_entry_is_refused(changes, message):
    fields = get_model("deepseek-v3").model_dump() | changes
    with pytest.raises(ValidationError, match=message):
        Model(**fields)


def test_every_model_makes_a_case():
    """Models with equal layers share one case, which has the name of the first."""
    layers = [model.moe_layer() for model in MODELS.values()]
    own = [name for i, name in enumerate(MODELS) if layers[i] not in layers[:i]]
    assert set(MODELS) - set(own) == {"deepseek-v3.2", "glm-5.2"}
    names = ", ".join(MODELS)
    text = f"kernels:\n  - {{kernel: moe_layer, model: [{names}], dtype: bfloat16, tokens: 16}}\n"
    cases = build_config(parse_yaml(text, "test"), "test").cases
    assert [case.model for case in cases] == own
    for case in cases:
        model = MODELS[case.model]
        assert (case.kernel.experts, case.kernel.top_k) == (model.experts, model.top_k)
        assert case.kernel.scaling == model.scaling


@pytest.mark.parametrize(
    ("name", "case_id"),
    [
        ("deepseek-v3", "moe_layer-bf16-8abad4cedc"),
        ("pangu-ultra-moe", "moe_layer-bf16-e61864fc48"),
        ("kimi-k3", "moe_layer-bf16-7271426893"),
        ("nemotron-3-super-120b-a12b", "moe_layer-bf16-1d2afba6ba"),
        ("gpt-oss-120b", "moe_layer-bf16-e96b78662d"),
    ],
)
def test_the_case_id_of_a_model_does_not_change(name, case_id):
    """Rows are paired by case_id: a change of the table must not change which cases they are."""
    text = f"kernels:\n  - {{kernel: moe_layer, model: {name}, dtype: bfloat16, tokens: 16}}\n"
    (case,) = build_config(parse_yaml(text, "test"), "test").cases
    assert case.case_id == case_id


def test_a_layer_takes_every_field_that_a_model_gives_it():
    names = kernels()["moe_layer"].parameter_names()
    assert set(get_model("deepseek-v3").moe_layer()) <= set(names)


def test_a_rumored_model_is_labeled():
    model = get_model("deepseek-1.2t-rumored")
    assert model.name == f"DeepSeek 1.2T ({ASSUMED})"
    assert get_model("deepseek-v3").name == "DeepSeek-V3 / R1"
    names = ["deepseek-v3", None, "deepseek-1.2t-rumored", "deepseek-1.2t-rumored", "unknown"]
    assert assumed_shapes(names) == [f"deepseek-1.2t-rumored is {ASSUMED}"]
    assert "the shape is ours" in model.notes
