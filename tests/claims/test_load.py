"""Claims files: the verdicts of the shipped one, and a message with its line for every mistake."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bench.analysis.attention import forward_attention_flops
from bench.analysis.projection import training_flops_per_token
from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.claims.judge import judge
from bench.claims.load import build_claims, chips_named, load_claims, shipped_claims
from bench.config.filters import parse_filter
from bench.config.load import load_config
from bench.errors import UsageError
from bench.results.published import published_rows
from bench.yaml_files.source import parse_yaml

PODCAST = "2025-05-podcast"

START = """
title: test
facts:
  half: {value: 0.5, source: a book, date: 2025-05}
claims:
  - id: one
    sentence: It is half.
    by: someone
    on: 2025-05
    reading: as it stands
    refuted_if: it is not
    expected: 0.5
"""
FORMULA = "    formula: utilization[npu]\n"
ROWS = "    rows:\n      npu: {chip: ascend-910b2, kernel: matmul}\n"


def build(text):
    return build_claims(parse_yaml(text, "c.yaml"))


@pytest.fixture(scope="module")
def podcast():
    claims = load_claims(PODCAST)
    return {
        finding.claim.id: finding for finding in judge(claims, published_rows(chips_named(claims)))
    }


def values(finding):
    return {case.name: case.estimate.value for case in finding.cases}


def with_outcome(finding, outcome):
    return {case.name for case in finding.cases if case.outcome == outcome}


def test_it_is_shipped():
    assert PODCAST in shipped_claims()


def test_the_podcast_by_the_published_results(podcast):
    verdicts = {name: finding.verdict for name, finding in podcast.items()}
    assert verdicts["utilization-of-a-product"] == "supported"
    assert verdicts["utilization-of-the-peak"] == "supported"
    assert verdicts["utilization-of-a-sustained-product"] == "untestable"
    assert verdicts["utilization-in-training"] == "refuted"
    assert verdicts["utilization-of-a-moe-layer"] == "refuted"
    assert verdicts["utilization-of-any-moe-layer"] == "refuted"
    assert verdicts["effective-in-products"] == "refuted"
    assert verdicts["effective-with-two-dies"] == "supported"
    assert verdicts["effective-in-a-moe-layer"] == "refuted"
    assert verdicts["half-the-parameters"] == "refuted"
    assert verdicts["gemini-cheaper-in-output"] == "mixed"


def test_its_figures(podcast):
    peak = values(podcast["utilization-of-the-peak"])
    assert peak["bf16 4096×4096×4096"] == pytest.approx(315.36 / 353.8944)
    assert peak["bf16 8192×8192×8192"] == pytest.approx(301.23 / 353.8944)
    total = values(podcast["utilization-of-a-product"])
    assert total["bf16 4096×4096×4096"] == pytest.approx(315.36 / 376)
    ratio = values(podcast["effective-in-products"])
    assert ratio["bf16 8192×8192×8192"] == pytest.approx(301.23 / 797.51)
    assert ratio["bf16 1024×1024×1024"] == pytest.approx(99.86 / 176.62)
    layer = values(podcast["utilization-of-a-moe-layer"])
    assert layer["bf16 deepseek-v3/8 512 tokens uniform"] == pytest.approx(0.279, abs=0.0005)
    assert max(values(podcast["utilization-of-any-moe-layer"]).values()) == pytest.approx(
        0.671, abs=0.0005
    )
    against_h100 = values(podcast["effective-in-a-moe-layer"])
    assert against_h100["bf16 deepseek-v3/8 512 tokens balanced"] == pytest.approx(
        1322.23 / 3649.7, abs=0.0005
    )
    typical = podcast["effective-in-products"].typical
    assert min(ratio.values()) < typical.low < typical.value < typical.high < max(ratio.values())
    assert values(podcast["compute-at-97-percent"])[""] == pytest.approx(1 / 0.03)
    assert values(podcast["compute-at-97.3-percent"])[""] == pytest.approx(1 / 0.027)


def test_the_grade_of_a_chip_decides_about_the_sustained_product(podcast):
    rows = [
        row
        for row in published_rows({"ascend-910b"})
        if row["implementation"] == "torch.mm, sustained"
        and row["dtype"] in ("bfloat16", "float16")
    ]
    remark = podcast["utilization-of-a-sustained-product"].claim.remark
    for chip in ("ascend-910b2", "ascend-910b1"):
        total = get_chip(chip).marketing["float16"].tflops
        shares = sorted(row["achieved_tflops"] / total for row in rows)
        assert f"{shares[0]:.2f} and {shares[1]:.2f} of a {chip[7:].upper()}'s" in remark
    assert (
        min(row["achieved_tflops"] for row in rows)
        > get_chip("ascend-910b3").peaks["bfloat16"].tflops
    )


def test_the_page_says_which_grade_and_sequence_pangu_would_need():
    page = (Path(__file__).parents[2] / "docs/claims.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"\| (910B\d) \| ([\d.]+) TFLOP/s \| (\d+) \| ([\d,]+) tokens \| ([\d,]+) tokens \|", page
    )
    assert [grade for grade, *_ in rows] == ["910B1", "910B2", "910B3", "910B4"]
    model = get_model("pangu-ultra-moe")
    for grade, tflops, gflop, causal, full in rows:
        peak = get_chip(f"ascend-{grade.lower()}").limits("bfloat16").peak_tflops
        assert float(tflops) == pytest.approx(peak, abs=0.05)
        needed = 0.30 * 6000 * peak * 1e12 / 1.46e6
        assert float(gflop) == pytest.approx(needed / 1e9, abs=0.5)
        for text, is_causal in ((causal, True), (full, False)):
            attention = forward_attention_flops(model, int(text.replace(",", "")), causal=is_causal)
            flops = training_flops_per_token(model.active_params_b * 1e9, attention)
            assert flops == pytest.approx(needed, rel=0.005)


def test_the_cheaper_models_are_named(podcast):
    cheaper = with_outcome(podcast["gemini-cheaper-in-output"], "fails")
    assert cheaper == {"GPT-4.1 nano", "Gemini 2.0 Flash-Lite", "DeepSeek-V3, off-peak"}


def test_every_row_behind_a_verdict_has_a_source(podcast):
    rows = [row for finding in podcast.values() for case in finding.cases for row in case.evidence]
    assert len(rows) > 30
    assert all(row["source"] for row in rows)
    assert all(all(finding.facts.values()) for finding in podcast.values())


def test_the_commands_to_measure_select_cases():
    commands = {line for claim, _ in load_claims(PODCAST).claims for line in claim.measure}
    assert commands
    for line in commands:
        bench, run, config, *options = shlex.split(line)
        assert (bench, run, options[0]) == ("bench", "run", "--backend")
        given = dict(zip(options[::2], options[1::2], strict=True))
        cases = load_config(config).cases
        if "--filter" in given:
            cases = parse_filter(given["--filter"]).select(cases)
        assert cases


def test_given_results_make_a_claim_testable(ok):
    claims = build(START + FORMULA + ROWS + "    measure: [bench run matmul]\n")
    assert judge(claims, [])[0].verdict == "untestable"

    def verdict(**changes):
        row = {**ok(chip="ascend-910b2", utilization=0.5), **changes}
        (finding,) = judge(claims, [{"source": None, **row}])
        return finding.verdict

    assert verdict(ci_low_s=2.5e-5, ci_high_s=2.5e-5) == "supported"
    assert verdict(utilization=0.3) == "refuted"
    assert verdict() == "untestable", "the interval is wider than the claimed range"
    assert verdict(chip="ascend-910b3") == "untestable"
    assert verdict(status="timeout") == "untestable"


def test_the_fastest_row_of_a_case_counts_and_mixed_says_which(ok):
    claims = build(START + FORMULA + ROWS)
    exact = {"chip": "ascend-910b2", "source": None, "ci_low_s": None, "ci_high_s": None}
    slow = {**ok(utilization=0.1), **exact, "time_median_s": 3e-5}
    fast = {**ok(utilization=0.5), **exact, "time_median_s": 2e-5}
    other = {**ok(65, utilization=0.1), **exact}
    (finding,) = judge(claims, [slow, fast, other])
    assert finding.verdict == "mixed"
    assert with_outcome(finding, "holds") == {"bf16 64×32×16"}
    assert with_outcome(finding, "fails") == {"bf16 65×32×16"}


def test_rows_of_unlike_cases_match_by_the_columns_that_the_claim_names(ok):
    rows = """
    rows:
      ours: {chip: ascend-910b2, inputs: normal}
      theirs: {chip: h100-sxm}
"""
    ratio = FORMULA.replace("utilization[npu]", "achieved_tflops[ours] / achieved_tflops[theirs]")
    exact = {"source": None, "ci_low_s": None, "ci_high_s": None, "achieved_tflops": 1.0}
    ours = {**ok(chip="ascend-910b2"), **exact, "case_id": "a"}
    theirs = {**ok(chip="h100-sxm"), **exact, "case_id": "b", "achieved_tflops": 2.0}
    text = START + ratio + rows + "    measure: [bench run matmul]\n"
    assert judge(build(text), [ours, theirs])[0].verdict == "untestable"
    (finding,) = judge(build(text + "    match: [kernel, dtype, m, n, k]\n"), [ours, theirs])
    assert values(finding) == {"bf16 64×32×16": 0.5}


def test_no_matching_row_and_no_way_to_measure_is_a_mistake():
    claims = build(START + FORMULA + ROWS)
    with pytest.raises(UsageError, match=r"c.yaml:6: claims\[0\]: no row matches npu \(chip=asc"):
        judge(claims, [])


def test_a_formula_without_result_names_the_case(ok):
    claims = build(START + ROWS + "    formula: 1 / drift[npu]\n")
    row = {**ok(drift=0.0), "chip": "ascend-910b2"}
    with pytest.raises(UsageError, match=r"claims\[0\]: formula: bf16 64×32×16: division by zero"):
        judge(claims, [row])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ROWS + "    formula: utilisation[npu]",
            r":15: .*unknown column 'utilisation' \(did you me",
        ),
        (ROWS + "    formula: utilization[gpu]", r"unknown rows 'gpu' .*; known: npu"),
        (
            "    formula: hallf",
            r"c.yaml:13: claims\[0\].formula: unknown fact 'hallf' \(did you mean",
        ),
        (ROWS + "    formula: utilization", "a column needs its rows, as in"),
        ("    formula: half.real", "attributes are not allowed"),
        ("    formula: open('x')", "unknown function 'open'"),
        ("    formula: half ** 99", "the largest exponent is 10"),
        ("    rows: {npu: {chipp: h100-sxm}}", r"unknown column \(did you mean 'chip'\?\)"),
        ("    rows: {npu: {chip: h100-smx}}", r"unknown chip 'h100-smx' \(did you mean 'h100-sxm'"),
        ("    rows: {npu: {model: deepseek-v33}}", r"unknown model 'deepseek-v33' \(did you mean"),
        ("    rows: {a: {prices: GPT-4p}}", "unknown price 'GPT-4p'"),
        ("    rows: {a: {chip: [[h100-sxm]]}}", "expected a value, or a list of values"),
        ("    rows: {a: {m: {b: c}}}", "expected a value, or a list of values"),
        ("    rows: {a: {prices: [[GPT-4o]]}}", "expected a value, or a list of values"),
        ("    rows: {a: {prices: GPT-4o, m: 2}}", "give `prices` alone"),
        (f"    tolerance: 1{'0' * 500}", r"c.yaml:13: .*tolerance: the number is too large"),
        (f"    tolerance: 0x{'f' * 5000}", "tolerance: the number is too large"),
        ("    tolerance: 2", "tolerance: expected less than 1, got 2"),
        ("    expectd: 2", r"unknown key \(did you mean 'expected'\?\)"),
        ("    relation: near", "unknown value 'near'"),
        ("    match: [kernell]", r"match\[0\]: unknown column 'kernell' \(did you mean 'kernel'"),
        ("    measure: []", "needs `formula`"),
    ],
)
def test_mistakes_in_a_claim(more, message):
    with pytest.raises(UsageError, match=message):
        build(START + more + "\n")


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (
            "{value: .nan, source: x}",
            "c.yaml:4: facts.half: value: expected a finite number, got nan",
        ),
        (f"{{value: 1{'0' * 500}, source: x}}", "c.yaml:4: facts.half.value: the number is too la"),
        ("{value: .inf, source: x}", "expected a finite number"),
        ("{value: true, source: x}", "expected a finite number"),
        ("{value: 1}", "expected one of these pairs of keys"),
        ("3", "expected {value: "),
        ("{value: 1, source: x, evidence: seen}", "unknown value 'seen'"),
        ("{value: 1, source: x, dat: 2025}", r"unknown key 'dat' \(did you mean 'date'"),
        ("{chip: ascend-910b22, peak: bfloat16}", r"unknown chip .*\(did you mean 'ascend-910b2'"),
        ("{chip: ascend-910b2, peak: float63}", "no float63 peak for ascend-910b2"),
        ("{chip: ascend-910b2, marketing: bfloat16}", "no such marketing total for ascend-910b2"),
        ("{model: deepseek-v3, parameters: some}", "unknown value 'some'"),
        ("{model: deepseek-4, parameters: total}", "unknown model 'deepseek-4'"),
        ("{price: GPT-4o, tokens: all}", "unknown value 'all'"),
        ("{price: GPT4o, tokens: input}", r"unknown price 'GPT4o' \(did you mean 'GPT-4o'"),
    ],
)
def test_mistakes_in_a_fact(fact, message):
    start = START.replace("{value: 0.5, source: a book, date: 2025-05}", fact)
    with pytest.raises(UsageError, match=message):
        build(start + "    formula: half\n")


def test_several_mistakes_are_named_at_once():
    with pytest.raises(UsageError) as caught:
        build(START.replace("id: one", "id: One!") + "    formula: x\n  - 3\n")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["claims: 3", "- 1", "title: x"])
def test_a_file_that_has_no_claims(text):
    with pytest.raises(UsageError, match="expected a mapping with a list `claims:`"):
        build(text)


def test_each_claim_once():
    with pytest.raises(UsageError, match="one appears twice"):
        build(
            START + "    formula: half\n" + START.partition("claims:\n")[2] + "    formula: half\n"
        )


def test_a_file_that_does_not_exist():
    with pytest.raises(UsageError, match=r"did you mean '2025-05-podcast'"):
        load_claims("2025-podcast")
    with pytest.raises(UsageError, match="no such file"):
        load_claims(str(Path("x") / "y.yaml"))


@pytest.fixture
def ok():
    from tests.results.conftest import make_row

    return make_row
