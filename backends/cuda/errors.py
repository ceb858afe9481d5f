"""What CUDA's errors mean for a user: a sentence for each, and the status that a case ends with.

The texts are those of cudaGetErrorString (CUDA Runtime API, cudaError) and of torch's own checks; both
carry advice for developers, such as CUDA_LAUNCH_BLOCKING, that a user has no use for.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bench.errors import DeviceLost, OutOfMemory, Unsupported

# Why no GPU can be used, by what an error says; the most specific first.
NO_GPU = (
    (
        r"driver on your system is too old|driver version is insufficient",
        "the NVIDIA driver is too old for this torch{build}; update the driver, or install a torch "
        "that was built for an older CUDA (pytorch.org/get-started)",
    ),
    (
        r"no NVIDIA driver",
        "no NVIDIA driver is installed; install one, or start the container with the GPUs "
        "(docker run --gpus all)",
    ),
    (
        r"unsupported display driver / cuda driver combination|version mismatch",
        "the parts of the NVIDIA driver have different versions, as after an update; a reboot loads the "
        "new kernel module",
    ),
    (
        r"system not yet initialized",
        "the GPUs' fabric is not ready: nvidia-fabricmanager has to run on machines with NVSwitch",
    ),
    (
        r"busy or unavailable",
        "another process uses the GPU exclusively (compute mode EXCLUSIVE_PROCESS), or MIG is on and "
        "has no slice",
    ),
    (
        r"operation not permitted|OS call failed|permission",
        "this user may not open the GPU; see `ls -l /dev/nvidia*`",
    ),
    (r"no CUDA-capable device|No (CUDA|HIP) GPUs are available", "no GPU is visible to CUDA"),
)

# How a case ended, by what an error says: the exception that stands for the status, and a sentence.
DURING_A_CASE: tuple[tuple[str, Callable[[str], Exception], str], ...] = (
    (r"out of memory|CUBLAS_STATUS_ALLOC_FAILED", OutOfMemory, "the GPU's memory is full"),
    (
        r"CUBLAS_STATUS_NOT_SUPPORTED",
        Unsupported,
        "cuBLAS has no such product on this GPU, as of some layouts of int8 and float8",
    ),
    (
        r"no kernel image is available|not compiled with|PTX was compiled with an unsupported",
        Unsupported,
        "this torch has no code for this GPU's architecture; install one that was built for it",
    ),
    (
        r"fallen off the bus|GPU is lost|no CUDA-capable device|No CUDA GPUs are available"
        r"|unable to determine the device handle|device unavailable",
        DeviceLost,
        "the GPU is gone; `dmesg | grep Xid` has details",
    ),
    (
        r"when stream is capturing|error during capture|legacy stream depend on a capturing",
        RuntimeError,
        "the implementation waits for the GPU in the middle of an execution, which a graph cannot "
        "record",
    ),
    (
        r"uncorrectable ECC error|uncorrectable NVLink",
        RuntimeError,
        "the GPU met an uncorrectable memory error (ECC); `nvidia-smi -q -d ECC` counts them, and "
        "`dmesg | grep Xid` says where",
    ),
    (
        r"illegal memory access|misaligned address|illegal instruction|invalid program counter"
        r"|hardware stack error|unspecified launch failure|launch timed out|NVLink error"
        r"|device-side assert|invalid address space",
        RuntimeError,
        "a kernel failed on the GPU, and its context with it; `dmesg | grep Xid` says which Xid",
    ),
)


def why_no_gpu(text: str, *, built_for: str | None, nvml: str | None, forbidden: bool) -> str:
    """Explain in a sentence why CUDA has no GPU.

    `text` is CUDA's error, `built_for` the CUDA version of torch, `nvml` why NVML does not work or None
    where it does, `forbidden` whether there are device files that this user may not open.
    """
    if forbidden:
        text = f"{text} permission"
    build = f" (built for CUDA {built_for})" if built_for else ""
    patterns = NO_GPU if not forbidden else sorted(NO_GPU, key=lambda e: "permission" not in e[0])
    for pattern, sentence in patterns:
        if re.search(pattern, text, re.IGNORECASE):
            return sentence.format(build=build)
    return f"{first_line(text)} ({nvml or 'NVML works'})"


def explained(error: Exception) -> Exception:
    """Translate an error of CUDA to the exception for its status; others come back unchanged."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, (Unsupported, OutOfMemory, DeviceLost)):
        return error
    for pattern, kind, sentence in DURING_A_CASE:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{sentence}; CUDA said: {first_line(str(error))}")
    return error


def first_line(text: str) -> str:
    """Drop the advice for developers that torch adds after the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
