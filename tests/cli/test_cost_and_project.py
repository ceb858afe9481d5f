"""`bench cost` and `bench project` as a user runs them."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.errors import InputWarning
from bench.kernels.moe.layer import MoeLayer
from bench.results.published import published_folder
from bench.results.writer import ResultFile
from tests.results.conftest import make_failed_row, make_row

PUBLISHED = published_folder()
H100 = PUBLISHED / "nvidia-h100.csv"
NPU = PUBLISHED / "ascend-910b2.csv"


def write(invoke, name, *rows):
    with ResultFile.create(invoke.folder / name) as file:
        for row in rows:
            file.append(row)
    return name


def test_cost_of_products_and_tokens_beside_list_prices(invoke):
    shown = invoke("cost", H100, "--price", "h100-sxm=2.99")
    assert "h100-sxm bfloat16: $0.961 per exaFLOP" in shown
    assert "at 50 % of the peak" in shown
    assert "deepseek-v3 on h100-sxm" in shown
    assert "GPT-4o (2026-05-21)" in shown
    assert "$2.99, as given" in shown
    assert "left out: attention over earlier tokens" in shown


def test_rents_are_the_default_and_named(invoke):
    shown = invoke("cost", H100, "--model", "deepseek-v3")
    assert "the median of these rents" in shown
    assert "Lambda, 2026-05-18" in shown
    assert "deepseek-v3 on h100-sxm, bfloat16, 16 tokens" in shown
    assert "per exaFLOP" not in shown


def test_a_folder_that_holds_other_tables_too(invoke):
    folder = invoke.folder / "mine"
    folder.mkdir()
    shutil.copy(H100, folder)
    (folder / "prices.csv").write_text("chip,usd\nh100,2\n")
    with pytest.warns(InputWarning, match="prices.csv: not a result file; left out"):
        shown = invoke("cost", folder)
    assert shown == invoke("cost", H100)


def test_electricity_is_added_where_power_is_known(invoke):
    write(invoke, "power.csv", make_row(chip="h100-sxm", power_w=1000.0))
    plain = invoke("cost", "power.csv", "--price", "h100-sxm=1")
    more = invoke("cost", "power.csv", "--price", "h100-sxm=1", "--energy-price", "1")

    def dollars(text):
        return float(text.split("$")[1].split()[0].replace(",", ""))

    assert dollars(more) == pytest.approx(2 * dollars(plain), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a result file"),
        (("missing.csv",), "no such file"),
        ((NPU,), "no published price of ascend-910b2: give one, --price ascend-910b2=$/H"),
        ((NPU, "--price", "ascend-910b2=0"), "expected more than 0"),
        ((NPU, "--price", "ascend-910b2=-1"), "expected more than 0"),
        ((NPU, "--price", "ascend-910b2=nan"), "expected more than 0"),
        ((NPU, "--price", "ascend-901b2=1"), "did you mean 'ascend-910b2'"),
        ((H100, "--energy-price", "0"), "--energy-price: expected more than 0"),
        ((H100, "--model", "deepseek-v33"), "did you mean 'deepseek-v3'"),
        ((H100, "--context", "0"), "0 is not in the range"),
        ((H100, "--model", "gpt-oss-20b"), "no row of a layer of gpt-oss-20b"),
        (("simulated.csv",), "1 of 1 rows are of a simulated device"),
        (("failed.csv",), "no row with a measurement"),
    ],
)
def test_cost_mistakes(invoke, arguments, message):
    write(invoke, "simulated.csv", make_row(simulated=True))
    write(invoke, "failed.csv", make_failed_row("timeout"))
    assert message in invoke("cost", *arguments, status=2)


def test_attention_over_a_context_costs_more(invoke):
    plain = invoke("cost", H100, "--model", "deepseek-v3")
    assert "attention over earlier tokens (--context counts it)" in plain
    shown = invoke("cost", H100, "--model", "deepseek-v3", "--context", "4096")
    assert "attention by each model's shape" in shown
    assert "left out: communication, sampling, profit" in shown

    def dollars(text, name):
        (line,) = [line for line in text.splitlines() if line.endswith(name)]
        return float(line.split()[0])

    for before, after in (
        ("bfloat16, 256 tokens", "bfloat16, decoding 256 sequences"),
        ("bfloat16, 16384 tokens", "bfloat16, prefill of 16384 tokens"),
    ):
        assert dollars(plain, before) < dollars(shown, after)


def test_with_attention_the_cheapest_of_each_phase_is_shown(invoke):
    shown = invoke("cost", H100, "--context", "4096")
    lines = [line for line in shown.splitlines() if "deepseek-v3 on h100-sxm, bfloat16" in line]
    assert [line.split("bfloat16, ")[1].split()[0] for line in lines] == ["prefill", "decoding"]


def test_a_rumored_shape_is_said_to_be_an_assumption(invoke):
    rumor = "deepseek-1.2t-rumored"
    on = ("--chip", "h100-sxm", "--chips", "64")
    sentence = f"- {rumor} is rumored; its shape is an assumption"
    trained = invoke("project", rumor, *on, "--utilization", "0.3")
    assert trained.startswith("Training DeepSeek 1.2T (rumored; its shape is an assumption) on 64")
    assert sentence in trained
    shape = {"hidden": 8, "intermediate": 4, "experts": 4, "top_k": 2, "tokens": 64}
    layer = MoeLayer(**shape, dtype="bfloat16")
    write(invoke, "rumor.csv", make_row(layer, model=rumor, chip="h100-sxm"))
    served = invoke("project", rumor, *on, "--decode", "64", "--results", "rumor.csv")
    assert served.startswith("Inference of DeepSeek 1.2T (rumored; its shape is an assumption)")
    assert sentence in served
    assert sentence in invoke("cost", "rumor.csv")
    assert sentence in invoke("cost", "rumor.csv", "--model", rumor)


RUN = ("project", "deepseek-v3", "--chip", "h800-sxm", "--chips", "2048")


def test_training_with_every_assumption(invoke):
    arguments = ("--tokens", "14.8e12", "--utilization", "0.25..0.35", "--days", "60")
    shown = invoke(*RUN, *arguments, "--published", "chip-hours=2.664e6")
    assert "3,076,059 [2,636,622, 3,691,271]" in shown
    assert "chips for 60 days" in shown
    assert "1.15 [0.990, 1.39]" in shown
    for text in ("6 × 37 billion", "peak 989", "0.300 [0.250, 0.350], assumed", "efficiency 1"):
        assert text in shown


def test_training_by_the_measured_layer(invoke):
    shown = invoke("project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8")
    assert "measured: one layer in the forward pass at 16384 tokens" in shown


def test_inference_and_whether_it_fits(invoke):
    on = ("project", "deepseek-v3", "--chip", "h100-sxm", "--decode", "256")
    shown = invoke(*on, "--chips", "32", "--prefill", "8192")
    assert "prefill, tokens a second and chip" in shown
    assert "41.94 GB of weights + 0 GB of keys and values of 85.52 GB: fits" in shown
    assert "attention over keys and values left out" in shown
    assert "share of attention" not in shown
    own = invoke(*on, "--chips", "32", "--context", "4096")
    assert "73.69 GB of keys and values of 85.52 GB: does not fit" in own
    assert "287.8 MB of keys and values of 4096 tokens a sequence (by the model's shape" in own
    assert "decode, share of attention" in own
    given = invoke(*on, "--chips", "32", "--context", "4096", "--kv-bytes", "1000")
    assert "1.049 GB of keys and values of 85.52 GB: fits" in given
    assert "1000 a token, as given" in given


def test_attention_in_training_is_that_of_the_shape_or_as_given(invoke):
    at = ("--utilization", "0.3", "--sequence", "4096")
    shown = invoke(*RUN, *at)
    assert "causal attention over sequences of 4096 tokens, by the model's shape" in shown
    width = invoke(*RUN, *at, "--attention-width", str(128 * 320))
    assert "width 40960, as given" in width
    figure = next(line for line in shown.splitlines() if "GFLOP a token" in line).split()[1]
    assert f"- {figure} GFLOP a token" in width, "DeepSeek-V3's layers are all alike"
    full = invoke(*RUN, *at, "--attention", "full")
    assert f"- {figure} GFLOP a token" not in full


def test_sizes_that_are_not_published_are_counted_and_said_to_be(invoke):
    shown = invoke("project", "kimi-k3", *RUN[2:], "--utilization", "0.3")
    assert "6 × 105.4 billion active parameters" in shown
    assert "not published: counted from the shape" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RUN,), "no row of deepseek-v3 on h800-sxm in bfloat16"),
        ((*RUN[:-1], "0", "--utilization", "0.3"), "0 is not in the range"),
        ((*RUN, "--utilization", "nan"), "--utilization: expected more than 0 and at most 1"),
        ((*RUN, "--utilization", "1.2"), "--utilization: expected more than 0 and at most 1"),
        ((*RUN, "--utilization", "0.3", "--efficiency", "0"), "--efficiency: expected more than 0"),
        ((*RUN, "--utilization", "0.3", "--tokens", "-1"), "--tokens: expected more than 0"),
        ((*RUN, "--utilization", "0.3", "--days", "nan"), "--days: expected more than 0"),
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
        ((*RUN, "--decode", "64"), "no row of deepseek-v3 on h800-sxm in bfloat16"),
        ((*RUN, "--decode", "64", "--kv-bytes", "9"), "--kv-bytes: needs --context"),
        ((*RUN, "--decode", "64", "--context", "0"), "0 is not in the range"),
        ((*RUN, "--results", "simulated.csv"), "1 of 1 rows are of a simulated device"),
        (
            ("project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8", "--decode", "99999"),
            "was measured from 1 to 16384 tokens a device, not at 99999",
        ),
    ],
)
def test_project_mistakes(invoke, arguments, message):
    write(invoke, "simulated.csv", make_row(simulated=True))
    assert message in " ".join(invoke(*arguments, status=2).split())


def test_costs_for_other_programs(invoke):
    arguments = ("cost", H100, "--price", "h100-sxm=2.99", "--context", "4096")
    data = json.loads(invoke(*arguments, "--format", "json"))
    product = next(each for each in data["products"] if each["dtype"] == "bfloat16")
    assert product["usd_per_exaflop"]["value"] == pytest.approx(0.961, abs=5e-4)
    assert product["row"]["file"] == str(H100)
    at_half = product["usd_at_utilization"]["0.5"]["value"]
    assert at_half == pytest.approx(2.99e6 / 3600 / (989.5 * 0.5), rel=1e-3)
    assert {each["phase"] for each in data["tokens"]} == {"prefill", "decode"}
    assert data["hours"] == [
        {"chip": "h100-sxm", "usd": {"value": 2.99, "low": 2.99, "high": 2.99}, "sources": []}
    ]
    assert (data["context"], data["usd_per_kwh"]) == (4096, None)


def test_projections_for_other_programs(invoke):
    arguments = ("--tokens", "14.8e12", "--utilization", "0.25..0.35", "--days", "60")
    data = json.loads(invoke(*RUN, *arguments, "--format", "json"))
    assert data["chip_hours"]["value"] == pytest.approx(3_076_059, abs=1)
    assert data["plan"]["deadline_days"] == 60
    assert data["over_published"] is None
    assert any("parallel efficiency 1" in text for text in data["assumptions"])
    on = ("project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "32")
    served = json.loads(invoke(*on, "--decode", "256", "--context", "4096", "--format", "json"))
    assert served["fits"] is False
    assert served["cache_gb"] == pytest.approx(73.69, abs=0.01)
    assert [each["phase"] for each in served["phases"]] == ["decode"]


@pytest.mark.parametrize("command", [("cost", "missing.csv"), ("project", "x", *RUN[2:])])
def test_mistakes_end_in_a_sentence_and_exit_code_2(bench, command):
    said = bench(*command, status=2).stderr
    assert said.startswith("bench: ")
    assert "Traceback" not in said
