"""Texts about findings."""

from __future__ import annotations

import pytest

from bench.claims.judge import Finding
from bench.claims.load import load_claims
from bench.claims.wording import claimed_value, overall_verdict


@pytest.fixture(scope="module")
def claims():
    return {claim.id: claim for claim, _ in load_claims("2025-05-podcast").claims}


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ("r", "Refuted."),
        ("mm", "Mixed in both readings."),
        ("rrr", "Refuted in all 3 readings."),
        ("rrs", "Of 3 readings, refuted in 2, supported in 1. It holds only as: reading 2."),
        ("sr", "Of 2 readings, supported in 1, refuted in 1."),
        ("ur", "Of 2 readings, untestable in 1, refuted in 1."),
    ],
)
def test_the_sentence_on_all_readings(claims, verdicts, sentence):
    names = {"r": "refuted", "s": "supported", "m": "mixed", "u": "untestable"}
    some = claims["chips-of-the-new-model"]
    findings = [
        Finding(some.model_copy(update={"reading": f"reading {place}"}), names[letter], "")
        for place, letter in enumerate(verdicts)
    ]
    assert overall_verdict(findings) == sentence


def test_a_tolerance_is_shown(claims):
    shown = {
        name: claimed_value(Finding(claim, "untestable", "")) for name, claim in claims.items()
    }
    assert shown["chips-of-the-predecessor"] == "8000 ± 3 %"
    assert shown["cheaper-by-the-rumored-input-price"] == "0.973 ± 0.05 %"
    assert shown["utilization-of-the-peak"] == "≥ 0.82"
    assert shown["chips-of-the-new-model"] == "6000"
