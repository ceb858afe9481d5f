"""Which rows a filter keeps and in which order, on frames as `load` returns them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.selection import select, sort
from bench.config.cases import canonical_json
from bench.config.filters import parse_filter
from bench.errors import UsageError
from bench.kernels.matmul import Matmul
from bench.results.load import load
from tests.results.bad_files import sound
from tests.results.conftest import make_row


@pytest.fixture
def frame(tmp_path):
    parameters = Matmul(m=65, n=32, k=16, dtype="bfloat16", graph=True).parameters()
    plugged = {
        "kernel": "own",
        "case_id": "own-bf16-0123456789",
        "params": canonical_json({**parameters, "gate": None}),
    }
    rows = [
        make_row(64, energy_j=0.5, verified=True),
        make_row(65, implementation="triton", model="b", **plugged),
        make_row(Matmul(m=66, n=32, k=16, dtype="float32"), model="a", simulated=True),
    ]
    (tmp_path / "r.csv").write_bytes(sound(*rows))
    return load(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("dtype=bfloat16", [64, 65]),
        ("dtype=bfloat16|float32,m=65|66", [65, 66]),
        ("model=None", [64]),
        ("model=a|None", [64, 66]),
        ("energy_j=0.50", [64]),
        ("energy_j=None", [65, 66]),
        ("energy_j=much|0.5", [64]),
        ("simulated=true", [66]),
        ("simulated=True", [66]),
        ("graph=true", [65]),
        ("gate=None,m=65", [65]),
        ("started_at=2026-01-02T03:04:05.678Z,m=64", [64]),
    ],
)
def test_a_filter_leaves_what_has_the_values(frame, text, left):
    assert list(select(frame, parse_filter(text))["m"]) == left


def test_a_filter_works_on_rows_in_any_order_and_repeated(frame):
    rows = pd.concat([frame, frame]).sort_values("m", ascending=False)
    assert list(select(rows, parse_filter("model=a"))["m"]) == [66, 66]
    assert list(select(rows, parse_filter("graph=true"))["m"]) == [65, 65]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m=99", "'m=99' selects no row; in these rows m is 64, 65, 66"),
        ("simulated=yes", "simulated is false, true"),
        ("mdoel=a", r"unknown key 'mdoel' \(did you mean 'model'"),
    ],
)
def test_what_selects_nothing_is_an_error(frame, text, message):
    with pytest.raises(UsageError, match=message):
        select(frame, parse_filter(text))


def test_unknown_is_last_whichever_way(frame):
    assert list(sort(frame, ["model"])["m"]) == [66, 65, 64]
    assert list(sort(frame, ["-model"])["m"]) == [65, 66, 64]
    assert list(sort(frame, [])["m"]) == [64, 65, 66]


@given(st.lists(st.tuples(st.sampled_from("cab"), st.integers(1, 3)), max_size=9))
def test_texts_sort_by_alphabet_and_equal_rows_stay_in_order(pairs):
    frame = pd.DataFrame(pairs, columns=["host", "m"]).astype({"host": "category"})
    ordered = sort(frame, ["host", "-m"])
    expected = sorted(range(len(pairs)), key=lambda place: (pairs[place][0], -pairs[place][1]))
    assert list(ordered.index) == expected
