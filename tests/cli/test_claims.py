"""`bench claims` as a user runs it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bench.results.published import published_folder
from bench.results.writer import ResultFile

BAD = """
facts: {half: {value: 0.5, source: a book}}
claims:
  - {id: a, sentence: s, by: b, on: 2025-05, reading: r, refuted_if: x, expected: 1, formula: halff}
"""


def test_table(invoke):
    output = invoke("claims")
    for word in ("supported", "refuted", "mixed", "untestable", "0.367 to 0.565", "33.3"):
        assert word in output
    assert "  bench run matmul --backend ascend --filter dtype=bfloat16 -o ascend.csv" in output
    assert "0.75 ± 5 %" in output
    assert "Mixed in both readings." in output


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("details", [[], ["--details"]])
def test_it_fits(invoke, monkeypatch, width, details):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = invoke("claims", *details).splitlines()
    assert max(len(line) for line in lines if not line.startswith("  bench run")) <= width


def test_markdown_with_details_has_the_evidence(invoke):
    text = invoke("claims", "--details", "--format", "markdown", "--only", "effective-in-products")
    assert text.startswith("## What a podcast of May 2025 said")
    assert "#### effective-in-products: refuted (none of 5 cases)" in text
    assert "| bf16 8192×8192×8192 | 0.378 | fails |" in text
    assert "achieved_tflops\\[npu\\] / achieved_tflops\\[gpu\\]" in text


def test_csv_has_one_record_per_case(invoke):
    text = invoke("claims", "--format", "csv")
    records = list(csv.DictReader(io.StringIO(text, newline="")))
    products = [record for record in records if record["claim"] == "effective-in-products"]
    assert {record["outcome"] for record in products} == {"fails"}
    assert len(products) == 5
    assert {record["verdict"] for record in records} == {
        "supported",
        "refuted",
        "mixed",
        "untestable",
    }


def test_json_has_figures_rows_and_sources(invoke):
    findings = json.loads(invoke("claims", "--format", "json", "--only", "effective-in-products"))
    (claim,) = findings
    assert claim["verdict"] == "refuted"
    assert claim["typical"]["low"] < claim["typical"]["value"] < claim["typical"]["high"]
    assert len(claim["cases"]) == 5
    for case in claim["cases"]:
        assert [row["chip"] for row in case["evidence"]] == ["h100-sxm", "ascend-910b2"]
        assert all("github.com" in row["source"] for row in case["evidence"])


def test_given_results_are_evidence(invoke):
    """--no-published leaves a claim without rows; the file of the chip makes it testable again."""
    given = published_folder() / "ascend-910b2.csv"
    only = ("--only", "utilization-of-the-peak", "--no-published")
    assert "untestable" in invoke("claims", *only)
    assert "supported" in invoke("claims", given, *only)


def test_rows_of_simulated_devices_are_refused(invoke):
    from tests.results.conftest import make_row

    path = invoke.folder / "simulated.csv"
    with ResultFile.create(path) as file:
        file.append(make_row(simulated=True))
    message = invoke("claims", path, status=2)
    assert "1 of 1 rows are of a simulated device" in message
    invoke("claims", path, "--simulated")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2025-05-podcst",), "did you mean '2025-05-podcast'"),
        (("a.yaml", "b.yaml"), "one file of claims at a time"),
        (("missing.csv",), "missing.csv: no such file"),
        (("--only", "half-the-parametres"), "did you mean 'half-the-parameters'"),
        (
            ("bad.yaml",),
            "bad.yaml:4: claims[0].formula: unknown fact 'halff' (did you mean 'half'?)",
        ),
    ],
)
def test_mistakes(invoke, arguments, message):
    (invoke.folder / "bad.yaml").write_text(BAD)
    assert message in invoke("claims", *arguments, status=2)


def test_a_mistake_is_a_message_and_exit_code_2(bench):
    message = bench("claims", "missing.csv", status=2).stderr
    assert message == "bench: missing.csv: no such file\n"
