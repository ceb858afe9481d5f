"""What mkdocs needs to know of this repository: pages outside docs/, and links that leave it.

README.md, ARCHITECTURE.md, CONTRIBUTING.md and CHANGELOG.md become pages of the site. A link to source code
or data becomes its text, because the site has no copy of them; tests/test_docs.py checks that such a link
leads somewhere.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "ARCHITECTURE.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie at the root of the repository."""
    for name, page in PAGES.items():
        text = linked((ROOT / name).read_text(encoding="utf-8"), "")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Resolve the links of a page in docs/."""
    return markdown if page.file.generated_by else linked(markdown, "docs")


def linked(markdown: str, folder: str) -> str:
    """Return a page of a folder of the repository with links as the site has them."""

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        page = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        return link["text"] if page is None else f"[{link['text']}]({page}{link['anchor'] or ''})"

    return LINK.sub(replaced, markdown)
