"""Tables in Markdown, for a pull request, whatever the texts in them are."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)
) -> str:
    """Return a table whose columns in `left` are left-aligned, the others right; no rows give no text.

    Cells cannot break out of the table.
    """
    if not rows:
        return ""
    rule = [":--" if place in left else "--:" for place in range(len(header))]
    lines = [header, rule, *([escape_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Return a text that is only a text in Markdown and HTML."""
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`")):
        text = text.replace(old, new)
    return " ".join(text.split())
