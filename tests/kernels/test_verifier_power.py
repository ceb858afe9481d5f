"""The verifier's power: the table in docs/methods.md has no gap; tests/test_docs.py keeps it up to date."""

import re
from pathlib import Path

from bench.kernels.dtypes import DTYPES

METHODS = Path(__file__).parents[2] / "docs" / "methods.md"


def test_every_fault_is_seen_in_every_format_and_correct_outputs_pass():
    page = METHODS.read_text(encoding="utf-8")
    table = page.split("<!-- $ python docs/verifier_power_table.py -->")[1].split("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert {kernel for kernel, *_ in rows} == {
        f"`{name}`" for name in ("moe_layer", "matmul", "grouped_matmul", "memory")
    }
    for kernel, fault, *cells in rows:
        assert len(cells) == len(DTYPES)
        for dtype, cell in zip(DTYPES, cells, strict=True):
            if cell != "–":
                seen, trials = re.fullmatch(r"(\d+) of (\d+)", cell).groups()
                assert seen == trials, (kernel, fault, dtype)
