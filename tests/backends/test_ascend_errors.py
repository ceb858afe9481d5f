"""Errors of torch-npu and CANN, as their texts are, told in a user's words."""

from __future__ import annotations

import pytest

from backends.ascend_errors import code_of, explain, in_words
from bench.errors import DeviceLost, OutOfMemory, Unsupported


def test_errors_are_told_in_words():
    text = "call aclnnMm failed, error code is 507010\n[ERROR] 2026 (PID:1) ERR00100"
    assert code_of(text) == 507010
    assert explain(text).startswith("the device's task scheduler has stopped answering")
    for message, kind in (
        (text, DeviceLost),
        ("call aclnnMm failed, error code is 207001", OutOfMemory),
        ("call aclnnMm failed, error code is 161002", Unsupported),
        ("The operator 'aten::_int_mm' would execute its main computation on CPU", Unsupported),
        ("aclnnFoo or aclnnFooGetWorkspaceSize not in libopapi.so", Unsupported),
    ):
        with pytest.raises(kind), in_words():
            raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="of another kind"), in_words():
        raise RuntimeError("of another kind")
