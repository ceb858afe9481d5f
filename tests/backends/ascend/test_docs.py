"""docs/ascend.md's table of what is called, held against the source and the simulated CANN."""

from __future__ import annotations

import ast
import re
from itertools import takewhile
from pathlib import Path

from backends.ascend.placement import AI_CPU

ROOT = Path(__file__).parents[3]
SOURCES = [
    *sorted((ROOT / "backends" / "ascend").glob("*.py")),
    ROOT / "backends" / "torch" / "events.py",
    ROOT / "backends" / "torch" / "graphs.py",
]
NOT_CALLS = {"__version__", "npu"}


def table():
    """Return the rows as dictionaries by the heading's names."""
    lines = (ROOT / "docs" / "ascend.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| API |"))
    heading, _, *rest = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in takewhile(lambda line: line.startswith("|"), lines[start:])
    ]
    return [dict(zip(heading, row, strict=True)) for row in rest]


def names(row):
    """Return the functions of a row; what follows `with`, `to` or `any` says how they are used."""
    listed = re.split(r", (?:with|to|any) ", row["API"])[0]
    return [name.strip() for name in listed.split(",")]


def operators(row):
    return re.findall(r"acl\w+", row["reaches"])


def dotted(node):
    """Return `npu.Event` for an Event of torch_npu.npu, npu(), or torch's module of a device; else None.

    Sources that know any torch device ask torch for its module, and keep it as `module` or `_module`.
    """
    parts = []
    while isinstance(node, ast.Attribute):
        if node.attr == "_module":
            return ".".join(["npu", *parts])
        parts.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("npu", "torch.get_device_module"):
        return ".".join(["npu", *parts])
    if isinstance(node, ast.Name) and node.id == "module":
        return ".".join(["npu", *parts])
    if isinstance(node, ast.Name) and node.id == "torch_npu":
        return ".".join(parts)
    return None


def called(text):
    """Return what a source asks of torch_npu, each by its longest name."""
    tree = ast.parse(text)
    found = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch_npu."):
            module = node.module.removeprefix("torch_npu.")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    found = {name for name in found if name and name not in NOT_CALLS}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def test_what_counts_as_called():
    text = (
        "import torch_npu\n"
        "from torch_npu.npu.utils import get_cann_version\n"
        "torch_npu.npu_swiglu(x)\n"
        "npu().matmul.allow_hf32 = True\n"
        "self._module.Event(enable_timing=True).record()\n"
        "torch.get_device_module(device).Stream(0)\n"
        "module.graph(stream=stream)\n"
        "torch.mm(x, y)\n"
    )
    assert called(text) == {
        "npu.utils.get_cann_version",
        "npu_swiglu",
        "npu.matmul.allow_hf32",
        "npu.Event",
        "npu.Stream",
        "npu.graph",
    }


def test_the_table_lists_every_call_and_nothing_else():
    in_source = set().union(*(called(path.read_text()) for path in SOURCES))
    listed = [name for row in table() for name in names(row)]
    assert sorted(listed) == sorted(in_source)


def test_every_row_has_a_version():
    release = re.compile(r"\d+\.\d+\.(\d+|rc\d|RC\d)( \[\d\])?")
    for row in table():
        assert release.fullmatch(row["torch-npu"]), row
        assert release.fullmatch(row["CANN"]), row


def test_where_operators_run():
    assert {row["runs on"] for row in table()} <= {"AI Core", "AI CPU", "host"}
    text = (ROOT / "docs" / "ascend.md").read_text()
    start = text.index("| aten | dtypes |")
    rows = text[start : text.index("\n\n", start)].splitlines()[2:]
    listed = {name.strip() for row in rows for name in row.split("|")[1].split(",")}
    assert listed == set(AI_CPU)


def test_simulated_is_what_the_stand_in_defines():
    simulator = ROOT / "tests" / "simulators" / "cann"
    source = "\n".join(path.read_text() for path in sorted(simulator.glob("*.cpp")))
    defined = set(re.findall(r"(?:ACLNN|PRODUCT)\w*\((aclnn\w+)", source))
    defined |= set(re.findall(r"SIMULATOR_API[^;{]*?\b(acl\w+)\(", source))
    for row in table():
        simulated = {"yes": True, "no": False}[row["simulated"]]
        assert set(operators(row)).issubset(defined) == simulated, row
