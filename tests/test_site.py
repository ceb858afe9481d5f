"""The documentation site: every page is built, has its place, and no link of it is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built with every warning an error: a broken link, a page without a place."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_has_its_place(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.stem / "index.html").exists(), page.name
        assert f'href="{page.stem}/"' in index, f"{page.name} is not in the nav of mkdocs.yml"


def test_the_start_is_the_readme_and_its_links_stay_on_the_site(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    assert "make run" in index
    assert 'href="docs/' not in index
    assert 'href="ARCHITECTURE/"' in index


def test_the_reference_has_the_docstrings(site):
    reference = (site / "reference" / "index.html").read_text(encoding="utf-8")
    for name in ("bench.results.load.load", "bench.backend.Telemetry", "bench.kernels.base.Kernel"):
        assert f'id="{name}"' in reference
    assert "one data frame" in reference


def test_no_script_is_published(site):
    assert not list(site.glob("*.py"))
