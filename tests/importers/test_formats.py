"""Results of other benchmarks become rows; what has no counterpart is counted, what is damaged refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config.cases import Case
from bench.errors import UsageError
from bench.importers.formats import COLLECTIVES, import_file
from bench.kernels.matmul import Matmul
from bench.results.published import published_rows

DATA = Path(__file__).parents[1] / "data" / "importers"


def imported(form, path, chip=None):
    return import_file(path, form, chip=chip, source="a test", date="2026-08-21")


# Rates that the sources print or that follow by hand from shape and time.
@pytest.mark.parametrize(
    ("form", "file", "chip", "tflops", "skipped"),
    [
        ("nvbench", "nvbench.json", "h100-sxm", [2 * 4096**3 / 174e-6, 2 * 64**3 / 4e-6], 3),
        ("nvbench", "nvbench.csv", "h100-sxm", [2 * 4096**3 / 176e-6], 2),
        (
            "xpu-perf",
            "xpu-perf.jsonl",
            "a800-sxm4-80gb",
            [296.116e12, 2 * 128 * 4096**2 / 61.5e-6],
            2,
        ),
        ("xpu-perf", "xpu-perf.csv", "a800-sxm4-80gb", [296.116e12], 0),
        (
            "aiconfigurator",
            "aiconfigurator.csv",
            "h100-sxm",
            [2 * 8192 * 65536 * 51200 / 78.57044474e-3, 2 * 4096 * 7168 * 2048 / 0.1171e-3],
            1,
        ),
        (
            "aiconfigurator",
            "aiconfigurator-moe.csv",
            "h100-sxm",
            [6 * 4096 * 7168 * 2048 / 1.32223463e-3],
            3,
        ),
    ],
)
def test_golden_files(form, file, chip, tflops, skipped):
    result = imported(form, DATA / file)
    assert [row["achieved_tflops"] * 1e12 for row in result.rows] == pytest.approx(tflops, rel=1e-5)
    assert {row["chip"] for row in result.rows} == {chip}
    assert {row["source"] for row in result.rows} == {"a test"}
    assert {row["run_id"] for row in result.rows} == {None}
    assert sum(result.skipped.values()) == skipped


def test_a_product_is_the_case_that_bench_run_measures():
    (row, _) = imported("nvbench", DATA / "nvbench.json").rows
    case = Case(Matmul(m=4096, n=4096, k=4096, dtype="bfloat16"))
    assert row["case_id"] == case.case_id
    assert row["flops"] == case.kernel.work(0).flops
    assert row["bytes"] == case.kernel.work(0).bytes


def test_a_layer_is_the_row_that_is_published():
    (row,) = imported("aiconfigurator", DATA / "aiconfigurator-moe.csv").rows
    assert (row["tokens"], row["expert_parallel"]) == (512, 8)
    (published,) = (
        each
        for each in published_rows({"h100-sxm"})
        if (each["kernel"], each["dtype"], each["expert_parallel"], each["tokens"])
        == ("moe_experts", "bfloat16", 8, 512)
    )
    same = ("case_id", "flops", "bytes", "phase", "routing", "implementation")
    assert [row[name] for name in same] == [published[name] for name in same]
    assert row["time_median_s"] == pytest.approx(published["time_median_s"], rel=1e-5)


def test_reasons_are_counted():
    skipped = imported("nvbench", DATA / "nvbench.json").skipped
    assert skipped["copy_sweep: no axes m, n and k"] == 1
    assert skipped["cublas_gemm: nvbench skipped it"] == 1
    assert any("no axis names one format" in reason for reason in skipped), "float32 may be tf32"


def test_a_mean_is_called_one():
    median, mean = imported("nvbench", DATA / "nvbench.json").rows
    assert median["warnings"] is None
    assert "a mean, not a median" in mean["warnings"]


@pytest.mark.parametrize("form", COLLECTIVES)
def test_collectives_have_no_kernel(form):
    with pytest.raises(UsageError, match="measures collectives"):
        imported(form, DATA / "nvbench.json")


def test_an_unknown_device_needs_a_chip(tmp_path):
    text = (DATA / "xpu-perf.csv").read_text().replace("NVIDIA A800-SXM4-80GB", "odd")
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(UsageError, match=r"device 'odd' is not in the table of chips: .* --chip"):
        imported("xpu-perf", tmp_path / "odd.csv")
    (row,) = imported("xpu-perf", tmp_path / "odd.csv", chip="ascend-910b2").rows
    assert (row["chip"], row["device_name"]) == ("ascend-910b2", "odd")


@pytest.mark.parametrize(
    ("form", "file", "old", "new", "message"),
    [
        ("nvbench", "nvbench.json", "  ]\n}", "", "not JSON, or cut off"),
        ("nvbench", "nvbench.json", '"benchmarks"', '"runs"', "no 'benchmarks'; is this another"),
        ("nvbench", "nvbench.json", '"states": [', '"states": [1, ', "state 0: expected an object"),
        ("nvbench", "nvbench.json", '"axis_values": [', '"axis_values": 1, "x": [', "a list"),
        ("nvbench", "nvbench.json", '"tag": "nv', '"label": "nv', "no 'tag'"),
        ("nvbench", "nvbench.json", '"name": "value"', '"name": "valeu"', "no 'value'"),
        ("nvbench", "nvbench.json", '"0.000174"', '"-1"', "GPU time: expected a number above 0"),
        ("nvbench", "nvbench.json", '"4096"', '"4096.5"', "axis m: expected a whole number"),
        (
            "nvbench",
            "nvbench.csv",
            "GPU Time (sec)",
            "GPU Time (ms)",
            r"no column 'GPU Time \(sec\)'",
        ),
        ("nvbench", "nvbench.csv", ",0.0041", "", "line 2: 13 cells, expected 14"),
        ("xpu-perf", "xpu-perf.jsonl", "latency(us)", "latency(ms)", r"line 1: no 'latency\(us\)'"),
        ("xpu-perf", "xpu-perf.jsonl", "296.116}}", "296", "line 1: not JSON, or cut off"),
        (
            "xpu-perf",
            "xpu-perf.jsonl",
            '"M": 32768',
            '"M": 0',
            "line 1, M: expected a number above",
        ),
        (
            "aiconfigurator",
            "aiconfigurator.csv",
            "gemm_dtype",
            "dtype",
            "line 2: no column 'gemm_dtype'",
        ),
        ("aiconfigurator", "aiconfigurator.csv", "latency", "time", "no column 'latency'"),
        (
            "aiconfigurator",
            "aiconfigurator.csv",
            "0.1171",
            "nan",
            "line 3, latency: expected a num",
        ),
    ],
)
def test_bad_files(tmp_path, form, file, old, new, message):
    text = (DATA / file).read_text()
    assert old in text
    path = tmp_path / file
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=message):
        imported(form, path)


@pytest.mark.parametrize("form", ["nvbench", "xpu-perf", "aiconfigurator"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[]", b"{}", b"hello\n", b"a,b\n1,2\n"])
def test_foreign_files(tmp_path, form, content):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"file\.csv"):
        imported(form, path)


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow.csv")
    from pyarrow import parquet

    path = tmp_path / "gemm_perf.parquet"
    parquet.write_table(pyarrow.read_csv(DATA / "aiconfigurator.csv"), path)
    assert len(imported("aiconfigurator", path).rows) == 2


def test_damaged_parquet_is_refused(tmp_path):
    path = tmp_path / "gemm_perf.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"needs pyarrow|not parquet, or cut off"):
        imported("aiconfigurator", path)
