"""Memory that this process may still take: the least of the machine's and the control groups'."""

from pathlib import Path

import pytest

from xdcbench.utils.memory import available_memory

MEMINFO = "MemTotal:       24000000 kB\nMemAvailable:   16000000 kB\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16_000_000 * 1024),
        ({"proc/self/cgroup": "0::/job\n"}, 16_000_000 * 1024),
        ({"sys/fs/cgroup/job/memory.max": "max", "sys/fs/cgroup/job/memory.current": "5"}, 16_000_000 * 1024),
        ({"sys/fs/cgroup/job/memory.max": "1000", "sys/fs/cgroup/job/memory.current": "400"}, 600),
        ({"sys/fs/cgroup/job/memory.max": "1000", "sys/fs/cgroup/job/memory.current": "1400"}, 0),
        ({"sys/fs/cgroup/memory.max": "900", "sys/fs/cgroup/memory.current": "100"}, 800),
    ],
)
def test_version_2(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    root = tree(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/job\n", **files})
    assert available_memory(root) == expected


def test_version_1(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/slurm/job_7"
    files = {f"{folder}/memory.limit_in_bytes": "5000", f"{folder}/memory.usage_in_bytes": "1000"}
    groups = "4:memory:/slurm/job_7\n3:cpu,cpuacct:/\n"
    assert (
        available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": groups, **files}))
        == 4000
    )


def test_where_nobody_knows_nothing_may_be_taken(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == 0
