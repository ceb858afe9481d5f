"""Puts the output of commands into the pages that quote them, and of cells into notebooks.

    python docs/update.py docs/claims.md docs/compare.ipynb

Between `<!-- $ bench … -->` and `<!-- end -->` stands what the command prints; `<!-- $ python docs/… -->`
does the same for a script of this folder that prints Markdown.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUOTED = re.compile(
    r"(?<=^<!-- \$ )(?P<command>(?:bench|python docs/).*?) -->\n.*?(?=^<!-- end -->$)", re.M | re.S
)


def updated(page: str) -> str:
    """Return a page with the output that its commands give now."""
    return QUOTED.sub(_rendered, page)


def _rendered(quote: re.Match[str]) -> str:
    command = quote["command"]
    program, *arguments = shlex.split(command)
    module = ["-m", "bench"] if program == "bench" else []
    printed = subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=ROOT,
        # Small products are faster in one thread.
        env={**os.environ, "COLUMNS": "100", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    is_markdown = program == "python" or "markdown" in command
    text = printed if is_markdown else f"```\n$ {command}\n{printed}```\n"
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return f"{command} -->\n\n{text}\n\n"


def executed(notebook: str) -> str:
    """Return a notebook with the outputs that its cells give now, in the folder of the docs."""
    import nbclient
    import nbformat

    document = nbformat.reads(notebook, as_version=4)
    resources = {"metadata": {"path": str(ROOT / "docs")}}
    nbclient.NotebookClient(document, kernel_name="python3", resources=resources).execute()
    # What differs from machine to machine says nothing about the page.
    document.metadata = {"kernelspec": document.metadata["kernelspec"]}
    for cell in document.cells:
        cell.metadata = {}
    return str(nbformat.writes(document)) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        update = executed if path.suffix == ".ipynb" else updated
        path.write_text(update(path.read_text(encoding="utf-8")), encoding="utf-8")
