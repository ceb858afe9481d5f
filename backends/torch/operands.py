"""Operands on torch devices: dtypes, copies to and from the host, and how many sets a cold run needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from bench.kernels.base import Operand

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,
    "hf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
    "float8_e4m3": torch.float8_e4m3fn,
}

# A longer rotation costs much in Python and hardly changes what a cache holds.
MOST_INPUT_SETS = 4096


def input_sets(size_bytes: int, cache_bytes: int | None, free_bytes: int | None) -> int:
    """Decide how many sets of operands a cold run rotates through.

    Between two uses of the same memory, twice the size of the last-level cache has to be read. Sets take
    at most a quarter of the free memory; a case that is larger has one set.
    """
    if not cache_bytes:
        return 1
    needed = -(-2 * cache_bytes // size_bytes)
    affordable = free_bytes // 4 // size_bytes if free_bytes is not None else needed
    return max(1, min(needed, affordable, MOST_INPUT_SETS))


def to_device(operand: Operand, device: torch.device) -> torch.Tensor:
    """Copy an operand to the device in its dtype; exact, since values were rounded on the host."""
    dtype = TORCH_DTYPES.get(operand.dtype)
    if dtype is None:
        return torch.from_numpy(operand.array).to(device)
    return torch.from_numpy(operand.array).to(dtype).to(device)


def to_host(tensor: torch.Tensor) -> NDArray[Any]:
    """Copy a tensor to a numpy array of a type that holds its values exactly."""
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn):
        tensor = tensor.cpu().to(torch.float32)
    array: NDArray[Any] = np.asarray(tensor.cpu().numpy())
    return array


def spoil(tensor: torch.Tensor) -> None:
    """Overwrite a tensor with what no kernel computes: NaN, or the smallest integer."""
    if tensor.dtype.is_floating_point:
        tensor.fill_(float("nan"))
    else:
        tensor.fill_(torch.iinfo(tensor.dtype).min)


class TouchedMemory(TorchFunctionMode):
    """Writes to the results that steps allocate on a processor, as soon as they are allocated.

    Linux gives a page to a process when it is first written. With hundreds of results in a rotation,
    that would happen in the middle of the samples: a copy of 64 MiB takes 14 ms then instead of 5.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch; fill what it allocates without values."""
        result = function(*args, **(kwargs or {}))
        if function in _ALLOCATING and result.device.type == "cpu":
            result.zero_()
        return result


_ALLOCATING = (torch.empty, torch.empty_like, torch.Tensor.new_empty)
