"""What goes wrong on an Ascend node, told in a user's words: CANN's error codes and torch-npu's texts."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager

from backends.ascend.codes import HCCL, LOST, NOT_TAKEN, OPERATORS, OUT_OF_MEMORY, RUNTIME
from bench.errors import DeviceLost, OutOfMemory, Unsupported

FALLBACK = re.compile(r"operator '([\w:.]+)' would execute its main computation on CPU")
MISSING = re.compile(r"(aclnn\w+) or \w+GetWorkspaceSize not in libopapi")


# CANN's own report, as in `EI0006: [PID: 12] 2025-04-08-18:07:20.444.436 Getting socket times out.`
REPORT = re.compile(r"\b(E[A-Z]\d{4}): (?:\[PID: ?\d+\] )?(?:\d{4}-\S+ )?([^\n]+)")
HCCL_CODE = re.compile(r"HCCL function error: (\w+).*?error code is (\d{1,2})\b", re.DOTALL)


def code_of(text: str) -> int | None:
    """Return the CANN error code in an error's text, None where there is none."""
    found = re.search(r"error code is (\d{6})|\b(?:EE|ret:|error:)\s*(\d{6})\b", text)
    return int(found[1] or found[2]) if found else None


def explain(text: str) -> str:
    """Return an error's first sentence, before it what its code means, after it CANN's own report."""
    sentence = " ".join(text.split("[ERROR]")[0].split())[:300]
    if report := REPORT.search(text):
        sentence = f"{sentence}; {report[1]}: {report[2].strip()[:200]}"
    if found := HCCL_CODE.search(text):
        known = HCCL.get(int(found[2]), "not in hccl_types.h")
        return f"{known} (HCCL error {found[2]} of {found[1]}): {sentence}"
    code = code_of(text)
    meaning_of = {**RUNTIME, **OPERATORS}.get(code) if code is not None else None
    return f"{meaning_of} (CANN error {code}): {sentence}" if meaning_of else sentence


# Operators are launched by a thread of torch-npu's, whose exception keeps the operator's name only.
LATE = re.compile(r"The Inner error is reported.*?working operator name is (\w+)", re.DOTALL)


def late_failure(operator: str) -> str:
    """Return the text of an error that came up after its operator had been launched."""
    code = ctypes.CDLL("libascendcl.so").aclrtSynchronizeDevice()
    return f"{operator} failed, error code is {code}" if code else f"{operator} failed"


def meaning(error: Exception) -> Exception:
    """Return what an error of torch-npu's stands for: Unsupported, DeviceLost, or one with its meaning.

    Running out of memory keeps torch's own error, whose text says how much was asked for; an error
    that says nothing about the device is returned as it is.
    """
    if not isinstance(error, RuntimeError):
        return error
    text = str(error)
    if found := LATE.search(text):
        text = late_failure(found[1])
    if found := FALLBACK.search(text):
        return Unsupported(
            f"{found[1]} would run on the CPU: this torch-npu has no NPU kernel of it"
        )
    if found := MISSING.search(text):
        return Unsupported(
            f"this CANN is too old: it has no operator {found[1]} "
            "(docs/ascend.md lists which release has which)"
        )
    code = code_of(text)
    if code in NOT_TAKEN:
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
    """Raise what torch-npu's errors in a block stand for."""
    try:
        yield
    except RuntimeError as error:
        meant = meaning(error)
        if meant is error:
            raise
        raise meant from error
