"""Comparison: pairing, pooling, intervals, verdicts and what the data sheets predict."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.bootstrap import log_ratio_interval
from bench.analysis.compare import VERDICTS, compare, verdicts
from bench.analysis.pairing import COLUMNS, best, half_width, make_side, pool
from bench.errors import UsageError


def row(m=4096, time_s=1e-3, half=0.01, chip="a", **more):
    flops = 2 * m**3
    return {
        **dict.fromkeys(COLUMNS),
        "case_id": f"matmul-bf16-{m}",
        "chip": chip,
        "simulated": False,
        "kernel": "matmul",
        "implementation": "torch",
        "dtype": "bfloat16",
        "params": "{}",
        "m": m,
        "n": m,
        "k": m,
        "flops": flops,
        "bytes": 6 * m**2,
        "status": "ok",
        "time_median_s": time_s,
        "ci_low_s": time_s * (1 - half) if half else math.nan,
        "ci_high_s": time_s * (1 + half) if half else math.nan,
        "cache": "cold",
        "peak_tflops": 1000.0,
        "peak_gbps": 3000.0,
        "utilization": flops / time_s / 1e15,
        "device_index": 0,
        **more,
    }


def frame(*rows):
    numbers = ("energy_j", "ci_low_s", "ci_high_s", "utilization", "peak_tflops", "peak_gbps")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(numbers, "float64"))


def test_twice_as_fast():
    found = compare(
        {
            "a": frame(row(energy_j=3.0)),
            "b": frame(row(time_s=0.5e-3, chip="b", peak_tflops=1800.0, energy_j=2.0)),
        }
    )
    (pair,) = found.pairs.to_dict("records")
    assert pair["ratio"] == pytest.approx(2.0)
    assert pair["low"] < 2 < pair["high"]
    assert pair["high"] / pair["low"] == pytest.approx((1.01 / 0.99) ** math.sqrt(2), rel=1e-3)
    assert pair["verdict"] == "faster"
    assert pair["utilization_ratio"] == pytest.approx(2.0)
    assert pair["energy_ratio"] == pytest.approx(2 / 3)
    assert (pair["expected"], pair["expected_by"]) == (pytest.approx(1.8), "peak")
    sets = found.sets.set_index("set")
    assert set(sets.index) == {"large-bf16-matmul", "matmul", "all"}
    assert sets.loc["all", ["cases", "faster", "slower"]].tolist() == [1, 1, 0]


def test_the_other_way_round_is_the_reciprocal():
    sides = {"a": frame(row(), row(64, 1e-5)), "b": frame(row(time_s=0.7e-3), row(64, 2e-5))}
    forth = compare(sides).pairs.set_index("case_id")
    back = compare(sides, base="b").pairs.set_index("case_id")
    np.testing.assert_allclose(forth["ratio"] * back["ratio"], 1.0)
    np.testing.assert_allclose(forth["low"] * back["high"], 1.0)
    opposite = {"faster": "slower", "slower": "faster", "same": "same", "undecided": "undecided"}
    assert forth["verdict"].map(opposite).equals(back["verdict"])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.03, 1.20, "faster"),
        (1.01, 1.20, "undecided"),
        (0.80, 0.97, "slower"),
        (0.99, 1.01, "same"),
        (0.90, 1.10, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_verdicts(low, high, verdict):
    assert verdicts(np.array([low]), np.array([high]), 0.02)[0] == verdict


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 0.9))
def test_a_verdict_is_never_two(a, b, threshold):
    low, high = sorted((a, b))
    found = verdicts(np.array([low]), np.array([high]), threshold)[0]
    assert found in VERDICTS
    if found == "faster":
        assert low > 1
    if found == "slower":
        assert high < 1


def test_each_sides_fastest_implementation_counts_unless_the_same_is_asked_for():
    sides = {
        "a": frame(row(implementation="x"), row(implementation="y", time_s=2e-3)),
        "b": frame(row(implementation="y")),
    }
    (pair,) = compare(sides).pairs.to_dict("records")
    assert (pair["implementation_base"], pair["implementation_other"]) == ("x", "y")
    assert pair["ratio"] == pytest.approx(1.0)
    found = compare(sides, same_implementation=True)
    (pair,) = found.pairs.to_dict("records")
    assert (pair["implementation_base"], pair["ratio"]) == ("y", pytest.approx(2.0))
    assert found.unpaired["reason"].tolist() == ["b has it by other implementations only"]


def test_what_has_no_partner_says_why():
    sides = {
        "a": frame(row(1), row(2, routing_sha256="r1"), row(3)),
        "b": frame(row(2, routing_sha256="r2"), row(3)),
    }
    found = compare(sides)
    assert len(found.pairs) == 1
    said = dict(
        zip(
            found.unpaired["side"] + found.unpaired["case_id"],
            found.unpaired["reason"],
            strict=True,
        )
    )
    assert said == {
        "amatmul-bf16-1": "b has no such case",
        "amatmul-bf16-2": "b has it with another routing (another seed?)",
        "bmatmul-bf16-2": "a has it with another routing (another seed?)",
    }


def test_what_is_no_measurement_is_left_out_and_counted():
    rows = [
        row(1),
        row(2, status="timeout", time_s=math.nan),
        row(3, stage="gate"),
        row(4, simulated=True),
        row(5, utilization=1.5),
    ]
    side = make_side("a", frame(*rows))
    assert len(side.cases) == 1
    assert sum(side.left_out.values()) == 4
    assert len(side.left_out) == 4
    assert len(make_side("a", frame(*rows), simulated=True).cases) == 2


def test_repeats_are_pooled_with_their_spread():
    times = [1.00e-3, 1.02e-3, 0.98e-3, 1.01e-3]
    pooled = pool(frame(*(row(time_s=time_s, half=0.001) for time_s in times)))
    (found,) = pooled.to_dict("records")
    assert found["repeats"] == 4
    assert found["time_s"] == pytest.approx(np.exp(np.mean(np.log(times))))
    spread = np.std(np.log(times), ddof=1) / 2
    assert found["se"] == pytest.approx(spread, rel=0.01)
    assert found["freedom"] == 3
    wide = half_width(np.array([found["se"]]), np.array([3.0]))[0]
    assert wide == pytest.approx(3.182 * spread, rel=0.01), "Student's quantile for four values"


def test_repeats_that_agree_are_as_certain_as_their_own_intervals():
    (found,) = pool(frame(*(row(half=0.02) for _ in range(4)))).to_dict("records")
    assert found["freedom"] == math.inf
    assert found["se"] == pytest.approx(0.02 / 1.96 / 2, rel=0.01)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from("xy"), st.floats(1e-6, 1.0)),
        min_size=1,
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_does_not_matter(drawn, random):
    rows = [row(m, time_s, implementation=name, utilization=0.1) for m, name, time_s in drawn]
    before = best(pool(frame(*rows))).set_index("case_id")["time_s"].sort_index()
    random.shuffle(rows)
    after = best(pool(frame(*rows))).set_index("case_id")["time_s"].sort_index()
    np.testing.assert_allclose(before, after)
    assert (before.index == after.index).all()


def test_rows_without_an_interval_are_undecided_and_not_certain():
    found = compare({"a": frame(row(half=None)), "b": frame(row(time_s=0.5e-3, half=None))})
    (pair,) = found.pairs.to_dict("records")
    assert (pair["ratio"], pair["verdict"]) == (pytest.approx(2.0), "undecided")
    assert math.isnan(pair["low"])
    assert pair["interval_from"] == "nothing"


def test_samples_decide_where_there_are_some():
    random = np.random.default_rng(0)
    key = ("matmul-bf16-4096", "torch")
    base = [list(random.normal(1.0, 0.01, 40))]
    other = [list(random.normal(0.5, 0.005, 40))]
    sides = {"a": frame(row(half=0.5)), "b": frame(row(time_s=0.5e-3, half=0.5))}
    found = compare(sides, samples={"a": {key: base}, "b": {key: other}})
    (pair,) = found.pairs.to_dict("records")
    assert pair["interval_from"] == "samples"
    assert 1.97 < pair["low"] < 2 < pair["high"] < 2.03
    assert compare(sides).pairs["verdict"][0] == "undecided", "the rows alone do not say"


def test_processes_that_differ_widen_the_interval_of_their_samples():
    random = np.random.default_rng(0)
    alike = [list(random.normal(1.0, 0.01, 20)) for _ in range(5)]
    apart = [list(random.normal(centre, 0.01, 20)) for centre in (0.9, 0.95, 1.0, 1.05, 1.1)]
    base = [list(random.normal(1.0, 0.01, 100))]
    narrow, wide = log_ratio_interval(base, alike, "x"), log_ratio_interval(base, apart, "x")
    assert wide[1] - wide[0] > 5 * (narrow[1] - narrow[0])
    assert log_ratio_interval(base, alike, "x") == narrow, "the same samples, the same interval"
    assert math.isnan(log_ratio_interval(base, [[1.0]], "x")[0])


def test_the_interval_from_samples_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        base, other = random.lognormal(0, 0.05, 30), random.lognormal(math.log(2), 0.05, 30)
        low, high = log_ratio_interval([list(base)], [list(other)], str(trial))
        hits += low <= -math.log(2) <= high
    assert hits >= 180


def test_a_memory_bound_case_is_expected_by_bandwidth():
    slow = row(time_s=1e-3, flops=0, bytes=1e9, kernel="memory", utilization=None)
    found = compare({"a": frame(slow), "b": frame({**slow, "peak_gbps": 1500.0})})
    (pair,) = found.pairs.to_dict("records")
    assert (pair["expected"], pair["expected_by"]) == (pytest.approx(0.5), "bandwidth")


def test_bound_by_different_things():
    found = compare({"a": frame(row(64)), "b": frame(row(64, peak_gbps=1e9, peak_tflops=0.001))})
    assert found.pairs["expected_by"][0] == "bandwidth to peak"


def test_unknown_limits_predict_nothing():
    found = compare({"a": frame(row(peak_gbps=None)), "b": frame(row())})
    assert math.isnan(found.pairs["expected"][0])
    assert math.isnan(found.sets["expected"][0])


def test_groups_by_kernel_dtype_and_phase():
    layer = {
        "kernel": "moe_layer",
        "phase": "decode",
        "pass": "forward",
    }
    rows = [row(1), row(2), row(3, **layer)]
    found = compare({"a": frame(*rows), "b": frame(*rows)})
    assert found.groups[["kernel", "phase", "cases"]].values.tolist() == [
        ["matmul", "", 2],
        ["moe_layer", "decode", 1],
    ]
    assert "moe-decode" in set(found.sets["set"])
    assert (found.pairs["verdict"] == "same").all()


def test_three_devices():
    sides = {name: frame(row(time_s=time_s)) for name, time_s in zip("abc", (1, 2, 4), strict=True)}
    found = compare(sides, base="b")
    assert found.others == ("a", "c")
    assert found.pairs.set_index("device")["ratio"].to_dict() == pytest.approx({"a": 2, "c": 0.5})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": {"a": frame(row())}}, "needs two devices"),
        ({"frames": {"a": frame(row()), "b": frame(row())}, "base": "c"}, "no device 'c'"),
        ({"frames": {"a": frame(row()), "b": frame(row())}, "threshold": -1}, "threshold"),
    ],
)
def test_nothing_to_compare(arguments, message):
    with pytest.raises(UsageError, match=message):
        compare(**arguments)
