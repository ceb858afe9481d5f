"""What several tests share: plug-in packages that are really installed, and the program as users run it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from tests.simulators.nvml.player import build_driver

# The tensors of the tests are small: a second thread would mostly wait for the first, for long where
# other programs keep the processor busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Models that somebody imported for themselves are not those of the tests.
os.environ["XDG_CONFIG_HOME"] = os.devnull

# A shell lets what it starts in the background ignore Ctrl-C, and programs hand that on to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines that run tests are shared; how long an example takes says nothing about the code. Continuous
# integration judges a change by the same examples each time; new ones are looked for elsewhere.
hypothesis.settings.register_profile("shared", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("shared")

PLUGINS = Path(__file__).parent / "plugins"
IGNORED = shutil.ignore_patterns("__pycache__")
# Built with this environment's setuptools: one environment for each build takes many seconds.
PIP_INSTALL = (
    *(sys.executable, "-m", "pip", "install", "--quiet"),
    *("--no-deps", "--no-build-isolation", "--disable-pip-version-check"),
)


# What goes through a whole command or report is marked `whole`; `make quick` leaves it out. A test is that
# by its folder, or by a fixture that starts the program.
WHOLE_FOLDERS = ("cli", "reporting")
WHOLE_FIXTURES = {"bench", "plugin_packages", "update"}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        in_folder = item.path.relative_to(here).parts[0] in WHOLE_FOLDERS
        if in_folder or WHOLE_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.whole)


@dataclass
class Bench:
    """Runs `bench` in an empty folder, as a user does."""

    folder: Path
    environment: dict[str, str]

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "bench", *map(str, arguments)]

    def __call__(self, *arguments, status=0, timeout=120, **more):
        """Run to the end, check the exit status, and return what was printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **more,
        )
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments, **more):
        """Start without waiting."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture(scope="session")
def plugin_packages(tmp_path_factory) -> Path:
    """A folder into which pip has installed the backends of tests/plugins, once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    target = folder / "site"
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            # Copies, because a build leaves its traces beside what it builds.
            names = ("example_backend", "faulty_backend", "many_devices")
            sources = [tmp_path_factory.mktemp("source") / name for name in names]
            for source in sources:
                shutil.copytree(PLUGINS / source.name, source, ignore=IGNORED)
            installing = tmp_path_factory.mktemp("installing")
            command = [*PIP_INSTALL, "--target", str(installing), *map(str, sources)]
            subprocess.run(command, check=True, capture_output=True)
            installing.rename(target)
    return target


def bench_in(folder: Path, **environment: str) -> Bench:
    """The program in an empty folder, in 100 columns, without colors, and without kept ceilings."""
    home = {"XDG_DATA_HOME": str(folder / "data")}
    return Bench(folder, {**os.environ, **home, "COLUMNS": "100", "NO_COLOR": "1", **environment})


@pytest.fixture
def bench(tmp_path) -> Bench:
    """The program in an empty folder."""
    return bench_in(tmp_path)


@pytest.fixture
def plugged(bench, plugin_packages) -> Bench:
    """The program with the plug-in packages installed."""
    bench.environment["PYTHONPATH"] = str(plugin_packages)
    return bench


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory) -> Path:
    """The stand-in for NVIDIA's management library; needs a C compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not there to build the stand-in for libnvidia-ml.so.1")
    return build_driver(tmp_path_factory.mktemp("nvml"))
