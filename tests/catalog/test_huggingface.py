"""Models from a config.json: the shipped entries agree with their configs, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.catalog.huggingface import read_model
from bench.catalog.huggingface_families import FAMILIES
from bench.catalog.huggingface_import import entry, read_file
from bench.catalog.model_size import active_parameters, total_parameters
from bench.catalog.models import Model, get_model
from bench.errors import UsageError

# The fields of each config that decide a shape, from the sources that models.yaml names. The 96 heads of
# Step-3.7's sliding layers are from another file than its config, and Ling-1T's fields from its GGUF file.
CONFIGS = json.loads(
    (Path(__file__).parents[1] / "data" / "model_configs.json").read_text(encoding="utf-8")
)
NOT_IN_A_CONFIG = {
    *("id", "title", "aliases", "status", "released", "source", "notes"),
    *("total_params_b", "active_params_b", "total_counts", "active_counts"),
}


def shape(model):
    return model.model_dump(exclude=NOT_IN_A_CONFIG)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_shipped_model_is_what_its_config_says(name):
    assert shape(read_model(name, CONFIGS[name], "config.json")) == shape(get_model(name))


def test_an_indexer_is_read():
    model = read_model("deepseek-v3.2", CONFIGS["deepseek-v3.2"], "config.json")
    (kind,) = model.attention
    assert (kind.index_heads, kind.index_dim, kind.index_keys) == (64, 128, 2048)
    assert model.moe_layer() == get_model("deepseek-v3").moe_layer()


def test_an_entry_is_read_again(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS["kimi-k3"]))
    model = read_file(path, "my-model", "My Model")
    (fields,) = yaml.safe_load(entry(model)).values()
    assert Model(id="my-model", **fields) == model
    assert (model.title, model.total_params_b) == ("My Model", None)
    assert total_parameters(model) == total_parameters(get_model("kimi-k3"))
    assert "SiTU" in model.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type: 'llama' is not known.*known: "),
        ({"model_type": None}, "model_type: None is not known"),
        ({"hidden_act": "mish"}, "the activation 'mish' is not known"),
        ({"scoring_func": "tanh"}, "the gate's function 'tanh' is not known"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "7168"}, "hidden_size: expected a whole number, got '7168'"),
        ({"n_routed_experts": True}, "n_routed_experts.*expected a whole number, got True"),
        ({"num_attention_heads": -1}, "expected a whole number, got -1"),
        ({"mlp_layer_types": 3}, "mlp_layer_types: expected a list"),
    ],
)
def test_a_config_that_is_not_understood_is_refused(change, message):
    with pytest.raises(UsageError, match=f"config.json: .*{message}"):
        read_model("x", CONFIGS["deepseek-v3"] | change, "config.json")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("hunyuan-a13b", {"moe_topk": [8] * 31 + [4]}, "moe_topk: expected a whole number"),
        ("arctic", {"moe_layer_frequency": 2}, "moe_layer_frequency: expected 1"),
        ("jamba-v0.1", {"mamba_dt_rank": None}, "mamba_dt_rank is missing"),
        ("granite-4.0-h-small", {"layer_types": ["conv"] * 40}, "unknown type of layer 'conv'"),
        ("longcat-flash", {"num_layers": None}, "num_layers is missing"),
    ],
)
def test_a_family_that_differs_from_what_is_known_is_refused(name, change, message):
    with pytest.raises(UsageError, match=message):
        read_model("x", CONFIGS[name] | change, "config.json")


def test_equal_fields_in_other_spellings():
    """Of transformers 5 and of older files: types of layers by name, and sizes that follow from others."""
    spellings = {
        "granite-4.0-h-small": {
            "mamba_d_head": "auto",
            "layer_types": ["linear_attention"] * 36 + ["full_attention"] * 4,
        },
        "jamba-v0.1": {"mamba_dt_rank": "auto"},
        "k-exaone-236b-a23b": {"mlp_layer_types": ["dense"] + ["sparse"] * 47},
        "hunyuan-a13b": {"moe_topk": 8, "num_shared_expert": 1},
    }
    for name, change in spellings.items():
        assert shape(read_model(name, CONFIGS[name] | change, "x")) == shape(get_model(name))


def test_the_language_model_of_a_model_of_sound_and_images():
    """Qwen3-Omni's `thinker_config`, with the language model of Qwen3-30B-A3B in it."""
    text = CONFIGS["qwen3-30b-a3b"] | {"model_type": "qwen3_omni_moe_text"}
    omni = {"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": text}}
    assert shape(read_model("x", omni, "x")) == shape(get_model("qwen3-30b-a3b"))


def test_what_a_case_of_a_family_leaves_out_is_noted():
    assert "SparseMixer" in read_model("x", CONFIGS["phi-3.5-moe"], "x").notes
    assert "averages" in read_model("x", CONFIGS["command-a-plus"], "x").notes


def test_an_unknown_type_of_layer_is_refused():
    config = json.loads(json.dumps(CONFIGS["gpt-oss-20b"]))
    config["layer_types"][3] = "ring_attention"
    with pytest.raises(UsageError, match="unknown type of layer 'ring_attention'"):
        read_model("x", config, "config.json")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=2)
)


@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_a_damaged_config_ends_in_a_sentence(name, data):
    config = json.loads(json.dumps(CONFIGS[name]))
    part = config.get("text_config", config)
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(VALUES)
    try:
        model = read_model("x", config, "config.json")
    except (UsageError, ValidationError):
        return
    assert active_parameters(model) <= total_parameters(model)


def test_every_family_that_a_test_can_know_is_tested():
    tested = {config.get("text_config", config)["model_type"] for config in CONFIGS.values()}
    assert tested <= set(FAMILIES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object, got a list"),
        ("[" * 100_000, "not JSON"),
        ('{"model_type": "mixtral"}', "is missing"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_file(path, "x")


def test_a_name_is_checked(tmp_path):
    with pytest.raises(UsageError, match="--name: 'My Model' is no name"):
        read_file(tmp_path / "config.json", "My Model")
