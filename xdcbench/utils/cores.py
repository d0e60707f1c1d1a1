"""The processor cores that this process may use, which on shared machines are fewer than there are."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from xdcbench.utils.control_groups import own_groups, text_of


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: affinity, control groups' CPU quotas and Slurm's allocation; at least 1.

    ``proc`` and ``sys`` are mounted in ``root``.
    """
    bounds = [affinity(), *_quotas(root)]
    tasks = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if tasks.isdecimal() and int(tasks):
        bounds.append(int(tasks))
    return max(1, min(bounds))


def affinity() -> int:
    """Cores on which the scheduler may put this process; all where it cannot be asked."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[int]:
    """Whole cores that each control group of this process may use, as far as one is limited.

    A quota of one and a half cores counts as two, as two processes keep it busy.
    """
    for controllers, folder in own_groups(root, "cpu"):
        if controllers:
            yield from _cores(text_of(folder / "cpu.cfs_quota_us"), text_of(folder / "cpu.cfs_period_us"))
        else:
            quota, _, period = text_of(folder / "cpu.max").partition(" ")
            yield from _cores(quota, period)


def _cores(quota: str, period: str) -> Iterator[int]:
    """Nothing where there is no limit, which v2 writes as ``max`` and v1 as -1."""
    if quota.strip().isdecimal() and period.strip().isdecimal() and int(period):
        yield math.ceil(int(quota) / int(period))
