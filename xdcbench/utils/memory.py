"""The memory that this process has taken, and may still take: in a control group less than the machine has."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from xdcbench.utils.control_groups import own_groups, text_of

V1, V2 = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")
"""Files with the limit and the use of a control group of either version."""


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that may be taken without swapping: the least of the machine's and the control groups'; 0 if unknown.

    Args:
        root: of the file system that ``proc`` and ``sys`` are mounted in.
    """
    return max(0, min([*_machine(root), *_groups(root)], default=0))


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _machine(root: Path) -> Iterator[int]:
    for line in text_of(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """What is left to each control group of this process, as far as one is limited."""
    for controllers, folder in own_groups(root, "memory"):
        limit, used = V1 if controllers else V2
        most, now = text_of(folder / limit).strip(), text_of(folder / used).strip()
        if most.isdecimal() and now.isdecimal():
            yield int(most) - int(now)
