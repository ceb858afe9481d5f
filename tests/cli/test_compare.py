"""`bench compare` as a user runs it: tables, formats, exit codes, and bad files."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bench.results.published import published_folder
from bench.results.writer import ResultFile
from tests.results.conftest import make_failed_row, make_row


@pytest.fixture
def files(tmp_path):
    """Two files: `b` is half as fast at the first case and has no partner for another."""
    rows = [make_row(m, chip="a", host="=h()") for m in (64, 65, 66)]
    with ResultFile.create(tmp_path / "a.csv") as file:
        for row in (*rows, make_failed_row("timeout", 70, chip="a")):
            file.append(row)
    with ResultFile.create(tmp_path / "b.csv") as file:
        twice = make_row(64, host="=h()", time_median_s=5e-5)
        for row in (twice, rows[1], make_row(80)):
            file.append({**row, "chip": "b <b>|b"})
    return tmp_path


def test_the_table_has_ratios_verdicts_and_what_is_missing(files, invoke):
    output = invoke("compare", "a.csv", "b.csv")
    for text in (
        "b <b>|b against a: 2 shared cases",
        "all: every case that both have",
        "matmul bf16 64×32×16",
        "0.500",
        "slower",
        "a: 1 row left out: not measured (status is not ok)",
        "a: 1 case without a partner: b <b>|b has no such case",
        "matmul bf16 66×32×16",
        "b <b>|b: 1 case without a partner: a has no such case",
    ):
        assert text in output, text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(files, invoke, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    output = invoke("compare", "a.csv", "b.csv")
    assert max(map(len, output.splitlines())) <= width


def test_json_has_everything_and_no_nan(files, invoke):
    comparison = json.loads(invoke("compare", "a.csv", "b.csv", "--format", "json"))
    assert (comparison["base"], comparison["others"]) == ("a", ["b <b>|b"])
    assert [pair["verdict"] for pair in comparison["pairs"]] == ["slower", "undecided"]
    assert comparison["pairs"][0]["ratio"] == pytest.approx(0.5)
    assert comparison["pairs"][0]["energy_ratio"] is None
    assert {row["set"] for row in comparison["sets"]} == {"matmul", "all"}
    assert len(comparison["unpaired"]) == 2


def test_csv_has_no_formulas(files, invoke):
    text = invoke("compare", "a.csv", "b.csv", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in rows] == ["slower", "undecided"]
    assert not any(value[:1] in "=+@" for row in rows for value in row.values() if value)


def test_markdown_escapes_names(files, invoke):
    text = invoke("compare", "a.csv", "b.csv", "--format", "markdown")
    assert "<b>" not in text
    assert "b &lt;b&gt;\\|b against a" in text
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    assert tables
    assert "| matmul bf16 64×32×16 |" in text


def test_conditions_for_ci(files, invoke):
    assert "slower" in invoke("compare", "a.csv", "b.csv", "--fail-on", "slower", status=1)
    assert "0.500" in invoke("compare", "a.csv", "b.csv", "--fail-below", "0.95", status=1)
    invoke("compare", "a.csv", "b.csv", "--fail-below", "0.4")
    invoke("compare", "b.csv", "a.csv", "--fail-on", "slower")


def test_sides_of_the_same_chip_are_named_by_file(files, invoke):
    with ResultFile.create(files / "after.csv") as file:
        file.append(make_row(64, chip="a"))
    assert "after against a" in invoke("compare", "a.csv", "after.csv")


def test_rounds_are_used(tmp_path, invoke):
    for name, factor in (("a", 1.0), ("b", 2.0)):
        row = make_row(64, chip=name, time_median_s=2.5e-5 * factor)
        medians = [row["time_median_s"] * (1 + 0.001 * place) for place in range(-4, 5)]
        row |= {"rounds": 9, "round_medians_s": " ".join(f"{median:.9g}" for median in medians)}
        with ResultFile.create(tmp_path / f"{name}.csv") as file:
            file.append(row)
    output = invoke("compare", "a.csv", "b.csv")
    assert "95 % intervals: 1 from their rounds" in output
    assert "slower" in output


def test_a_file_without_rounds_counts_as_single_visits(tmp_path, invoke):
    for name, factor in (("a", 1.0), ("b", 1.05)):
        row = make_row(64, chip=name, time_median_s=2.5e-5 * factor)
        row |= {"rounds": None, "round_medians_s": None}
        with ResultFile.create(tmp_path / f"{name}.csv") as file:
            file.append(row)
    assert "1 undecided" in invoke("compare", "a.csv", "b.csv")


def test_published_results(invoke):
    folder = published_folder()
    output = invoke("compare", folder / "nvidia-h100.csv", folder / "ascend-910b2.csv")
    assert "ascend-910b2 against h100-sxm: 15 shared cases" in output
    assert "0.358 (peak)" in output
    answer = (
        "Huawei Ascend 910B2 reaches 0.39 of the rate of NVIDIA H100 SXM5 on bfloat16 products with m, n "
        "and k of 2048 and more (0.37 to 0.42 in 4 cases); 0.36 is expected from the data sheets."
    )
    assert answer in " ".join(output.split())
    assert "slower, no interval" in output
    assert "undecided" not in output


def test_an_unknown_interval_is_not_decided(invoke):
    files = (published_folder() / name for name in ("nvidia-h100.csv", "ascend-910b2.csv"))
    message = invoke("compare", *files, "--fail-on", "undecided", status=1)
    assert "slower, no interval" in message


def test_one_case_has_no_range(tmp_path, invoke):
    for name, factor in (("a", 1.0), ("b", 2.0)):
        row = make_row(64, chip=name, time_median_s=2.5e-5 * factor)
        with ResultFile.create(tmp_path / f"{name}.csv") as file:
            file.append(row)
    assert "b reaches 0.50 of the rate of a on all matrix products (one case)" in invoke(
        "compare", "a.csv", "b.csv"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv"], "name at least one other file"),
        (["a.csv", "none.csv"], "none.csv: no such file"),
        (["a.csv", "*.tsv"], "no file matches"),
        (["a.csv", "b.csv", "--base", "c"], "no device 'c'; there are: a, b"),
        (["a.csv", "a.csv"], "name each file once"),
        (["a.csv", "c.csv"], "no case in common"),
        (["both.csv", "a.csv"], "both.csv has several chips: choose one with --base"),
        (["a.csv", "broken.csv"], "broken.csv: line 2: time_median_s: expected"),
    ],
)
def test_mistakes(files, invoke, arguments, message):
    with ResultFile.create(files / "c.csv") as file:
        file.append(make_row(99, chip="c"))
    with ResultFile.create(files / "both.csv") as file:
        file.append(make_row(64, chip="x"))
        file.append(make_row(64, chip="y", device_index=1))
    content = (files / "b.csv").read_bytes()
    (files / "broken.csv").write_bytes(content.replace(b",5e-05,", b",-5e-05,", 1))
    assert message in invoke("compare", *arguments, status=2)


def test_samples_are_not_read(files, invoke):
    """The rounds are in the rows; 10⁵ samples per case would take a minute to read."""
    (files / "b.pyperf.json").write_text("{")
    assert "2 shared cases" in invoke("compare", "a.csv", "b.csv")
    assert "b.pyperf.json: not a file of samples" in invoke(
        "report", "b.csv", "-o", "b.html", status=2
    )
