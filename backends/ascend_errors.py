"""What goes wrong on an Ascend node, told in a user's words: CANN's error codes and torch-npu's texts."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import DeviceLost, OutOfMemory, Unsupported

# Codes of the CANN runtime (acl/error_codes/rt_error_codes.h) that a benchmark can run into, and what
# they mean. After those of LOST, the device answers no process until it has been reset.
MEANINGS = {
    107002: "no context on this device: the process was never attached to it",
    107020: "a task ran into its time limit",
    207000: "this chip, driver or CANN does not have the feature",
    207001: "out of memory on the device",
    507010: "the device's task scheduler has stopped answering",
    507012: "the device has stopped reporting",
    507014: "an AI Core ran into its time limit",
    507015: "an AI Core raised an exception",
    507017: "an AI CPU ran into its time limit",
    507018: "an AI CPU raised an exception",
    507033: "the device cannot be opened: it is occupied, or its driver is not up",
    507053: "an uncorrectable memory error",
    507899: "the driver reported an internal error",
}
OUT_OF_MEMORY = 207001
LOST = (507010, 507012, 507899)

# What aclnn returns for operands it does not take, and for kernels that this CANN does not bring.
NOT_TAKEN = {
    161002: "CANN does not take these operands",
    561003: "CANN has no such kernel for this chip",
    561103: "CANN has no such kernel for this chip",
    561107: "the operators of CANN for this chip are not installed (the kernels package)",
}

FALLBACK = re.compile(r"operator '([\w:.]+)' would execute its main computation on CPU")
MISSING = re.compile(r"(aclnn\w+) or \w+GetWorkspaceSize not in libopapi")


def code_of(text: str) -> int | None:
    """Return the CANN error code in an error's text, None where there is none."""
    found = re.search(r"error code is (\d{6})|\b(?:EE|ret:|error:)\s*(\d{6})\b", text)
    return int(found[1] or found[2]) if found else None


def explain(text: str) -> str:
    """Return an error's first sentence, and what its code means."""
    code = code_of(text)
    sentence = " ".join(text.split("[ERROR]")[0].split())[:300]
    known = MEANINGS.get(code) or NOT_TAKEN.get(code) if code is not None else None
    return f"{known} (CANN error {code}): {sentence}" if known else sentence


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
        return Unsupported(f"this CANN has no operator {found[1]}; a newer one may")
    code = code_of(text)
    if code in NOT_TAKEN:
        return Unsupported(explain(text))
    if code in LOST:
        return DeviceLost(explain(text))
    if code == OUT_OF_MEMORY:
        return OutOfMemory(explain(text))
    if code is None and text == str(error):
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
