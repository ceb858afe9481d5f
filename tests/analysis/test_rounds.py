"""Rounds behind rows: read from text, paired, and shared by the cases of a run."""

import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis.rounds import log_ratios, round_logs, shared_log_ratio


def test_texts_are_read_and_gaps_stay_gaps():
    logs = round_logs(pd.Series(["1 2.5e-1", None, "4"], dtype=object))
    np.testing.assert_allclose(logs[0], [0, math.log(0.25)])
    assert logs[1] is None
    np.testing.assert_allclose(logs[2], [math.log(4)])
    assert list(round_logs(pd.Series([None, None], dtype=object))) == [None, None]


def test_pairs_of_all_lengths_get_what_their_rounds_allow():
    random = np.random.default_rng(0)
    lengths = [(8, 8), (6, 9), (8, 8), (2, 8), (1, 1)]
    base, other = np.full(6, None, object), np.full(6, None, object)
    for place, (n, m) in enumerate(lengths):
        base[place], other[place] = random.normal(1, 0.01, n), random.normal(0, 0.01, m)
    base[5] = random.normal(1, 0.01, 8)
    center, low, high = log_ratios(base, other)
    assert center[:4] == pytest.approx(1, abs=0.05)
    assert (low[:4] < high[:4]).all()
    assert np.isnan(low[4:]).all()


def test_a_moment_that_all_cases_share_is_not_averaged_away():
    """Twenty cases of one run: rounds scatter together by 3 %, and each case by 0.1 % of its own."""
    random = np.random.default_rng(1)
    covered = widths = 0
    for _ in range(200):
        sides = []
        for _ in range(2):
            moments = random.normal(0, 0.03, 8)
            sides.append([moments + random.normal(0, 0.001, 8) for _ in range(20)])
        low, high = shared_log_ratio(*sides)
        covered += low <= 0 <= high
        widths += (high - low) / 2 / 200
    assert covered >= 186
    assert widths > 0.02, "twenty cases know the moment no better than one"


def test_a_case_without_rounds_leaves_the_shared_interval_unknown():
    rounds = np.zeros(8)
    assert shared_log_ratio([rounds, None], [rounds, rounds]) is None
    assert shared_log_ratio([], []) is None
    assert shared_log_ratio([rounds[:2]], [rounds[:2]]) is None
