"""A case: one kernel with all its parameters, under a name that stays the same everywhere.

The case_id is what makes two result files comparable: it is derived from what is computed, not from
who computes it, so backend, implementation, device and seed are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.kernels.base import Kernel
from bench.kernels.dtypes import DTYPES


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def case_id(kernel: str, dtype: str, parameters: Mapping[str, Any]) -> str:
    """Return the name of a case: a readable prefix and 10 hexadecimal digits of a SHA-256.

    `parameters` are those that are not at their default, so that a parameter added to a kernel later
    leaves the ids of all earlier cases as they are.
    """
    digest = hashlib.sha256(canonical_json([kernel, parameters]).encode()).hexdigest()
    short = DTYPES[dtype].short if dtype in DTYPES else dtype
    return f"{kernel}-{short}-{digest[:10]}"


@dataclass(frozen=True)
class Case:
    """One kernel to be measured; `model` names the published model whose shape it has, if any."""

    kernel: Kernel
    model: str | None = None

    @cached_property
    def case_id(self) -> str:
        """The name under which this case is found in every result file."""
        return case_id(self.kernel.name, self.kernel.dtype, self.kernel.identity())

    @property
    def shape(self) -> str:
        """What tells this case from others of its kernel, with the model's name if it has one."""
        return self.kernel.shape(self.model)

    @property
    def title(self) -> str:
        """A name for people, such as `moe_layer bf16 deepseek-v3/32 16 tokens balanced`."""
        words = [self.kernel.name, DTYPES[self.kernel.dtype].short, self.shape]
        words += ["hot"] if self.kernel.cache == "hot" else []
        words += ["graph"] if self.kernel.graph else []
        return " ".join(words)

    @property
    def label(self) -> str:
        """A name that does not depend on how the case was asked for, for benchmarks in pyperf."""
        return self.kernel.label()
