"""Tables in Markdown, for a pull request, whatever the texts in them are."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, the first column left, the others right; cells cannot break out of it."""
    if not rows:
        return ""
    rule = [":--", *["--:"] * (len(header) - 1)]
    lines = [header, rule, *([escape_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return a text that is only a text in Markdown and HTML."""
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`")):
        text = text.replace(old, new)
    return " ".join(text.split())
