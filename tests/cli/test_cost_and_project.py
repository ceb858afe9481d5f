"""`bench cost` and `bench project` as a user runs them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.cli.project_output import shape_assumptions
from bench.config.cases import Case, canonical_json
from bench.errors import InputWarning
from bench.kernels.moe.layer import MoeLayer
from bench.results.columns import COLUMNS
from bench.results.published import published_folder
from bench.results.writer import ResultFile
from tests.results.conftest import make_failed_row, make_row

PUBLISHED = published_folder()
GB = f"{get_chip('h100-sxm').memory_gb:g} GB"
H100 = PUBLISHED / "nvidia-h100.csv"
NPU = PUBLISHED / "ascend-910b2.csv"


def write(invoke, name, *rows):
    with ResultFile.create(invoke.folder / name) as file:
        for row in rows:
            file.append(row)
    return name


def layer_row(model, sharing):
    """A row of a small layer that goes by the name of a model."""
    widths = {"hidden": 8, "intermediate": 4, "experts": 64, "top_k": 2, "tokens": 64}
    kernel = MoeLayer(**widths, dtype="bfloat16", expert_parallel=sharing)
    parameters = kernel.parameters()
    columns = {column.name: parameters.get(column.name) for column in COLUMNS if column.parameter}
    identity = {"kernel": kernel.name, "case_id": Case(kernel).case_id, "model": model}
    return make_row(**columns, **identity, params=canonical_json(parameters), chip="h100-sxm")


def line_of(text, *words):
    """The only line with all of these words, as its words."""
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line.split()


def plain(text):
    """A text without its line breaks."""
    return " ".join(text.split())


def test_cost_of_products_and_tokens_beside_list_prices(invoke):
    text = invoke("cost", H100, "--price", "h100-sxm=2.99")
    assert line_of(text, "h100-sxm", "bf16 3329×1536×51200")[3:8] == [
        "865",
        "87",
        "%",
        "0.961",
        "2.80",
    ]
    assert "at 50 %" in text
    prompts, generated = text.split("$ per million generated tokens")
    assert line_of(prompts, "qwen3-30b-a3b on h100-sxm, bf16, 16384 tokens of prompts")
    assert line_of(prompts, "GPT-4o (2026-05-21)")[0] == "2.50", "the price of input"
    assert line_of(generated, "GPT-4o (2026-05-21)")[0] == "10.0", "the price of output"
    assert "$2.99 for h100-sxm, as given" in text
    assert "attention over earlier tokens" in text


def test_models_that_no_chip_holds_are_listed_with_the_reason(invoke):
    text = invoke("cost", H100)
    assert "deepseek-v3 on" not in text
    assert f"1 chip has {GB} for 1308 GB of routed experts" in plain(text)
    assert "--model NAME says how to measure what the chips hold" in text
    one = invoke("cost", H100, "--model", "qwen3-30b-a3b", "--context", "4096")
    assert "bench run layers.yaml -o layers.csv" in one


def test_rents_are_the_default_and_named(invoke):
    text = invoke("cost", H100, "--model", "qwen3-30b-a3b")
    assert "the median of these rents" in text
    assert "Lambda, 2026-05-18" in text
    assert "qwen3-30b-a3b on h100-sxm, bf16, 16 sequences" in text
    assert "per exaFLOP" not in text


def test_chips_that_share_the_experts_are_said_to(invoke):
    write(invoke, "shared.csv", layer_row("qwen3-30b-a3b", sharing=4))
    text = invoke("cost", "shared.csv")
    assert "qwen3-30b-a3b on 4 × h100-sxm, bf16, 64 sequences" in text
    assert "of 4 chips that share the experts" in plain(text)


def test_a_folder_that_holds_other_tables_too(invoke):
    folder = invoke.folder / "results"
    folder.mkdir()
    shutil.copy(H100, folder)
    (folder / "prices.csv").write_text("chip,usd\nh100,2\n")
    with pytest.warns(InputWarning, match="prices.csv: not a result file; left out"):
        text = invoke("cost", folder)
    assert text == invoke("cost", H100)


def test_electricity_is_added_where_power_is_known(invoke):
    write(invoke, "power.csv", make_row(chip="h100-sxm", power_w=1000.0))
    usual = ("cost", "power.csv", "--price", "h100-sxm=1", "--format", "csv")
    more = (*usual, "--energy-price", "1")
    dollars = [
        float(line_of(invoke(*command), "usd_per_exaflop")[0].split(",")[-3])
        for command in (usual, more)
    ]
    assert dollars[1] == pytest.approx(2 * dollars[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a result file"),
        (("missing.csv",), "no such file"),
        ((NPU,), "no published price of ascend-910b2: give one, --price ascend-910b2=$/H"),
        ((NPU, "--price", "ascend-910b2=0"), "expected a number from 0.001"),
        ((NPU, "--price", "ascend-910b2=-1"), "expected a number from 0.001"),
        ((NPU, "--price", "ascend-910b2=nan"), "expected a number from 0.001"),
        ((NPU, "--price", "ascend-901b2=1"), "did you mean 'ascend-910b2'"),
        ((H100, "--energy-price", "0"), "--energy-price: expected a number from 0.0001"),
        ((H100, "--model", "deepseek-v33"), "did you mean 'deepseek-v3'"),
        ((H100, "--context", "0"), "0 is not in the range"),
        ((H100, "--model", "gpt-oss-20b"), "no row of a layer of gpt-oss-20b; measure it on one"),
        ((H100, "--model", "deepseek-v3"), f"1 chip has {GB} for 1308 GB of routed"),
        ((H100, "--model", "deepseek-v3"), "bench run layers.yaml -o layers.csv"),
        (("simulated.csv",), "1 of 1 rows are of a simulated device"),
        (("failed.csv",), "no row with a measurement"),
    ],
)
def test_cost_mistakes(invoke, arguments, message):
    write(invoke, "simulated.csv", make_row(simulated=True))
    write(invoke, "failed.csv", make_failed_row("timeout"))
    assert message in invoke("cost", *arguments, status=2)


@pytest.mark.parametrize(
    ("name", "alias"), [("qwen3-30b-a3b", "qwen3-vl-30b-a3b"), ("kimi-k2", "kimi-k2.6")]
)
def test_an_alias_is_projected_and_priced_as_its_model(invoke, name, alias):
    training = ("--chip", "h100-sxm", "--chips", "2048", "--utilization", "0.4")
    assert invoke("project", alias, *training) == invoke("project", name, *training)
    if name == "qwen3-30b-a3b":
        assert invoke("cost", H100, "--model", alias) == invoke("cost", H100, "--model", name)


def test_attention_over_a_context_costs_more(invoke):
    usual = invoke("cost", H100, "--model", "qwen3-30b-a3b")
    assert "attention over earlier tokens" in usual
    behind = invoke("cost", H100, "--model", "qwen3-30b-a3b", "--context", "4096")
    assert "attention by each model's shape" in plain(behind)
    assert "left out communication, sampling, profit" in plain(behind)
    for name in ("bf16, 16 sequences", "bf16, 16384 tokens of prompts"):
        assert float(line_of(usual, name)[0]) < float(line_of(behind, name)[0])


def test_the_cheapest_of_each_phase_is_shown(invoke):
    text = invoke("cost", H100, "--context", "4096")
    lines = [line for line in text.splitlines() if "qwen3-30b-a3b on h100-sxm, bf16" in line]
    assert [line.split("bf16, ")[1].strip() for line in lines] == [
        "16384 tokens of prompts",
        "16 sequences",
    ]
    assert f"at 64, 256 tokens 1 chip has {GB} for" in text


def test_a_rumored_shape_is_said_to_be_an_assumption(invoke):
    rumor = "deepseek-1.2t-rumored"
    on = ("--chip", "h100-sxm", "--chips", "64")
    sentence = f"{rumor} is rumored; its shape is an assumption"
    trained = invoke("project", rumor, *on, "--utilization", "0.3")
    assert trained.startswith("Training DeepSeek 1.2T (rumored; its shape is an assumption) on 64")
    assert sentence in trained
    write(invoke, "rumor.csv", layer_row(rumor, sharing=64))
    served = invoke("project", rumor, *on, "--decode", "64", "--results", "rumor.csv")
    assert served.startswith("Inference of DeepSeek 1.2T (rumored; its shape is an assumption)")
    assert sentence in served
    assert sentence in invoke("cost", "rumor.csv")
    assert sentence in invoke("cost", "rumor.csv", "--model", rumor)


RUN = ("project", "deepseek-v3", "--chip", "h800-sxm", "--chips", "2048")


def test_training_with_every_assumption(invoke):
    arguments = ("--tokens", "14.8e12", "--utilization", "0.25..0.35", "--days", "60")
    text = invoke(*RUN, *arguments, "--published", "chip-hours=2.664e6")
    assert "3,076,059 [2,636,622, 3,691,271]" in text
    assert "chips for 60 days" in text
    assert "1.15 [0.990, 1.39]" in text
    for part in (
        "6 × 37 billion",
        "peak 989",
        "utilization 30 % [25 %, 35 %], as given",
        "efficiency 100 %",
    ):
        assert part in plain(text)


def test_training_by_the_measured_layer(invoke):
    text = plain(invoke("project", "qwen3-30b-a3b", "--chip", "h100-sxm", "--chips", "8"))
    assert "that of one layer in the forward pass at 16384 tokens per chip" in text
    assert "all experts on one chip" in text


def test_inference_and_its_memory(invoke):
    on = ("project", "qwen3-30b-a3b", "--chip", "h100-sxm", "--chips", "8", "--decode", "16")
    text = invoke(*on, "--prefill", "8192")
    assert "prefill, tokens per second and chip" in text
    assert f"61 GB of weights + 0 GB of keys and values of {GB}" in text
    assert "over keys and values left out" in text
    assert "share of attention" not in text
    assert "each holds the whole model" in text
    behind = invoke(*on, "--context", "4096")
    assert f"6.442 GB of keys and values of {GB}" in behind
    assert "402.7 MB of keys and values of 4096 tokens per sequence (by the model's" in behind
    assert line_of(behind, "decode, share of attention")[-2:] == ["9.56", "%"]
    given = invoke(*on, "--context", "4096", "--kv-bytes", "1000")
    assert f"0.06554 GB of keys and values of {GB}" in given
    assert "1000 per token, as given" in given


def test_attention_in_training_is_that_of_the_shape_or_as_given(invoke):
    at = ("--utilization", "0.3", "--sequence", "4096")
    text = invoke(*RUN, *at)
    assert "causal attention over sequences of 4096 tokens, by the model's shape" in text
    width = invoke(*RUN, *at, "--attention-width", str(128 * 320))
    assert "width 40960, as given" in width
    figure = line_of(text, "GFLOP per token")[1]
    assert f" {figure} GFLOP per token" in width, "DeepSeek-V3's layers are all alike"
    full = invoke(*RUN, *at, "--attention", "full")
    assert f" {figure} GFLOP per token" not in full


def test_a_size_that_is_not_published_is_counted_and_said_to_be():
    model = get_model("deepseek-v3").model_copy(update={"active_params_b": None})
    (assumption,) = shape_assumptions("deepseek-v3", model)
    assert assumption[1].endswith("is not published: counted from the shape")


QWEN = ("project", "qwen3-30b-a3b", "--chip", "h100-sxm", "--chips", "8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RUN,), "no row of deepseek-v3 on 2048 × h800-sxm in bfloat16"),
        ((*RUN[:-1], "0", "--utilization", "0.3"), "0 is not in the range"),
        ((*RUN, "--utilization", "nan"), "--utilization: expected a number from 0.0001 to 1"),
        ((*RUN, "--utilization", "1.2"), "--utilization: expected a number from 0.0001 to 1"),
        (
            (*RUN, "--utilization", "0.3", "--efficiency", "0"),
            "--efficiency: expected a number from 0.0001",
        ),
        ((*RUN, "--utilization", "0.3", "--tokens", "-1"), "--tokens: expected a number from 1"),
        ((*RUN, "--utilization", "0.3", "--days", "nan"), "--days: expected a number from 0.001"),
        ((*RUN, "--utilization", "0.3", "--days", "9"), "--days: needs --tokens"),
        (
            (*RUN, "--utilization", "0.3", "--attention-width", "9"),
            "--attention-width: needs --sequence",
        ),
        (
            (*RUN, "--utilization", "0.3", "--published", "hours=1"),
            "--published: expected WHAT=VALUE",
        ),
        ((*RUN, "--utilization", "0.3", "--dtype", "float4"), "no peak in float4 is known"),
        (("project", "deepseek-v33", *RUN[2:]), "did you mean 'deepseek-v3'"),
        ((*RUN[:3], "h800-smx", *RUN[4:]), "did you mean 'h800-sxm'"),
        ((*RUN, "--decode", "64"), "no row of deepseek-v3 on 2048 × h800-sxm in bfloat16"),
        ((*RUN, "--decode", "64", "--kv-bytes", "9"), "--kv-bytes: needs --context"),
        ((*RUN, "--decode", "64", "--context", "0"), "0 is not in the range"),
        ((*RUN, "--results", "simulated.csv"), "1 of 1 rows are of a simulated device"),
        (
            (*QWEN, "--decode", "99999"),
            "was measured from 1 to 16384 tokens per chip, not at 99999; measure it on one h100-sxm",
        ),
        (
            ("project", "deepseek-v3", *QWEN[2:4], "--chips", "32", "--decode", "64"),
            f"no row of deepseek-v3 on 32 × h100-sxm in bfloat16 fits: as measured, 1 chip has {GB}",
        ),
        (
            ("project", "deepseek-v3", *QWEN[2:], "--utilization", "0.3"),
            f"8 × h100-sxm with {GB} do not hold the 1342 GB of weights",
        ),
    ],
)
def test_project_mistakes(invoke, arguments, message):
    write(invoke, "simulated.csv", make_row(simulated=True))
    assert message in " ".join(invoke(*arguments, status=2).split())


def test_the_refusal_that_the_documentation_quotes(invoke):
    page = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")
    command, quoted = re.search(
        r"\$ bench (project deepseek-v3.*)\n((?:bench: .*\n)+)", page
    ).groups()
    message = invoke(*command.split(), status=2)
    said = "".join(f"bench: {line}\n" for line in message.splitlines())
    memory = r"has [\d.]+ GB"  # of a chip, which has a table of its own
    assert re.sub(memory, "", quoted) == re.sub(memory, "", said)


@pytest.mark.parametrize("command", [("cost", "missing.csv"), ("project", "x", *RUN[2:])])
def test_mistakes_end_in_a_sentence_and_exit_code_2(bench, command):
    stderr = bench(*command, status=2).stderr
    assert stderr.startswith("bench: ")
    assert "Traceback" not in stderr
