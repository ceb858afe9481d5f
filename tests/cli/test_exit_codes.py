"""The statuses and exit codes in docs/results.md are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import bench.cli
from bench.errors import BenchError, UsageError
from bench.results.columns import RUN_AGAIN, STATUSES

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()


def section(title: str) -> dict[str, str]:
    """Return the first two cells of the table under a heading."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| (.+) \|$", text, re.MULTILINE)
    return {first.strip("`"): second for first, second in rows[1:]}


def exit_codes() -> set[int]:
    """Return every number that a command exits with: in sys.exit, as a constant EXIT_…, by an error."""
    codes = {0, BenchError.exit_code, UsageError.exit_code}
    for path in Path(bench.cli.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            value: ast.expr | None = None
            if isinstance(node, ast.Assign):
                names = [each.id for each in node.targets if isinstance(each, ast.Name)]
                value = node.value if any(name.startswith("EXIT_") for name in names) else None
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "sys.exit":
                (value,) = node.args
            if isinstance(value, ast.Constant) and isinstance(value.value, int):
                codes.add(value.value)
    return codes


def test_all_statuses_are_listed_in_order():
    listed = section("Statuses")
    assert tuple(listed) == STATUSES
    assert [name for name, meaning in listed.items() if "--resume" in meaning] == list(RUN_AGAIN)


def test_all_exit_codes_are_listed():
    assert set(map(int, section("Exit codes"))) == exit_codes() == {0, 1, 2, 70, 130}
