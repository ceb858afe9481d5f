"""Comparison: pairing, pooling, intervals, verdicts and what the data sheets predict."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.compare import compare
from bench.analysis.pairing import (
    COLUMNS,
    RUN_SCATTER,
    VISIT_SCATTER,
    best,
    half_width,
    make_side,
    pool,
)
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
        "rounds": 8,
        "cache": "cold",
        "peak_tflops": 1000.0,
        "peak_gbps": 3000.0,
        "utilization": flops / time_s / 1e15,
        "device_index": 0,
        **more,
    }


def frame(*rows):
    numbers = ("energy_j", "ci_low_s", "ci_high_s", "utilization", "peak_tflops", "peak_gbps")
    numbers += ("rounds", "reference_s")
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
    half = math.sqrt(2) * math.hypot(0.01, RUN_SCATTER)
    assert math.log(pair["high"] / pair["low"]) / 2 == pytest.approx(half, rel=1e-3)
    assert pair["verdict"] == "faster"
    assert pair["utilization_ratio"] == pytest.approx(2.0)
    assert pair["energy_ratio"] == pytest.approx(2 / 3)
    assert (pair["expected"], pair["expected_by"]) == (pytest.approx(1.8), "peak")
    sets = found.sets.set_index("set")
    assert set(sets.index) == {"large-bf16-matmul", "matmul", "all"}
    assert sets.loc["all", ["cases", "faster", "slower"]].tolist() == [1, 1, 0]


@pytest.mark.parametrize(("base", "other"), [(0.0, 2.0), (2.0, 0.0), (None, 2.0)])
def test_an_energy_of_zero_has_no_ratio(base, other):
    found = compare({"a": frame(row(energy_j=base)), "b": frame(row(chip="b", energy_j=other))})
    assert math.isnan(found.pairs["energy_ratio"].item())


def test_the_other_way_round_is_the_reciprocal():
    sides = {"a": frame(row(), row(64, 1e-5)), "b": frame(row(time_s=0.7e-3), row(64, 2e-5))}
    forth = compare(sides).pairs.set_index("case_id")
    back = compare(sides, base="b").pairs.set_index("case_id")
    np.testing.assert_allclose(forth["ratio"] * back["ratio"], 1.0)
    np.testing.assert_allclose(forth["low"] * back["high"], 1.0)
    opposite = {"faster": "slower", "slower": "faster", "same": "same", "undecided": "undecided"}
    assert forth["verdict"].map(opposite).equals(back["verdict"])


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


def test_a_case_beyond_the_peak_is_not_called_missing():
    found = compare({"a": frame(row(1), row(2, utilization=1.03)), "b": frame(row(1), row(2))})
    assert found.unpaired["reason"].tolist() == ["a has it at 103 % of its peak: left out"]
    assert found.left_out["reason"].tolist() == ["faster than the device's peak allows"]


def test_sets_name_the_dtypes_that_they_mix():
    rows = frame(row(1), row(2, dtype="int8"))
    sets = compare({"a": rows, "b": rows}).sets.set_index("set")
    assert sets["mixed"].to_dict() == {"matmul": "bf16, i8", "all": "bf16, i8"}


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
    assert found["se"] == pytest.approx(math.hypot(0.02, RUN_SCATTER) / 1.96 / 2, rel=0.01)


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


def test_rows_without_an_interval_have_a_direction_only():
    found = compare({"a": frame(row(half=None)), "b": frame(row(time_s=0.5e-3, half=None))})
    (pair,) = found.pairs.to_dict("records")
    assert (pair["ratio"], pair["verdict"]) == (pytest.approx(2.0), "faster, no interval")
    assert math.isnan(pair["low"])
    assert pair["interval_from"] == "nothing"
    assert found.sets["faster, no interval"].tolist() == [1, 1, 1]
    assert found.sets["faster"].tolist() == [0, 0, 0]


def rounds(median_s, scatter, count=8, seed=0):
    values = median_s * np.exp(scatter * np.random.default_rng(seed).standard_normal(count))
    return " ".join(f"{value:.9g}" for value in values)


def test_rounds_decide_where_both_sides_have_them():
    base = row(half=0.4, round_medians_s=rounds(1e-3, 0.01, seed=1))
    other = row(time_s=0.5e-3, half=0.4, round_medians_s=rounds(0.5e-3, 0.01, 6, seed=2))
    (pair,) = compare({"a": frame(base), "b": frame(other)}).pairs.to_dict("records")
    assert pair["interval_from"] == "rounds"
    assert 1.9 < pair["low"] < 1.99 < 2.01 < pair["high"] < 2.1
    assert pair["verdict"] == "faster"
    (pair,) = compare(
        {"a": frame(base), "b": frame({**other, "round_medians_s": None})}
    ).pairs.to_dict("records")
    assert pair["interval_from"] == "rows"


def test_equal_rounds_are_no_more_certain_than_runs_are_alike():
    quiet = row(round_medians_s=rounds(1e-3, 1e-6))
    (pair,) = compare({"a": frame(quiet), "b": frame(quiet)}).pairs.to_dict("records")
    assert math.log(pair["high"]) == pytest.approx(math.sqrt(2) * RUN_SCATTER, rel=0.01)
    assert pair["verdict"] == "same"


def test_single_visits_are_undecided_below_what_visits_differ():
    for count in (1, math.nan):
        base, other = row(half=0.001, rounds=count), row(time_s=0.95e-3, half=0.001, rounds=count)
        (pair,) = compare({"a": frame(base), "b": frame(other)}).pairs.to_dict("records")
        assert pair["verdict"] == "undecided"
        assert math.log(pair["high"] / pair["ratio"]) >= VISIT_SCATTER
    far = row(time_s=0.5e-3, half=0.001, rounds=1)
    assert compare({"a": frame(base), "b": frame(far)}).pairs["verdict"][0] == "faster"


def test_published_rows_are_taken_at_their_word():
    said = row(half=0.001, rounds=math.nan, source="a paper")
    (pair,) = compare({"a": frame(said), "b": frame(said)}).pairs.to_dict("records")
    assert math.log(pair["high"]) == pytest.approx(math.sqrt(2) * 0.001, rel=0.01)


def test_an_interval_too_wide_for_a_number_has_no_verdict():
    (pair,) = compare({"a": frame(row(half=0.6)), "b": frame(row(time_s=0.2e-3))}).pairs.to_dict(
        "records"
    )
    assert pair["verdict"] == "undecided"


def test_a_machine_that_was_slower_on_one_side_is_in_the_interval():
    here = {"host": "h", "round_medians_s": rounds(1e-3, 0.001)}
    base, other = row(reference_s=1.03e-4, **here), row(reference_s=1.00e-4, **here)
    (pair,) = compare({"a": frame(base), "b": frame(other)}).pairs.to_dict("records")
    assert pair["machine_shift"] == pytest.approx(math.log(1.03))
    assert math.log(pair["low"]) == pytest.approx(
        -math.log(1.03) - math.log(pair["high"]), rel=0.02
    )
    elsewhere = {**other, "host": "another"}
    (pair,) = compare({"a": frame(base), "b": frame(elsewhere)}).pairs.to_dict("records")
    assert pair["machine_shift"] == 0, "another host may simply be faster"


def test_a_mean_over_cases_of_one_run_knows_a_shared_moment_no_better():
    moments = [np.random.default_rng(seed).normal(0, 0.03, 8) for seed in (1, 2)]
    sides = {}
    for name, moment in zip("ab", moments, strict=True):
        text = " ".join(f"{1e-3 * math.exp(x):.9g}" for x in moment)
        sides[name] = frame(*(row(m, round_medians_s=text) for m in range(1, 21)))
    sets = compare(sides).sets.set_index("set")
    (pair, *_) = compare(sides).pairs.to_dict("records")
    assert sets.loc["all", "cases"] == 20
    assert sets.loc["all", "high"] / sets.loc["all", "low"] == pytest.approx(
        pair["high"] / pair["low"], rel=1e-3
    )


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
    rows = [row(1, half=0.001), row(2, half=0.001), row(3, half=0.001, **layer)]
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
