"""Quotas of control groups, laid out as the kernel and containers do."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.processors import PROCESSORS, CpuQuota, cpu_quota

V1 = "/sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "/sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def machine(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def version_1(folder, quota, throttled_ns=0):
    """The files of a group, 100 ms its period."""
    return {
        f"sys/fs/cgroup/{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"sys/fs/cgroup/{folder}/cpu.cfs_period_us": "100000\n",
        f"sys/fs/cgroup/{folder}/cpu.stat": f"nr_periods 9\nthrottled_time {throttled_ns}\n",
    }


def version_2(folder, quota, throttled_us=0):
    return {
        f"sys/fs/cgroup/{folder}/cpu.max": f"{quota} 100000\n",
        f"sys/fs/cgroup/{folder}/cpu.stat": f"usage_usec 7\nthrottled_usec {throttled_us}\n",
    }


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("", {}, None),
        ("0::/\n", version_2("", 150_000, 2_500_000), CpuQuota(1.5, 2.5)),
        ("0::/\n", version_2("", "max"), None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max"}, None),
        ("0::/x:y\n", version_2("x:y", 230_000), CpuQuota(2.3, 0.0)),
        # The tightest of the group and all above it, each throttled by its own quota.
        (
            "0::/job/step/task\n",
            version_2("job", 200_000, 1_000_000) | version_2("job/step", 400_000, 500_000),
            CpuQuota(2.0, 1.5),
        ),
        # Version 2 beside version 1, which has the controller.
        (
            "4:cpu,cpuacct:/job\n0::/job\n",
            version_1("cpu,cpuacct/job", 150_000, 3_000_000_000) | version_2("unified/job", "max"),
            CpuQuota(1.5, 3.0),
        ),
        ("1:cpu:/\n", version_1("cpu", 50_000), CpuQuota(0.5, 0.0)),
        ("1:cpu:/\n", version_1("cpu", -1), None),
        ("1:cpuset:/\n2:cpuacct:/\n", version_1("cpu", 50_000), None),
        # A container that sees its own group at the top, while the path is the host's.
        ("0::/docker/0123abcd\n", version_2("", 50_000), CpuQuota(0.5, 0.0)),
        ("0::/../../other\n", version_2("", 50_000), CpuQuota(0.5, 0.0)),
        ("4:cpu,cpuacct:/docker/0123\n", version_1("cpu,cpuacct", 400_000), CpuQuota(4.0, 0.0)),
        # The same, in a group of its own within the container.
        (
            "0::/docker/0123/own\n",
            {"proc/self/mountinfo": f"31 23 0:28 /docker/0123 {V2}"} | version_2("own", 150_000),
            CpuQuota(1.5, 0.0),
        ),
        (
            "4:cpu,cpuacct:/docker/0123/own\n",
            {"proc/self/mountinfo": f"31 23 0:28 /docker/0123 {V1}"}
            | version_1("cpu,cpuacct", 300_000)
            | version_1("cpu,cpuacct/own", 150_000),
            CpuQuota(1.5, 0.0),
        ),
        # A mount elsewhere.
        (
            "0::/job\n",
            {"proc/self/mountinfo": f"31 23 0:28 / {V2}".replace("sys/fs", "mnt")}
            | {"mnt/cgroup/job/cpu.max": "150000 100000"},
            CpuQuota(1.5, 0.0),
        ),
    ],
)
def test_quotas(tmp_path, groups, files, quota):
    assert cpu_quota(machine(tmp_path, {"proc/self/cgroup": groups, **files})) == quota


def test_a_linked_controller_is_one_group(tmp_path):
    files = {"proc/self/cgroup": "4:cpu,cpuacct:/\n"} | version_1("cpu,cpuacct", 150_000, 10**9)
    root = machine(tmp_path, files)
    (root / "sys/fs/cgroup/cpu").symlink_to("cpu,cpuacct")
    assert cpu_quota(root) == CpuQuota(1.5, 1.0)


@pytest.mark.parametrize(
    ("cpus", "threads"), [(0.001, 1), (0.5, 1), (1.0, 1), (1.5, 1), (2.0, 2), (2.3, 2), (7.65, 7)]
)
def test_threads_that_a_quota_keeps_busy(cpus, threads):
    assert CpuQuota(cpus, 0.0).threads == threads


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "proc/self/cgroup",
                "proc/self/mountinfo",
                "sys/fs/cgroup/cpu.max",
                "sys/fs/cgroup/cpu.stat",
            ]
        ),
        st.text(max_size=40)
        | st.from_regex(r"0::[a-z/.\0]{0,9}\n", fullmatch=True)
        | st.from_regex(r"[0-9]{0,30} [0-9]{0,30}", fullmatch=True)
        | st.from_regex(r"3 4 /( /)?( rw)? - cgroup2?( [a-z,]*)?", fullmatch=True),
    )
)
@example({"proc/self/cgroup": "::\0"})
def test_whatever_the_kernel_says_nothing_breaks(tmp_path_factory, files):
    quota = cpu_quota(machine(tmp_path_factory.mktemp("root"), files))
    assert quota is None or quota.cpus > 0


def test_this_machine():
    assert 1 <= len(PROCESSORS) <= (os.cpu_count() or 1)
    quota = cpu_quota()
    assert quota is None or quota.cpus > 0
