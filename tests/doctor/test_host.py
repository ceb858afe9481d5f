"""Hosts of all kinds, with their files laid out as the kernel does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.doctor.host import CHECKS, Host, examine, this_host
from bench.doctor.neighbors import examine as neighbors
from bench.doctor.neighbors import judge

CPU = "sys/devices/system/cpu"
MEMORY = "MemTotal: 100 kB\nSwapTotal: {} kB\nSwapFree: {} kB\n"
RAPL = "sys/class/powercap/intel-rapl:0/constraint_0_{}_power_uw"
CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
NODES = {"sys/devices/system/node/node0/x": "", "sys/devices/system/node/node1/x": ""}


def look(folder, files, processors=8, **environment):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    findings = examine(Host(folder, environment, processors))
    return {finding.topic: finding for finding in findings}


def test_a_machine_without_files_has_no_findings(tmp_path):
    assert look(tmp_path, {}) == {}


@pytest.mark.parametrize(
    ("files", "topic", "level", "text", "mend"),
    [
        ({f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n"}, "governor", "ok", "", None),
        (
            {
                f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
                f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
            },
            "governor",
            "warn",
            "performance, powersave",
            "cpupower frequency-set --governor performance",
        ),
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, "turbo", "warn", "on", "echo 1 | sudo tee /sys/"),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, "turbo", "ok", "off", None),
        ({f"{CPU}/cpufreq/boost": "1"}, "turbo", "warn", "on", "echo 0 | sudo tee /sys/"),
        ({f"{CPU}/cpufreq/boost": "0"}, "turbo", "ok", "off", None),
        (
            {
                RAPL.format("max"): "350000000",
                RAPL.format("max").replace("max_power", "power_limit"): "200000000",
            },
            "power limit",
            "warn",
            "200 W, though the processor is made for 350 W",
            "echo 350000000",
        ),
        (
            {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "12"},
            "heat",
            "warn",
            "12 times",
            "sensors",
        ),
        ({f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0"}, "heat", "ok", "", None),
        (
            {"proc/self/cgroup": "0::/job/task\n", "sys/fs/cgroup/job/cpu.max": "250000 100000"},
            "cgroup",
            "warn",
            "2.5 of 8 processors",
            "--threads 2",
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            "cgroup",
            "warn",
            "4 of 8 processors: more threads than that stop each other",
            "--threads 4",
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/cpu.stat": "nr_throttled 70\nthrottled_usec 3250000\n",
            },
            "cgroup",
            "warn",
            "0.5 of 8 processors and has stopped this group for 3.25 s so far: even one thread",
            "raise the quota",
        ),
        (
            {
                "proc/cpuinfo": "flags\t\t: fpu hypervisor avx\n",
                "sys/class/dmi/id/product_name": "KVM",
            },
            "machine",
            "warn",
            "virtual (KVM)",
            "--rounds 12",
        ),
        (
            {"proc/loadavg": "7.91 3 2 1/100 5"},
            "load",
            "warn",
            "7.9 in the last minute on 8",
            "top",
        ),
        ({"proc/loadavg": "0.10 3 2 1/100 5"}, "load", "ok", "", None),
        ({"proc/meminfo": MEMORY.format(4 << 20, 2 << 20)}, "swap", "warn", "2.0 GiB", "swapoff"),
        ({"proc/meminfo": MEMORY.format(4 << 20, 4 << 20)}, "swap", "ok", "unused", None),
        ({PAGES: "always madvise [never]"}, "huge pages", "warn", "never", "echo madvise"),
        ({PAGES: "always [madvise] never"}, "huge pages", "ok", "madvise", None),
        ({**NODES, "proc/sys/kernel/numa_balancing": "1"}, "NUMA", "warn", "2 nodes", "sysctl"),
        ({CLOCK: "hpet\n"}, "clock source", "warn", "hpet", "echo tsc"),
    ],
)
def test_findings(tmp_path, files, topic, level, text, mend):
    findings = look(tmp_path, files)
    assert set(findings) == {topic}
    finding = findings[topic]
    assert finding.level == level
    assert text in finding.text
    assert (finding.mend is None) == (mend is None)
    assert mend is None or mend in (finding.mend or "")


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "800000 100000"},
        {"proc/cpuinfo": "flags : fpu avx\n"},
        {"proc/meminfo": MEMORY.format(0, 0)},
        {**NODES, "proc/sys/kernel/numa_balancing": "0"},
        {CLOCK: "tsc"},
    ],
)
def test_nothing_to_report(tmp_path, files):
    assert look(tmp_path, files) == {}


def test_threads_that_were_set(tmp_path):
    variables = {"OMP_NUM_THREADS": "1", "OMP_PLACES": "cores", "KMP_AFFINITY": "compact"}
    finding = look(tmp_path, {}, **variables)["threads"]
    assert finding.mend == f"unset {' '.join(variables)}"


FILES = [
    f"{CPU}/cpu0/cpufreq/scaling_governor",
    f"{CPU}/intel_pstate/no_turbo",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count",
    "proc/self/cgroup",
    "sys/fs/cgroup/cpu.max",
    "proc/cpuinfo",
    "proc/loadavg",
    "proc/meminfo",
    PAGES,
    CLOCK,
    RAPL.format("max"),
]


@given(
    st.dictionaries(st.sampled_from(FILES), st.text(max_size=40) | st.from_regex(r"[0-9 a:/\n.]*"))
)
def test_whatever_the_kernel_says_nothing_breaks(tmp_path_factory, contents):
    findings = look(tmp_path_factory.mktemp("root"), contents)
    assert not any("could not be examined" in finding.text for finding in findings.values())


def test_a_check_that_fails_is_a_finding():
    def surprise(host):
        raise ZeroDivisionError("of all things")

    (finding,) = examine(this_host(), (surprise,))
    assert (finding.level, finding.topic) == ("warn", "surprise")
    assert "of all things" in finding.text


def test_this_host():
    findings = examine(this_host(), CHECKS)
    assert not any("could not be examined" in finding.text for finding in findings)


def test_neighbors():
    assert judge({1: 0.1, 2: 0.0}, {}).level == "ok"
    busy = judge({1: 0.1, 2: 0.5, 3: 2.0}, {2: "cc1", 3: "python"})
    assert busy.level == "warn"
    assert "python (3): 2.0, cc1 (2): 0.5" in busy.text
    assert "3 2" in (busy.mend or "")
    many = judge(dict.fromkeys(range(9), 1.0), {})
    assert "and 6 more" in many.text
    assert [finding.topic for finding in neighbors(0.01)] == ["processes"]
