"""Errors of CANN and torch-npu, translated to the harness's exceptions and to sentences for users."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager

from backends.ascend.codes import (
    HCCL,
    LOST,
    NOT_TAKEN,
    NULL_POINTER,
    OPERATORS,
    OUT_OF_MEMORY,
    RUNTIME,
)
from bench.errors import DeviceLost, OutOfMemory, Unsupported

FALLBACK = re.compile(r"operator '([\w:.]+)' would execute its main computation on CPU")
MISSING = re.compile(r"(aclnn\w+) or \w+GetWorkspaceSize not in libopapi")


# CANN's own report, in the formats of its releases:
#   EI0006: [PID: 12] 2025-04-08-18:07:20.444.436 Getting socket times out.
#   EE9999[PID: 697] 2026-05-21-12:39:23.687.932 (EE9999):  rtStreamSynchronize execution failed
#   [PID: 46706] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream …
STAMP = r"(?:\[PID: ?\d+\]\s*)?(?:\d{4}-\d{2}-\S+\s+)?"
REPORT = re.compile(
    rf"\b(E[A-Z]\d{{4}}):?\s*{STAMP}(?:\(\1\):\s*)?([^\n]+)|\b\w+\((E[A-Z]\d{{4}})\):\s*([^\n]+)"
)
# The headline of reports, which says nothing.
EMPTY_REPORT = re.compile(r"Inner Error!?\s*$")

# How the report of error 561103 describes that CANN has no kernel for the operands on this chip
# (github.com/vllm-project/vllm-ascend, issues 573 and 3338).
NO_KERNEL = re.compile(
    r"binary_info_config|Parse ?Dynamic ?Kernel|ADD_TO_LAUNCHER_LIST_AICORE|cannot be found|Tiling failed",
    re.IGNORECASE,
)
HCCL_CODE = re.compile(r"HCCL function error: (\w+).*?error code is (\d{1,2})\b", re.DOTALL)


def code_of(text: str) -> int | None:
    """Extract the CANN error code from an error's text, None where there is none."""
    match = re.search(r"error code(?: is)?\s*:?\s*(\d{6})\b|\b(?:EE|ret:|error:)\s*(\d{6})\b", text)
    return int(match[1] or match[2]) if match else None


def explain(text: str) -> str:
    """Explain an error: what its code means, torch-npu's first sentence, then CANN's own report."""
    sentence = " ".join(text.split("[ERROR]")[0].split())[:300]
    if report := report_of(text):
        sentence = f"{sentence}; {report}"
    if match := HCCL_CODE.search(text):
        cause = HCCL.get(int(match[2]), "not in hccl_types.h")
        return f"{cause} (HCCL error {match[2]} of {match[1]}): {sentence}"
    code = code_of(text)
    meaning_of = {**RUNTIME, **OPERATORS}.get(code) if code is not None else None
    return f"{meaning_of} (CANN error {code}): {sentence}" if meaning_of else sentence


def report_of(text: str) -> str | None:
    """Extract the first sentence of CANN's own report, with its code; None without one."""
    for match in REPORT.finditer(text):
        code, sentence = match[1] or match[3], (match[2] or match[4]).strip()
        if not EMPTY_REPORT.match(sentence):
            return f"{code}: {sentence[:200]}"
    return None


# Operators are launched by a thread of torch-npu, whose exception keeps only the operator's name.
LATE = re.compile(r"The Inner error is reported.*?working operator name is (\w+)", re.DOTALL)


def late_failure(operator: str) -> str:
    """Describe an error that occurred after its operator was launched, with the runtime's code."""
    code = ctypes.CDLL("libascendcl.so").aclrtSynchronizeDevice()
    return f"{operator} failed, error code is {code}" if code else f"{operator} failed"


def meaning(error: Exception) -> Exception:
    """Translate an error of torch-npu: Unsupported, DeviceLost, OutOfMemory, or one with an explanation.

    An error that says nothing about the device is returned unchanged.
    """
    if not isinstance(error, RuntimeError):
        return error
    text = str(error)
    if match := LATE.search(text):
        text = late_failure(match[1])
    if match := FALLBACK.search(text):
        return Unsupported(
            f"{match[1]} would run on the CPU: this torch-npu has no NPU kernel for it"
        )
    if match := MISSING.search(text):
        return Unsupported(
            f"this CANN is too old: it has no operator {match[1]} "
            "(docs/ascend.md lists the operators of each release)"
        )
    code = code_of(text)
    if code in NOT_TAKEN or (code == NULL_POINTER and NO_KERNEL.search(text)):
        return Unsupported(explain(text))
    if code in LOST:
        return DeviceLost(explain(text))
    if code in OUT_OF_MEMORY:
        return OutOfMemory(explain(text))
    if code is None and text == str(error) and not HCCL_CODE.search(text):
        return error
    return RuntimeError(explain(text))


@contextmanager
def in_words() -> Iterator[None]:
    """Translate torch-npu's errors in a block."""
    try:
        yield
    except RuntimeError as error:
        translated = meaning(error)
        if translated is error:
            raise
        raise translated from error
