"""What stands between a user and an NPU, on nodes laid out as Huawei's installers do."""

from __future__ import annotations

import sys

import pytest

from backends.ascend import node


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    for name in ("davinci0", "davinci2", "davinci10", "davinci_manager"):
        (tmp_path / "dev" / name).touch()
    return tmp_path


def test_chips_are_numbered_nodes(root):
    assert node.chip_nodes(root) == ["davinci0", "davinci2", "davinci10"]


def test_no_permission_on_a_chip(root, monkeypatch):
    assert node.permission_problem(root) is None
    # Tests may run as root, who may open everything.
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "davinci2")
    for told in (node.permission_problem(root), node.no_device_reason(root)):
        assert "no permission on /dev/davinci2" in told
        assert "sudo usermod --append --groups HwHiAiUser $USER" in told


def test_no_chip(root, monkeypatch):
    assert "npu-smi info" in node.no_device_reason(root)
    for path in (root / "dev").iterdir():
        path.unlink()
    assert "no /dev/davinci*" in node.no_device_reason(root)
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "9")
    assert "ASCEND_RT_VISIBLE_DEVICES='9'" in node.no_device_reason(root)


def test_cann_that_was_not_sourced(root, monkeypatch):
    assert node.set_env_script(root) is None
    script = root / "usr/local/Ascend/cann/set_env.sh"
    script.parent.mkdir(parents=True)
    script.touch()
    found = node.set_env_script(root)
    assert str(found) == "/usr/local/Ascend/cann/set_env.sh"
    monkeypatch.setattr(node, "set_env_script", lambda: found)
    # What `import torch_npu` raises without CANN's libraries.
    missing = ImportError("libhccl.so: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(node, "npu", lambda: (_ for _ in ()).throw(missing))
    told = node.import_problem()
    assert told.startswith("CANN is not found (libhccl.so")
    assert told.endswith("source /usr/local/Ascend/cann/set_env.sh first")


def test_a_torch_npu_of_another_torch(bench, tmp_path):
    """A torch-npu as pip leaves it, as far as versions are concerned."""
    package = tmp_path / "packages" / "torch_npu-2.9.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-npu\nVersion: 2.9.0\n")
    bench.environment["PYTHONPATH"] = str(package.parent)
    done = bench("run", "smoke", "--backend", "ascend", status=2)
    said = " ".join(done.stderr.split())
    release = node.installed("torch").partition("+")[0]
    assert f"torch-npu 2.9.0 does not fit torch {release}" in said
    assert f"pip install torch-npu=={release}" in said
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("torch", "extension", "fits"),
    [
        ("2.13.0+cpu", "2.13.0", True),
        ("2.1.0", "2.1.0.post10", True),
        ("2.1.0", "2.1.0rc1", True),
        ("2.1.1", "2.1.10", False),
        ("2.13.0", "2.9.0", False),
        (None, "2.9.0", True),
    ],
)
def test_releases_that_belong_together(torch, extension, fits):
    assert node.fits(torch, extension) == fits


def test_versions_of_driver_and_firmware(root):
    assert node.version_file("driver", root) is None
    for part, text in (
        ("driver", "package_version=1\nVersion=25.2.1\n"),
        ("firmware", "version=7.8"),
    ):
        file = root / f"usr/local/Ascend/{part}/version.info"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert node.version_file("driver", root) == "25.2.1"
    assert node.version_file("firmware", root) == "7.8"


def test_nothing_is_simulated_without_the_stand_in():
    assert "torch_npu" not in sys.modules
    assert not node.simulated()
