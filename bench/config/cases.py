"""A case: one kernel with all its parameters, and the identifier that it has in every result file.

The case_id makes result files comparable. It depends on what is computed and not on how or where:
backend, implementation, device and seed are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.kernels.base import Kernel
from bench.kernels.dtypes import DTYPES, short_dtype


def canonical_json(value: Any) -> str:
    """Format `value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def case_id(kernel: str, dtype: str, parameters: Mapping[str, Any]) -> str:
    """Compute the identifier of a case: a readable prefix and 10 hexadecimal digits of a SHA-256.

    `parameters` are those that differ from their defaults, so that adding a parameter to a kernel does
    not change the identifiers of existing cases.
    """
    digest = hashlib.sha256(canonical_json([kernel, parameters]).encode()).hexdigest()
    return f"{kernel}-{short_dtype(dtype)}-{digest[:10]}"


@dataclass(frozen=True)
class Case:
    """A kernel to measure; `model` names the published model that has its shape, if any."""

    kernel: Kernel
    model: str | None = None

    @cached_property
    def case_id(self) -> str:
        """The identifier of this case in every result file."""
        return case_id(self.kernel.name, self.kernel.dtype, self.kernel.identity())

    @property
    def shape(self) -> str:
        """A short description that tells this case from others of its kernel."""
        return self.kernel.shape(self.model)

    @property
    def title(self) -> str:
        """A readable name, such as `moe_layer bf16 deepseek-v3/32 16 tokens balanced`."""
        words = [self.kernel.name, DTYPES[self.kernel.dtype].short, self.shape]
        words += ["hot"] if self.kernel.cache == "hot" else []
        words += ["graph"] if self.kernel.graph else []
        return " ".join(words)

    @property
    def label(self) -> str:
        """The name of the benchmark in pyperf files, which does not depend on the model's name."""
        return self.kernel.label()
