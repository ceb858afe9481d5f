"""CUDA's errors by their real texts: a sentence that helps, and the right status."""

from __future__ import annotations

import pytest

from backends.cuda.errors import explained, why_no_gpu
from bench.errors import DeviceLost, OutOfMemory, Unsupported

NO_GPU = [
    (
        "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
        "driver by downloading and installing a new version",
        "too old for this torch (built for CUDA 12.8)",
    ),
    ("CUDA driver version is insufficient for CUDA runtime version", "too old for this torch"),
    (
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
        "installed a driver from http://www.nvidia.com/Download/index.aspx",
        "no NVIDIA driver is installed",
    ),
    (
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
        "NumCudaDevices() that might have already set an error? Error 803: system has unsupported "
        "display driver / cuda driver combination",
        "a reboot",
    ),
    ("Error 802: system not yet initialized", "fabricmanager"),
    ("CUDA error: all CUDA-capable devices are busy or unavailable", "EXCLUSIVE_PROCESS"),
    ("OS call failed or operation not supported on this OS", "may not open the GPU"),
    ("No CUDA GPUs are available", "no GPU is visible"),
    ("no CUDA-capable device is detected", "no GPU is visible"),
]


@pytest.mark.parametrize(("text", "said"), NO_GPU)
def test_why_there_is_no_gpu(text, said):
    reason = why_no_gpu(text, built_for="12.8", nvml=None, forbidden=False)
    assert said in reason
    assert "\n" not in reason


def test_files_that_may_not_be_opened_are_the_reason_whatever_cuda_says():
    reason = why_no_gpu("no CUDA-capable device", built_for="12.8", nvml=None, forbidden=True)
    assert "ls -l /dev/nvidia" in reason


def test_an_unknown_reason_is_told_with_nvmls_view():
    reason = why_no_gpu("CUDA unknown error\nmore", built_for=None, nvml="NVML: x", forbidden=False)
    assert reason == "CUDA unknown error (NVML: x)"


DEVELOPERS = (
    "\nCUDA kernel errors might be asynchronously reported\nCompile with TORCH_USE_CUDA_DSA"
)

DURING = [
    ("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has", OutOfMemory, "memory is full"),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", OutOfMemory, "memory is full"),
    ("CUDA error: operation not permitted when stream is capturing", RuntimeError, "cannot record"),
    ("CUDA error: operation failed due to a previous error during capture", RuntimeError, "graph"),
    ("CUDA error: uncorrectable ECC error encountered", RuntimeError, "nvidia-smi -q -d ECC"),
    ("CUDA error: an illegal memory access was encountered", RuntimeError, "which Xid"),
    ("CUDA error: unspecified launch failure", RuntimeError, "which Xid"),
    (
        "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling cublasLtMatmul with transpose_mat1 0",
        Unsupported,
        "no such product on this GPU",
    ),
    ("CUDA error: no kernel image is available for execution", Unsupported, "no code for this"),
    ("CUDA error: no CUDA-capable device is detected", DeviceLost, "the GPU is gone"),
    ("GPU has fallen off the bus", DeviceLost, "the GPU is gone"),
]


@pytest.mark.parametrize(("text", "kind", "said"), DURING)
def test_what_an_error_during_a_case_means(text, kind, said):
    meant = explained(RuntimeError(text + DEVELOPERS))
    assert type(meant) is kind
    assert said in str(meant)
    assert text in str(meant)
    assert "TORCH_USE_CUDA_DSA" not in str(meant)


@pytest.mark.parametrize("error", [ValueError("m is odd"), Unsupported("x"), DeviceLost("y")])
def test_other_errors_stay_as_they_are(error):
    assert explained(error) is error
