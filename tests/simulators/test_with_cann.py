"""The simulated node is made from what is there, or says what is missing; nothing half made is kept."""

from __future__ import annotations

import venv

import pytest

from bench.config.load import load_config
from tests.simulators.cann_node import WITH_CANN, command

ROOT = WITH_CANN.parents[2]


def test_a_python_without_torch_is_refused(tmp_path):
    venv.create(tmp_path / "empty", symlinks=True)
    cache = tmp_path / "cache"
    for python, said in (
        (tmp_path / "empty/bin/python", "has no torch and bench; unset PYTHON"),
        (tmp_path / "nothing", "is no program"),
    ):
        environment = {"PYTHON": str(python), "CANN_SIMULATOR_CACHE": str(cache)}
        done = command("true", environment=environment)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert not cache.exists(), "nothing was made for it"


@pytest.mark.slow
def test_a_failed_build_is_tried_again(tmp_path):
    """The environment of the real cache, and no stand-in."""
    assert command("true").returncode == 0
    real, cache = ROOT / ".cann-simulator", tmp_path / "cache"
    cache.mkdir()
    (cache / "venv").symlink_to(real / "venv")
    (cache / "environment").write_text((real / "environment").read_text())
    environment = {"CANN_SIMULATOR_CACHE": str(cache), "CXX": "false"}
    for _ in range(2):
        done = command("true", environment=environment)
        assert (done.returncode, "needs make, gcc and g++" in done.stderr) == (2, True), done.stderr
    assert not (cache / "build/lib/libascendcl.so").exists()


def test_the_config_of_make_ascend_has_the_kernels_of_smoke():
    small, smoke = (
        load_config(str(path)).cases
        for path in (ROOT / "tests/simulators/smoke.yaml", ROOT / "configs/smoke.yaml")
    )
    assert {case.kernel.name for case in small} >= {case.kernel.name for case in smoke}
