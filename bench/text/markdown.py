"""Markdown in which a value is only text: no link, no HTML, no second cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.text.format import printable

# Characters that begin or end something in CommonMark, or in GitHub's tables, strikethrough and formulas.
# An underscore between letters is only an underscore.
_SPECIAL = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")

# Characters that begin a list, a rule or a heading's underline at the start of a line.
_AT_START = re.compile(r"^([+=-]|\d+(?=[.)]))")

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool] | None = None
) -> str:
    """Return a table; `left` says which columns are aligned left, by default the first only."""
    if not rows:
        return ""
    is_left = left or [place == 0 for place in range(len(header))]
    rule = [":--" if each else "--:" for each in is_left]
    lines = [[escape_markdown(cell) for cell in header], rule]
    lines += [[escape_markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return a text for a cell or a heading that Markdown renders as it is, in one line."""
    text = " ".join(printable(text).split())
    return _SPECIAL.sub(r"\\\g<0>", text).translate(_ENTITIES)


def escape_line(text: str) -> str:
    """Return a text for a paragraph or a list item that Markdown renders as it is."""
    return _AT_START.sub(_escape_start, escape_markdown(text))


def fenced(lines: Sequence[str], language: str) -> str:
    """Return a block of code, with a fence longer than any in the code."""
    code = "\n".join(printable(line) for line in lines)
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _escape_start(start: re.Match[str]) -> str:
    """Escape a character; of a number the dot or parenthesis after it."""
    return f"{start[0]}\\" if start[0].isdigit() else f"\\{start[0]}"
