"""`bench cost` and `bench project` for other programs, pull requests and spreadsheets."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bench.results.published import published_folder

H100 = published_folder() / "nvidia-h100.csv"
RUN = ("project", "deepseek-v3", "--chip", "h800-sxm", "--chips", "2048")
QWEN = ("project", "qwen3-30b-a3b", "--chip", "h100-sxm", "--chips", "8")


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
    assert any("100 % is left by communication" in text for text in data["assumptions"])
    on = (*QWEN, "--decode", "16", "--context", "4096", "--format", "json")
    served = json.loads(invoke(*on))
    assert served["fits"] is True
    assert served["cache_gb"] == pytest.approx(6.442, abs=0.001)
    assert served["measured"]["expert_parallel"] == 1
    assert [each["phase"] for each in served["phases"]] == ["decode"]


@pytest.mark.parametrize(
    "command",
    [
        ("cost", H100, "--context", "4096"),
        ("cost", H100, "--model", "qwen3-30b-a3b"),
        (*RUN, "--tokens", "14.8e12", "--utilization", "0.25..0.35", "--published", "days=57"),
        (*QWEN, "--prefill", "8192", "--decode", "16", "--context", "4096"),
    ],
)
def test_tables_for_pull_requests_and_spreadsheets(invoke, command):
    markdown = invoke(*command, "--format", "markdown")
    assert markdown.startswith("### ")
    assert "### Assumptions\n\n| about | assumed |\n" in markdown
    records = list(csv.DictReader(io.StringIO(invoke(*command, "--format", "csv"))))
    data = json.loads(invoke(*command, "--format", "json"))
    values = [float(record["value"]) for record in records]
    assert all(
        float(r["low"]) <= v <= float(r["high"]) for r, v in zip(records, values, strict=True)
    )
    if command[0] == "cost":
        count = sum(len(data[name]) for name in ("hours", "products", "tokens"))
        assert len(records) == count
    elif "tokens_per_s" in data:
        assert values[0] == data["tokens_per_s"]["value"]
    else:
        assert values[0] == data["phases"][0]["tokens_per_s"]["value"]
