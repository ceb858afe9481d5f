"""`bench show`: tables for people, CSV and JSON for other programs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bench.config.cases import canonical_json
from bench.results.columns import COLUMNS, NAMES
from bench.results.load import load
from bench.results.published import published_folder
from bench.results.reader import read_rows
from tests.results.bad_files import sound
from tests.results.conftest import make_failed_row, make_row


@pytest.fixture
def file(tmp_path):
    """Two sections with stages, a warning, a failed case and an unknown kernel."""
    parameters = {"dtype": "float32", "m": 67, "pass": "forward", "tokens": 7}
    other = {
        **{column.name: None for column in COLUMNS if column.parameter},
        **parameters,
        "params": canonical_json(parameters | {"cache": "cold", "inputs": "normal"}),
        "cache": "cold",
        "inputs": "normal",
        "kernel": "other",
        "case_id": "other-f32-0123456789",
    }
    rows = [
        make_row(64, warnings="the clock fell"),
        make_row(
            65,
            time_median_s=1e-5,
            implementation="triton",
            started_at="2026-01-02T00:00:00.123456Z",
        ),
        make_failed_row("timeout", 66),
        make_row(64, warnings="the clock fell", device_index=1, power_w=350.0, tokens_per_s=9.0),
        make_row(**other),
        make_row(**other, stage="gate"),
    ]
    (tmp_path / "r.csv").write_bytes(sound(*rows))
    return tmp_path / "r.csv"


def test_rows_are_in_sections_with_remarks(file, invoke):
    output = invoke("show", "r.csv")
    assert output.splitlines()[0].rstrip() == "r.csv: 6 rows: 5 ok, 1 timeout"
    assert "2.0 GHz (cpu), node-1, torch 2.13.0, 2026-01-02" in output
    lines = [line.split() for line in output.splitlines()]
    assert ["matmul", "bf16"] in lines
    assert ["other", "f32", "forward"] in lines
    assert lines.index(["matmul", "bf16"]) < lines.index(["other", "f32", "forward"])
    words = " ".join(output.split())
    assert "64×32×16 0 25.0 µs 6.0 % 0.00262 0.287 0 % – – compute ok!" in words
    assert "65×32×16 (triton) 0 10.0 µs 6.0 %" in words
    assert "66×32×16 0 – – – – – – – – timeout" in words
    assert "tokens=7 0 25.0 µs" in words
    assert " gate 0 25.0 µs" in words, "a stage follows its case without its name"
    assert "warning: matmul bf16 64×32×16 and 1 more: the clock fell" in words
    assert "timeout: matmul bf16 66×32×16: no answer within the case timeout" in words


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", ["ascend-910b.csv", "nvidia-h100.csv"])
def test_it_fits(invoke, monkeypatch, width, name):
    monkeypatch.setenv("COLUMNS", str(width))
    output = invoke("show", published_folder() / name, "--filter", "kernel=matmul|grouped_matmul")
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output


def test_empty_columns_are_left_out(file, invoke):
    header = next(
        line.split() for line in invoke("show", "r.csv").splitlines() if line.startswith("case")
    )
    assert header[:7] == ["case", "dev", "time", "±", "TFLOP/s", "GB/s", "util"]
    assert "ceil" not in header
    assert "chip" not in header
    assert "W" in header


def test_sorting_and_filtering(file, invoke):
    def m_column(*arguments):
        text = invoke(
            "show", "r.csv", "--format", "json", "--columns", "m,implementation", *arguments
        )
        return [row["m"] for row in json.loads(text)]

    assert m_column() == [64, 65, 66, 64, 67, 67]
    assert m_column("--sort", "-m") == [67, 67, 66, 65, 64, 64]
    assert m_column("--sort", "time_median_s,-device_index,m") == [65, 64, 64, 67, 67, 66]
    assert m_column("--filter", "kernel=matmul,m=64|65") == [64, 65, 64]
    assert m_column("--filter", "status=timeout") == [66]
    assert m_column("--filter", "kernel=other,stage=gate") == [67]


def test_named_columns(file, invoke, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    chosen = ["--columns", "m,time_median_s,utilization,warnings,started_at"]
    words = " ".join(invoke("show", "r.csv", *chosen).split())
    assert "m time_median_s utilization warnings started_at" in words
    assert "65 10.0 µs 0.004437 – 2026-01-02 00:00:00" in words
    message = invoke("show", "r.csv", "--columns", ",".join(NAMES[:20]), status=2)
    assert "these 20 need" in message
    assert "--format csv" in message


def test_csv_is_the_file_again(file, invoke):
    assert invoke("show", "r.csv", "--format", "csv") == file.read_text()


def test_csv_of_some_rows_is_a_result_file(file, invoke, tmp_path):
    text = invoke("show", "r.csv", "--filter", "m=65", "--format", "csv")
    (tmp_path / "s.csv").write_text(text, newline="")
    assert read_rows(tmp_path / "s.csv") == [read_rows(file)[1]]


def test_csv_of_some_columns(file, invoke):
    text = invoke("show", "r.csv", "--format", "csv", "--columns", "m,file", "--filter", "m=65")
    assert list(csv.reader(io.StringIO(text))) == [["m", "file"], ["65", "r.csv"]]


def test_json_is_the_rows(file, invoke):
    assert json.loads(invoke("show", "r.csv", "--format", "json")) == read_rows(file)


def test_markdown(file, invoke):
    text = invoke("show", "r.csv", "--format", "markdown")
    assert "### matmul bf16\n\n| case | dev | time |" in text
    assert "| 65×32×16 (triton) | 0 | 10.0 µs |" in text
    assert "- warning: matmul bf16 64×32×16 and 1 more: the clock fell" in text


def test_simulated_rows_are_labeled(invoke, tmp_path):
    (tmp_path / "r.csv").write_bytes(sound(make_row(simulated=True), make_row(65)))
    assert "1 of them of a simulated device: they are no measurement" in invoke("show", "r.csv")


def test_no_rows(invoke, tmp_path):
    (tmp_path / "r.csv").write_bytes(sound().splitlines(keepends=True)[0])
    assert invoke("show", "r.csv").strip() == "r.csv: 0 rows"
    assert json.loads(invoke("show", "r.csv", "--format", "json")) == []


def test_a_long_file_is_cut_without_all(invoke, tmp_path):
    rows = (make_row(64, device_index=index) for index in range(1001))
    (tmp_path / "r.csv").write_bytes(sound(*rows))
    assert "and 1 more rows; --all shows them" in invoke("show", "r.csv")
    assert "more rows" not in invoke("show", "r.csv", "--all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a result file"),
        (["none.csv"], "none.csv: no such file"),
        (["r.csv", "--sort", "util"], "--sort: no column 'util' (did you mean 'utilization'?)"),
        (["r.csv", "--columns", "m,dtpye"], "--columns: no column 'dtpye' (did you mean 'dtype'?)"),
        (["r.csv", "--filter", "dtpye=int8"], "unknown key 'dtpye' (did you mean 'dtype'?)"),
        (["r.csv", "--filter", "dtype"], "'dtype' is not KEY=VALUE"),
        (["r.csv", "--filter", "dtype=int8"], "in these rows dtype is bfloat16, float32"),
    ],
)
def test_mistakes(file, invoke, arguments, message):
    assert message in invoke("show", *arguments, status=2)


def test_all_published_rows_survive_the_round_trip(invoke):
    path = published_folder() / "nvidia-l40s.csv"
    text = invoke("show", path, "--format", "csv")
    assert len(load(path)) > 100
    assert text == path.read_text()
