"""Errors of torch-npu and CANN, as their texts are, told in a user's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backends.ascend.codes import HCCL, LOST, NOT_TAKEN, OPERATORS, OUT_OF_MEMORY, RUNTIME
from backends.ascend.errors import code_of, explain, in_words
from bench.errors import DeviceLost, OutOfMemory, Unsupported
from tests.simulators.cann_node import command

HEARTBEAT = "call aclnnMm failed, error code is 507010\n[ERROR] 2026 (PID:1) ERR00100"

# Of github.com/vllm-project/vllm-ascend/issues/405 and /486, shortened.
PORT_TAKEN = (
    "createHCCLComm:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:1479 HCCL function error: "
    "HcclGetRootInfo(&hcclID), error code is 11\n"
    "[ERROR] 2025-03-26-17:01:03 (PID:159, Device:0, RankID:-1) ERR02200 DIST call hccl api failed.\n"
    "EJ0003: [PID: 159] 2025-03-26-17:01:02.816.428 Failed to bind the IP port. Reason: The IP "
    "address and port have been bound already.\n        TraceBack (most recent call last):\n"
)

# Of the same project, issues 9691 and 3338, and a report of a kernel that is not installed, shortened.
NO_STREAM = (
    "capture_begin: NPU function error: AclmdlRICaptureBegin, error code is 207008\n"
    "[ERROR] 2026-06-04-10:17:18 (PID:46706, Device:0, RankID:-1) ERR00100 PTA call acl api failed\n"
    "[PID: 46706] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream "
    "resources are insufficient.\n"
)
NO_TILING = (
    "NPU function error: call aclnnMoeInitRoutingV3 failed, error code is 561103\n"
    "[ERROR] 2025-10-29-03:18:08 (PID:24481, Device:0, RankID:-1) ERR00100 PTA call acl api failed.\n"
    "EZ9999: Inner Error!\nEZ9999[PID: 24481] 2025-10-29-03:18:08.948.444 (EZ9999):  The first dim of "
    "expertTokensCountOrCumsum should be 128.[FUNC:CheckTokenCount]\n  Tiling failed\n"
)
NO_BINARY = (
    "call aclnnInplaceZero failed, error code is 561103\nConfig_Error(EZ1013): In the dynamic shape "
    "scenario, the JSON configuration file of operator ZerosLikeAiCore cannot be found.\n"
)


def raised(text):
    """Return what an error of torch-npu's with this text becomes."""
    try:
        with in_words():
            raise RuntimeError(text)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (HEARTBEAT, DeviceLost, "task scheduler has stopped answering (CANN error 507010)"),
        ("error code is 507899", DeviceLost, "the driver reported an internal error"),
        ("ACL stream synchronize failed, error code:507010", DeviceLost, "(CANN error 507010)"),
        ("copy_d2h NPU error,NPU error code is:507899\n", DeviceLost, "(CANN error 507899)"),
        ("CreateStream: error code is 207005", RuntimeError, "no resources left"),
        ("CreateEvent: error code is 207007", RuntimeError, "no events left"),
        ("CreateNotify: error code is 207009", RuntimeError, "no notifications left"),
        (NO_STREAM, RuntimeError, "no streams left"),
        (NO_BINARY, Unsupported, "EZ1013: In the dynamic shape scenario"),
        (NO_TILING, Unsupported, "EZ9999: The first dim of expertTokensCountOrCumsum"),
        ("call aclnnMm failed, error code is 561103", RuntimeError, "a null pointer"),
        ("call aclnnMm failed, error code is 207001", OutOfMemory, "out of memory"),
        ("call aclnnMm failed, error code is 207018", OutOfMemory, "out of memory"),
        ("call aclnnMm failed, error code is 161002", Unsupported, "does not accept these operands"),
        ("call aclnnMm failed, error code is 561003", Unsupported, "no such kernel for this chip"),
        ("call aclnnMm failed, error code is 561112", Unsupported, "install CANN's kernels package"),
        ("call aclnnMm failed, error code is 561107", RuntimeError, "source CANN's set_env.sh"),
        ("call aclnnMm failed, error code is 507015", RuntimeError, "an AI Core raised an exception"),
        ("SetDevice: error code is 507033", RuntimeError, "another process may hold it"),
        ("SetDevice: error code is 207006", RuntimeError, "no permission to use the device"),
        ("The operator 'aten::_int_mm' would execute its main computation on CPU", Unsupported,
         "no NPU kernel"),
        ("aclnnFoo or aclnnFooGetWorkspaceSize not in libopapi.so", Unsupported,
         "this CANN is too old: it has no operator aclnnFoo"),
        (PORT_TAKEN, RuntimeError, "no TCP connection"),
    ],
)  # fmt: skip
def test_errors_in_words(text, kind, said):
    error = raised(text)
    assert type(error) is kind
    assert said in str(error)
    assert "[ERROR]" not in str(error)


def test_the_report_of_cann_is_kept():
    told = explain(PORT_TAKEN)
    assert "(HCCL error 11 of HcclGetRootInfo)" in told
    assert "HCCL_IF_BASE_PORT" in told
    assert "EJ0003: Failed to bind the IP port. Reason: The IP address and port have been" in told
    assert "TraceBack" not in told


def test_errors_of_another_kind_are_left_alone():
    assert code_of("of another kind") is None
    assert str(raised("of another kind")) == "of another kind"
    assert explain("error code is 999999").startswith("error code is 999999")


def test_codes_are_in_one_table_only():
    assert not RUNTIME.keys() & OPERATORS.keys()
    assert set(LOST) | set(OUT_OF_MEMORY) <= RUNTIME.keys()
    assert set(NOT_TAKEN) <= OPERATORS.keys()


@pytest.mark.slow
def test_codes_are_those_of_the_headers():
    """torch-npu brings CANN's headers along."""
    where = (
        "import importlib.util as u; print(*u.find_spec('torch_npu').submodule_search_locations)"
    )
    folder = Path(command("python", "-c", where).stdout.strip()) / "include/third_party"
    runtime = (folder / "acl/inc/acl/error_codes/rt_error_codes.h").read_text()
    assert {str(code) for code in RUNTIME} <= set(re.findall(r"\b\d{6}\b", runtime))
    hccl = (folder / "hccl/inc/hccl/hccl_types.h").read_text()
    assert {str(code) for code in HCCL} <= set(re.findall(r"HCCL_E_\w+ = (\d+)", hccl))
