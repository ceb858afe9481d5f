"""The release: a wheel, built from the source archive, works in an environment with nothing else in it.

The environment holds the wheel and the distributions that it declares, taken from the environment of the
tests, so that no network is needed and a dependency that is not declared is missing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bench

ROOT = Path(__file__).parents[1]
SOURCES = (
    "bench",
    "backends",
    "configs",
    "results",
    "setup.cfg",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)
NAME = "accelerator-bench"


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> Path:
    """A folder with the source archive, made of a copy of the sources, and the wheel made of it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory) -> Path:
    """An environment with the wheel and what it requires."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (wheel,) = archives.glob("*.whl")
    python = str(environment / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*install, "--no-index", "--no-deps", str(wheel)], check=True)
    (site,) = (environment / "lib").glob("python*/site-packages")
    (found,) = Distribution.discover(name=NAME, path=[str(site)])
    for required in closure(found):
        for entry in sorted({file.parts[0] for file in required.files or ()} - {".."}):
            if not (site / entry).exists():
                (site / entry).symlink_to(str(required.locate_file(entry)))
    return environment


def closure(package: Distribution) -> Iterator[Distribution]:
    """Yield what a distribution requires without its extras, directly or not, each once.

    Raises PackageNotFoundError, or AssertionError for a version that does not satisfy a requirement.
    """
    seen = {canonicalize_name(NAME)}
    waiting = [(package, frozenset[str]())]
    while waiting:
        current, extras = waiting.pop()
        for text in current.requires or ():
            required = Requirement(text)
            named = any(
                required.marker is None or required.marker.evaluate({"extra": extra})
                for extra in ("", *extras)
            )
            if not named or canonicalize_name(required.name) in seen:
                continue
            seen.add(canonicalize_name(required.name))
            found = distribution(required.name)
            assert required.specifier.contains(found.version, prereleases=True), text
            yield found
            waiting.append((found, frozenset(required.extras)))


def run(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={
            **environment,
            "PATH": f"{installed / 'bin'}:{environment['PATH']}",
            "COLUMNS": "100",
            "XDG_DATA_HOME": str(folder / "data"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_complete(installed, tmp_path):
    where = run(installed, tmp_path, "python", "-c", "import bench; print(bench.__file__)")
    assert where.startswith(str(installed)), "the installed one, not the sources"
    (site,) = (installed / "lib").glob("python*/site-packages")
    files = {path.name for folder in ("bench", "backends") for path in (site / folder).rglob("*")}
    assert not {"tests", "conftest.py"} & files
    assert {"nvidia-h100.csv", "ascend-910b2.csv", "prices.csv", "2025-05-podcast.yaml"} <= files
    assert {"models.yaml", "huawei-ascend-910.yaml", "smoke.yaml", "full.yaml", "py.typed"} <= files
    assert {"page.html.jinja", "page.js", "style.css", "vega-licenses.txt"} <= files
    assert not any(name.startswith("test_") for name in files)


@pytest.mark.slow
def test_every_module_of_the_sources_is_in_the_wheel(installed):
    (site,) = (installed / "lib").glob("python*/site-packages")
    for folder in ("bench", "backends"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert (site / path.relative_to(ROOT)).exists(), f"setup.cfg leaves out {path}"


@pytest.mark.slow
def test_the_command_works_from_an_empty_folder(installed, tmp_path):
    assert run(installed, tmp_path, "bench", "--version").split()[-1] == bench.__version__
    assert "smoke" in run(installed, tmp_path, "bench", "list", "configs")
    assert "deepseek-v3" in run(installed, tmp_path, "bench", "list", "models")
    assert "h100-sxm" in run(installed, tmp_path, "bench", "list", "chips")
    assert "refuted" in run(installed, tmp_path, "bench", "claims")
    arguments = ["--backend", "cpu", "--filter", "kernel=matmul,m=512", "--time-budget", "0.1"]
    shown = run(installed, tmp_path, "bench", "run", *arguments)
    assert "512×512×512" in shown
    (result,) = (tmp_path / "results" / "local").glob("smoke-cpu-*.csv")
    run(installed, tmp_path, "bench", "report", str(result), "-o", "report.html")
    assert (tmp_path / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_archives_have_the_version_and_the_license(archives):
    assert {path.name for path in archives.iterdir()} == {
        f"accelerator_bench-{bench.__version__}.tar.gz",
        f"accelerator_bench-{bench.__version__}-py3-none-any.whl",
    }
    listed = subprocess.run(
        ["tar", "tzf", *map(str, archives.glob("*.tar.gz"))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    top = f"accelerator_bench-{bench.__version__}"
    assert {f"{top}/LICENSE", f"{top}/CHANGELOG.md", f"{top}/README.md"} <= set(listed)


def test_the_changelog_leads_to_the_version():
    """Work in progress stands under Unreleased; the newest release has the version of the package."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    releases = [heading for heading in headings if heading != "Unreleased"]
    for release in releases:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", release), release
    if "Unreleased" in headings:
        assert headings[0] == "Unreleased"
    else:
        assert releases[0].startswith(f"{bench.__version__} - ")
