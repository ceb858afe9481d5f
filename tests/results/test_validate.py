"""Validation: rows that measurements make are sound; each way to be wrong is found and named."""

import os

import pytest
from click.testing import CliRunner

from bench.backend import Device, Limits, Telemetry
from bench.cli.validate import command
from bench.config.cases import Case
from bench.errors import UsageError
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer
from bench.measure.case_work import describe_case
from bench.measure.protocol import Outcome
from bench.measure.row import make_row
from bench.results.cells import format_row
from bench.results.columns import NAMES
from bench.results.load import load
from bench.results.reader import Problem, read_rows
from bench.results.validate import validate
from bench.results.writer import ResultFile, record


@pytest.fixture
def problems(path):
    def check(*rows):
        with ResultFile.create(path, force=True) as file:
            for row in rows:
                file.append(row)
        return [
            (problem.line, problem.column, problem.message) for problem in validate(path).problems
        ]

    return check


KERNELS = [
    Matmul(m=8, n=8, k=8, dtype="float32"),
    Matmul(m=8, n=8, k=8, batch=3, layout="nt", dtype="int8", cache="hot"),
    Memory(operation="copy", size_mib=1),
    Memory(operation="triad", size_mib=1, inputs="constant"),
    MoeLayer(hidden=8, intermediate=4, experts=4, top_k=2, tokens=5, dtype="bfloat16"),
    MoeLayer(
        hidden=8,
        intermediate=4,
        experts=4,
        top_k=2,
        tokens=5,
        dtype="float32",
        routing="power_law",
        expert_parallel=2,
        shared_experts=1,
    ),
]

IDENTITY = {
    "schema_version": 1,
    "run_id": "20260102T030405Z-0123abcd",
    "started_at": "2026-01-02T03:04:05.678Z",
    "host": "node-1",
    "config": "smoke",
    "config_sha256": "c" * 64,
    "harness_version": "0.1.0",
    "backend": "cpu",
    "python": "3.11.7",
}

LIMITS = [Limits(), Limits(peak_tflops=1e-6, peak_gbps=1e-3, ceiling_tflops=1e-6, launch_s=1e-6)]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.label())
@pytest.mark.parametrize("limits", LIMITS, ids=["no limits", "too low limits"])
@pytest.mark.parametrize("rounds", [1, 3, 8])
def test_rows_of_measurements_are_sound(problems, kernel, limits, rounds):
    outcome = Outcome(
        "ok",
        implementation="torch",
        verified=True,
        rel_error=0.0,
        tolerance=0.0,
        compared="every element",
        values_s=[1e-3, 1.1e-3, 1.2e-3, 1e-3, 1.1e-3, 1.2e-3, 1.3e-3],
        warm_ups=[(4, 1e-3)],
        loops=4,
        timing="host",
        flush_bytes=0,
        stop_reason="precision",
        limits=limits,
        telemetry=Telemetry(power_w=100.0, energy_j=0.0, memory_peak_bytes=1),
    )
    wrong = Outcome(
        "wrong_result",
        "relative error 1",
        implementation="torch",
        verified=False,
        rel_error=float("inf"),
        tolerance=0.0,
        compared="every element",
        limits=limits,
    )
    rows = [
        make_row(
            Case(kernel),
            Device(index, "Example CPU", "cpu", threads=2),
            outcomes,
            describe_case(kernel, 0),
            seed=0,
            identity=IDENTITY,
        )
        for index, outcomes in enumerate(
            (
                [outcome] * rounds,
                [wrong],
                [Outcome("timeout", "no answer", implementation="best")],
            )
        )
    ]
    assert problems(*rows) == []


@pytest.mark.parametrize(
    ("changes", "column", "message"),
    [
        ({"host": None}, "host", "empty, but expected in a row with status ok"),
        ({"verified": None}, "verified", "empty"),
        ({"verified": False}, "verified", "expected true"),
        ({"error": "strange"}, "error", "expected to be empty"),
        ({"rel_error": 0.01}, "rel_error", "expected at most the tolerance, 0.0078"),
        ({"samples": None}, "samples", "empty"),
        ({"ci_low_s": 2.6e-5}, "time_median_s", "expected between 2.6e-05 and 2.7e-05"),
        ({"ci_low_s": None}, "ci_low_s", "the other end is known"),
        ({"ci_high_s": None}, "ci_high_s", "the other end is known"),
        ({"achieved_gbps": 1.0}, "achieved_gbps", "by the other columns, found 1.0"),
        ({"achieved_gbps": None}, "achieved_gbps", "empty"),
        ({"achieved_tflops": None, "utilization": None}, "achieved_tflops", "empty, but expected"),
        ({"arithmetic_intensity": 2.0}, "arithmetic_intensity", "by the other columns"),
        ({"utilization": None}, "utilization", "achieved_tflops and peak_tflops are known"),
        ({"peak_tflops": None, "utilization": 0.5}, "utilization", "expected to be empty without"),
        ({"m": 63}, "m", "expected 64 as in params, found 63"),
        ({"m": None}, "m", "expected 64 as in params, found None"),
        ({"hidden": 7}, "hidden", "expected none as in params, found 7"),
        ({"cache": "hot"}, "cache", "expected cold as in params"),
        ({"params": "{"}, "params", "empty"),
        ({"params": '{"a":NaN}'}, "params", "expected JSON"),
        (
            {"case_id": "matmul-bf16-1"},
            "case_id",
            "expected matmul-bf16- and 10 hexadecimal digits",
        ),
        ({"case_id": None}, "case_id", "empty"),
        ({"kernel": "other"}, "case_id", "expected other-bf16-"),
        ({"dtype": "float4"}, "dtype", "expected bfloat16 as in params"),
        ({"schema_version": 2}, None, "schema version 2"),
    ],
)
def test_a_contradiction_is_named(problems, ok, changes, column, message):
    if "schema_version" in changes:
        with pytest.raises(UsageError, match=message):
            problems(ok(**changes))
        return
    assert problems(ok()) == []
    complaints = problems(ok(65), ok(**changes))
    assert any(
        line == 3 and where == column and message in text for line, where, text in complaints
    )
    assert not any(line == 2 for line, _, _ in complaints)


def test_two_case_ids_that_were_swapped(problems, ok):
    first, second = ok(), ok(65)
    first["case_id"], second["case_id"] = second["case_id"], first["case_id"]
    assert problems(first, second) == [
        (2, "case_id", f"expected {second['case_id']} by params, found {first['case_id']}"),
        (3, "case_id", f"expected {first['case_id']} by params, found {second['case_id']}"),
    ]


def test_the_case_id_of_a_kernel_that_is_not_installed_is_taken_at_its_word(problems, ok):
    assert problems(ok(kernel="own", case_id="own-bf16-0123456789")) == []


def test_a_trace_is_not_opened_to_recompute_a_case_id(problems, tmp_path, ok):
    trace = tmp_path / "trace.csv"
    trace.write_text("0,1\n" * 5)
    shape = {"hidden": 8, "intermediate": 4, "experts": 4, "top_k": 2, "tokens": 5}
    layer = MoeLayer(**shape, dtype="bfloat16", routing="trace", trace=str(trace))
    row = ok(layer)
    trace.unlink()
    os.mkfifo(trace)
    assert problems(row) == []
    assert [
        column for _, column, _ in problems({**row, "case_id": "moe_layer-bf16-0123456789"})
    ] == ["case_id"]


UNSOUND = {
    "not verified": {"verified": False},
    "an interval upside down": {"ci_low_s": 2.7e-5, "ci_high_s": 2.4e-5},
    "a rate against the time": {"achieved_tflops": 1.0},
    "a parameter that is NaN": {"params": '{"a":NaN}'},
    "another case's id": {"case_id": "matmul-bf16-0123456789"},
    "rounds against the time": {"round_medians_s": "2.4e-05 2.6e-05 2.7e-05"},
    "a round of no time": {"round_medians_s": "0 2.5e-05 2.7e-05"},
    "an impossible date": {"started_at": "9999-99-99T00:00:00Z"},
    "evidence without a source": {"evidence": "measured"},
    "a row twice": {},
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_validate_refuses_is_refused_by_everything(path, ok, name):
    """An unsound row is no evidence, whichever command reads it."""
    cells = dict(zip(NAMES, format_row(ok(**UNSOUND[name] | {"started_at": None})), strict=True))
    cells["started_at"] = str(UNSOUND[name].get("started_at", ok()["started_at"]))
    rows = [format_row(ok()), format_row(ok(65)), list(cells.values())]
    if name != "a row twice":
        rows[0] = format_row(ok(66))
    path.write_bytes(b"".join(map(record, [list(NAMES), *rows])))
    (first, *_) = validate(path).problems
    assert first.line == 4
    for read in (load, read_rows):
        with pytest.raises(UsageError, match=f"line 4: {first.column}: ") as caught:
            read(path)
        assert str(caught.value).splitlines()[0] == f"{path}: {first}"
    with pytest.raises(UsageError, match="line 4"):
        load(path, ["m"])


def test_params_have_one_form(problems, ok):
    spaced = str(ok()["params"]).replace(",", ", ")
    ((line, column, message),) = problems(ok(params=spaced))
    assert (line, column) == (2, "params")
    assert "canonical" in message


def test_rows_that_failed(problems, failed):
    assert problems(failed("timeout"), failed("unsupported", 65)) == []
    for name in ("time_median_s", "achieved_tflops", "utilization", "ci_low_s", "samples"):
        complaints = problems(failed("timeout", **{name: 1}))
        assert (2, name, "expected to be empty in a row with status timeout") in complaints
    assert problems(failed("timeout", error=None))[0][1] == "error"
    assert problems(failed("wrong_result"))[0][1] == "verified"
    assert problems(failed("wrong_result", verified=False)) == []


def test_faster_than_physics_needs_a_word(problems, ok):
    tflops = ok()["achieved_tflops"]
    fast = {"peak_tflops": tflops / 1.5, "utilization": 1.5, "roofline_fraction": 1.5}
    ((_, column, message),) = problems(ok(**fast))
    assert column == "utilization"
    assert message == "expected at most 1.02 where warnings is empty, found 1.5"
    assert problems(ok(**fast, warnings="1.50 times as fast as the compute peak allows")) == []
    memory = {"peak_gbps": 1e-3, "roofline_bound": "memory", "roofline_fraction": 1.5}
    assert [column for _, column, _ in problems(ok(**memory))] == ["roofline_fraction"]
    measured = {"ceiling_tflops": tflops / 1.5, "utilization_of_ceiling": 1.5}
    assert problems(ok(**measured)) == [], "a ceiling was measured, and may have been low"


def test_the_same_row_twice(problems, ok):
    ((line, column, message),) = problems(ok(), ok(65), ok())
    assert (line, column) == (4, "case_id")
    assert message.endswith("as in line 2")
    assert problems(ok(), ok(device_index=1), ok(implementation="x"), ok(run_id="2")) == []


def test_all_problems_of_a_file_at_once(path, ok):
    with ResultFile.create(path) as file:
        for m in (64, 65, 66):
            file.append(ok(m))
    text = path.read_bytes().decode()
    text = text.replace(",2.5e-05,", ",soon,", 1).replace(",65,32,", ",x,32,", 1)[:-9]
    path.write_bytes(text.encode())
    complaints = validate(path).problems
    assert [(problem.line, problem.column) for problem in complaints] == [
        (2, "time_median_s"),
        (3, "m"),
        (4, None),
    ]
    assert complaints[2] == Problem(4, None, "cut off before its end; left out")


def test_the_command(path, ok, failed):
    def run(*arguments):
        done = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
        return done.return_value, done.output

    with ResultFile.create(path) as file:
        file.append(ok())
        assert run(path) == (0, f"{path}: sound, 1 row\n")
        file.append(failed("timeout", 65))
        file.append(ok(66, m=7))
    bad = f"{path}: line 4: m: expected 66 as in params, found 7\n"
    assert run(path) == (2, bad)
    missing = path.with_name("none.csv")
    assert run(missing, path) == (2, f"{missing}: no such file\n{bad}")


def test_very_many_problems_are_counted(path, ok):
    with ResultFile.create(path) as file:
        for m in range(1, 121):
            file.append(ok(m, host=None))
    done = CliRunner().invoke(command, [str(path)], standalone_mode=False)
    assert done.output.splitlines()[-1] == f"{path}: and 20 more"
