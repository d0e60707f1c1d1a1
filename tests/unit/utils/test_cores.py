"""Cores that this process may use: the least of what affinity, control groups and Slurm allow."""

import os
from pathlib import Path

import pytest

from xdcbench.utils.cores import available_cores


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """48 cores, all of which are ours, and no Slurm."""
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


def tree(root: Path, cgroup: str, **files: str) -> Path:
    """``/proc/self/cgroup`` and files below ``/sys/fs/cgroup``."""
    for name, text in {
        "proc/self/cgroup": cgroup,
        **{f"sys/fs/cgroup/{n}": t for n, t in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_cores(tmp_path) == 48
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 17})
    assert available_cores(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores(tmp_path) == 96


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 48),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9600000 100000", 48),
        ("1000 0", 48),
        ("", 48),
    ],
)
def test_version_2(tmp_path: Path, quota: str, cores: int) -> None:
    assert available_cores(tree(tmp_path, "0::/a/b\n", **{"a/b/cpu.max": quota})) == cores


def test_version_2_is_limited_by_the_groups_above(tmp_path: Path) -> None:
    """As a pod's limit stands above its containers' and Kubernetes' above that."""
    files = {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000", "cpu.max": "800000 100000"}
    assert available_cores(tree(tmp_path, "0::/a/b\n", **files)) == 4


def test_version_2_in_a_container(tmp_path: Path) -> None:
    """Its own group is the root of what it sees, or lies outside of it."""
    for cgroup in ("0::/\n", "0::/../../other\n", "0::/kubepods/pod1\n"):
        assert available_cores(tree(tmp_path, cgroup, **{"cpu.max": "300000 100000"})) == 3


@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "cores"), [("-1", 48), ("300000", 3), ("250000", 3)])
def test_version_1(tmp_path: Path, controllers: str, quota: str, cores: int) -> None:
    cgroup = f"12:cpuset:/\n4:{controllers}:/docker/abc\n0::/\n"
    for folder in (f"{controllers}/docker/abc", controllers):  # on the machine, and in the container
        files = {f"{folder}/cpu.cfs_quota_us": quota + "\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
        assert available_cores(tree(tmp_path / str(len(folder)), cgroup, **files)) == cores


@pytest.mark.parametrize(("tasks", "cores"), [("6", 6), ("64", 48), ("", 48), ("0", 48), ("many", 48)])
def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: str, cores: int) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", tasks)
    assert available_cores(tmp_path) == cores


def test_here_it_is_at_least_one_and_at_most_what_affinity_allows() -> None:
    assert 1 <= available_cores() <= 48
