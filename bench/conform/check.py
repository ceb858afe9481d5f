"""A check of a backend: what it is about, what the contract says, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.conform.subject import Subject

Verdict = Literal["passed", "failed", "not applicable"]
# What a check is run for: the backend, one of its cases, each kernel, or each implementation.
Scope = Literal["backend", "case", "kernel", "implementation"]


@dataclass(frozen=True)
class Check:
    """One check.

    `contract` names the part of bench/backend.py that promises `expected`. `run` returns what was seen,
    or raises Failed or NotApplicable; any other exception fails the check, too.
    """

    name: str
    contract: str
    expected: str
    run: Callable[[Subject], str]
    scope: Scope = "case"


@dataclass(frozen=True)
class CheckResult:
    """How a check ended; `target` is the kernel or implementation that it was run for, if any."""

    check: str
    target: str
    verdict: Verdict
    seen: str
    expected: str
    contract: str
    seconds: float
