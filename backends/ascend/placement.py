"""Where the operators of a step run: on the AI cores, on the chip's AI CPU, or on the host.

CANN launches an operator on the AI CPU, a few Arm cores of the chip, where it has no AI Core kernel for the
dtype; neither torch-npu nor CANN says so outside of a profile. The table has the choices of CANN's own
sources for the 910B and 910C (github.com/hicann/ops-math and ops-nn, op_api/*.cpp, IsAiCoreSupport), which
profiles confirm: aclnnSort_SortAiCpu_Sort, aclnnCumsum_CumsumAiCpu_Cumsum. torch-npu runs what it has no
kernel for on the host, with no more than a warning in releases before 26.1.0.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
ANY: tuple[torch.dtype, ...] = ()

# By aten's name: the dtypes of the first result that run on the AI CPU.
AI_CPU: Mapping[str, tuple[torch.dtype, ...]] = {
    "sort": INTEGERS,
    "argsort": INTEGERS,
    "cumsum": (torch.int64,),
    "searchsorted": ANY,
    "bucketize": ANY,
    "bincount": ANY,
}
# The host waits for a value: the operator's own result, or the shape of it.
HOST_READS = (
    *("_local_scalar_dense", "item", "nonzero", "nonzero_numpy", "masked_select", "_unique2"),
    "_grouped_mm",  # composed of a product per group
)

FALLBACK_WARNING = re.compile(
    r"[Tt]he operator '([\w:.]+)'.*fall back to run on the CPU", re.DOTALL
)


def is_mask(index: object) -> bool:
    """Whether an index is a mask, whose true values have to be counted."""
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


class Placement(TorchDispatchMode):
    """Collects the operators that leave the AI cores while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ai_cpu: set[str] = set()
        self.host_reads: set[str] = set()
        self.on_host: set[str] = set()
        self._caught = warnings.catch_warnings(record=True)

    def __enter__(self) -> Placement:
        """Begin to collect, warnings of torch-npu included."""
        recorded = self._caught.__enter__()
        assert recorded is not None  # record=True
        self._warnings = recorded
        warnings.simplefilter("always")
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop collecting."""
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._caught.__exit__(kind, error, trace)
        for warning in self._warnings:
            if match := FALLBACK_WARNING.search(str(warning.message)):
                self.on_host.add(match[1])

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Note an operator, and call it."""
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        first = next((value for value in args if isinstance(value, torch.Tensor)), None)
        result = function(*args, **kwargs)
        one = result[0] if isinstance(result, tuple) else result
        if not isinstance(one, torch.Tensor) or first is None:
            if name in HOST_READS:
                self.host_reads.add(name.lstrip("_"))
            return result
        # cumsum of int32 adds up in int64 unless a dtype is given, so the result's decides.
        if name in AI_CPU and (not AI_CPU[name] or one.dtype in AI_CPU[name]):
            self.ai_cpu.add(f"{name} of {one.dtype}".replace("torch.", ""))
        masked = name == "index" and any(is_mask(index) for index in args[1])
        if name in HOST_READS or masked or (one.device.type == "cpu" != first.device.type):
            self.host_reads.add(name.lstrip("_"))
        return result

    def remark(self) -> str | None:
        """Describe what left the AI cores, None where nothing did."""
        parts = []
        if self.ai_cpu:
            parts.append(f"{', '.join(sorted(self.ai_cpu))} on the AI CPU")
        if self.host_reads:
            parts.append(f"the host waits for {', '.join(sorted(self.host_reads))}")
        return f"not on the AI cores alone: {', and '.join(parts)}" if parts else None
