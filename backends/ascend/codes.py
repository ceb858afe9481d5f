"""Error codes of CANN that a benchmark can meet, and what they mean."""

from __future__ import annotations

# The CANN runtime's (acl/error_codes/rt_error_codes.h in torch-npu's wheel).
RUNTIME = {
    107001: "there is no such device",
    107002: "no context on this device: the process was never attached to it",
    107019: "a wait timed out",
    107020: "a task timed out",
    207000: "this chip, driver or CANN does not have the feature",
    207001: "out of memory on the device",
    207004: "there is no device",
    207005: "the device has no resources left; other processes on it may hold them",
    207006: "no permission to use the device",
    207007: "the device has no events left; other processes on it may hold them",
    207008: (
        "the device has no streams left; graphs take some each, and other processes may hold them"
    ),
    207009: "the device has no notifications left; other processes on it may hold them",
    207018: "out of memory on the device",
    507010: "the device's task scheduler has stopped answering",
    507012: "the device has stopped reporting",
    507014: "an AI Core timed out",
    507015: "an AI Core raised an exception",
    507017: "an AI CPU timed out",
    507018: "an AI CPU raised an exception",
    507033: (
        "the device could not be set up: another process may hold it, or its driver is not up; "
        "check both with npu-smi info"
    ),
    507034: "a vector core timed out",
    507035: "a vector core raised an exception",
    507053: "an uncorrectable memory error",
    507054: "an uncorrectable error in the chip's memory (several bits)",
    507899: "the driver reported an internal error; see dmesg and npu-smi info",
}
OUT_OF_MEMORY = (207001, 207018)
# After these, the device answers no process until it has been reset.
LOST = (507010, 507012, 507899)

# The operators' (docs/en/context/aclnn_return_codes_nn.md of github.com/hicann/ops-nn).
OPERATORS = {
    161001: "an operand is missing",
    161002: "CANN does not accept these operands",
    361001: "an operator's call of the runtime failed",
    561002: "CANN found no tiling of the operands for this chip",
    561003: "CANN has no such kernel for this chip, or its kernels package is not installed",
    561103: "an operator met a null pointer",
    561107: "ASCEND_OPP_PATH is not set; source CANN's set_env.sh",
    561112: "the operators' kernels are not loaded; install CANN's kernels package of this chip",
}
# The chip and this CANN cannot compute the case.
NOT_TAKEN = (161002, 561002, 561003, 561112)
# Also the code for a kernel that is missing or has no tiling, as only the report says.
NULL_POINTER = 561103

# HcclResult (hccl/hccl_types.h in torch-npu's wheel).
HCCL = {
    1: "a parameter is wrong",
    2: "a null pointer",
    3: "memory allocation failed",
    4: "internal error",
    5: "this is not supported",
    6: "a resource was not found, often a missing rank",
    7: "a resource is not available",
    8: "a system call failed",
    9: "timeout, often because another rank failed; HCCL_CONNECT_TIMEOUT sets the limit",
    10: "a file could not be opened",
    11: "no TCP connection; HCCL_SOCKET_IFNAME and HCCL_IF_BASE_PORT choose interface and ports",
    12: "no RoCE connection",
    13: "a TCP transfer failed",
    14: "a RoCE transfer failed",
    15: "a call of the runtime failed",
    16: "a call of the driver failed",
    19: "a call of the network failed",
    21: "a transfer to another device failed",
    24: "out of memory",
}
