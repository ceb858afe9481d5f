"""What is told about NPUs, on nodes laid out as Huawei's installers do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from backends.ascend.chip import ChipProcess, ChipReading
from backends.ascend.doctor import SHARED_NODES, Node, diagnose

HOME = "/usr/local/Ascend/ascend-toolkit/latest"
INSTALLED = {"torch": "2.13.0+cpu", "torch-npu": "2.13.0"}


@dataclass
class Chips:
    """Sensors that have said all they have to say."""

    found: list[ChipReading]
    name: str = "DCMI"
    interval_s: float = 1.0

    def chips(self):
        return self.found

    def read(self, chip):
        return chip


@dataclass
class Layout:
    """A node where all is well; tests take something away."""

    root: object
    environment: dict[str, str] = field(default_factory=lambda: {"ASCEND_HOME_PATH": HOME})
    packages: dict[str, str] = field(default_factory=lambda: dict(INSTALLED))
    chips: list[ChipReading] | None = field(default_factory=lambda: [ChipReading(0, 0, logic_id=0)])

    def write(self, path, text=""):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def look(self):
        sensors = (None, "no telemetry: none") if self.chips is None else (Chips(self.chips), None)
        node = Node(self.root, self.environment, self.packages.get, lambda: sensors, {0, 1, 40})
        return {finding.topic: finding for finding in diagnose(node)}


@pytest.fixture
def node(tmp_path):
    node = Layout(tmp_path)
    for name in ("davinci0", "davinci1", *SHARED_NODES):
        node.write(f"dev/{name}")
    node.write("usr/local/Ascend/driver/version.info", "package_version=25.2.1\nVersion=25.2.1\n")
    node.write(f"{HOME[1:]}/x86_64-linux/ascend_toolkit_install.info", "arch=x\nversion=8.3.RC1\n")
    node.write("usr/local/Ascend/ascend-toolkit/set_env.sh")
    return node


def test_a_node_where_all_is_well(node):
    found = node.look()
    assert {finding.level for finding in found.values()} == {"ok"}
    assert found["NPU"].text == "2 devices: davinci0, davinci1"
    assert found["driver"].text == "25.2.1"
    assert found["CANN"].text == f"8.3.RC1 ({HOME})"
    assert found["torch-npu"].text == "2.13.0"


def test_no_device(node):
    for path in (node.root / "dev").iterdir():
        path.unlink()
    assert node.look()["NPU"].level == "fail"
    assert "--device=/dev/davinci_manager" in node.look()["NPU"].mend


def test_a_container_with_half_of_the_nodes(node):
    (node.root / "dev/devmm_svm").unlink()
    diagnosed = diagnose(Node(node.root, {}, dict.get.__get__(INSTALLED), lambda: (None, "none")))
    assert any("/dev/devmm_svm missing" in finding.text for finding in diagnosed)


def test_no_permission(node, monkeypatch):
    # Tests may run as root, who may open everything.
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "davinci1")
    found = node.look()["permission"]
    assert found.level == "fail"
    assert "/dev/davinci1" in found.text
    assert "usermod --append --groups HwHiAiUser" in found.mend


def test_cann_that_is_not_in_the_environment(node):
    node.environment = {}
    found = node.look()["CANN"]
    assert (found.level, found.mend) == (
        "fail",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh",
    )
    (node.root / "usr/local/Ascend/ascend-toolkit/set_env.sh").unlink()
    assert "not found" in node.look()["CANN"].text
    node.environment = {"ASCEND_HOME_PATH": "/nowhere"}
    assert "does not exist" in node.look()["CANN"].text


@pytest.mark.parametrize(
    ("torch", "extension", "level", "mend"),
    [
        ("2.13.0+cpu", None, "fail", "pip install torch-npu==2.13.0"),
        ("2.13.0+cpu", "2.9.0", "fail", "pip install torch-npu==2.13.0"),
        ("2.1.0", "2.1.0.post10", "ok", None),
        ("2.1.0", "2.1.0rc1", "ok", None),
        ("2.1.1", "2.1.10", "fail", "pip install torch-npu==2.1.1"),
        (None, None, "fail", "pip install torch-npu==VERSION_OF_TORCH"),
    ],
)
def test_versions_have_to_fit(node, torch, extension, level, mend):
    node.packages = {"torch": torch, "torch-npu": extension}
    assert (node.look()["torch-npu"].level, node.look()["torch-npu"].mend) == (level, mend)


def test_a_missing_driver(node):
    (node.root / "usr/local/Ascend/driver/version.info").unlink()
    assert node.look()["driver"].level == "warn"


def test_settings_that_slow_down(node):
    node.environment |= {"ASCEND_LAUNCH_BLOCKING": "1", "ASCEND_RT_VISIBLE_DEVICES": "4"}
    found = node.look()
    assert found["setting"].mend == "unset ASCEND_LAUNCH_BLOCKING"
    assert found["visible"].text == "ASCEND_RT_VISIBLE_DEVICES=4"


def test_settings_that_rows_depend_on(node):
    node.environment |= {
        "TASK_QUEUE_ENABLE": "2",
        "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
    }
    seen = node.look()
    assert seen["TASK_QUEUE_ENABLE"].text.startswith("2, ")
    assert seen["PYTORCH_NPU_ALLOC_CONF"].level == "ok"
    node.environment["TASK_QUEUE_ENABLE"] = "0"
    seen = node.look()
    assert "TASK_QUEUE_ENABLE" not in seen
    assert seen["setting"].mend == "unset TASK_QUEUE_ENABLE"


def test_launches_from_several_numa_nodes(node):
    node.write("sys/devices/system/node/node0/cpulist", "0-31\n")
    assert "NUMA" not in node.look()
    node.write("sys/devices/system/node/node1/cpulist", "32-63\n")
    assert "2 NUMA nodes" in node.look()["NUMA"].text
    assert "CPU_AFFINITY_CONF=1" in node.look()["NUMA"].mend
    node.environment["CPU_AFFINITY_CONF"] = "1"
    assert "NUMA" not in node.look()


@pytest.mark.parametrize(
    ("chip", "text", "mend"),
    [
        ({"health": "Alarm"}, "health: Alarm", "npu-smi info -t health -i 0 -c 0"),
        ({"temperature_c": 91.0}, "91 °C", "npu-smi info -t temp"),
        (
            {"processes": (ChipProcess(77, "python3", 3 << 30),)},
            "used by python3 (77) 3.0 GiB",
            "ps -fp 77",
        ),
        ({"hbm_used_bytes": 30 << 30, "processes": ()}, "30 GiB are in use", "proc-mem"),
    ],
)
def test_chips_that_will_distort(node, chip, text, mend):
    node.chips = [ChipReading(0, 0, logic_id=0, **chip)]
    found = node.look()["chip 0"]
    assert found.level == "warn"
    assert text in found.text
    assert mend in found.mend


def test_no_sensors(node):
    node.chips = None
    assert "no telemetry" in node.look()["sensors"].text
