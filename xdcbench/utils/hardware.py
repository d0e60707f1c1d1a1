"""What can be said of the hardware without torch, whose import takes seconds."""

import ctypes
import platform
import sys
from pathlib import Path

from xdcbench.utils.control_groups import text_of

DRIVERS = ("libcuda.so.1", "libamdhip64.so")
"""Libraries without which torch finds no GPU."""

BF16 = {"avx512_bf16", "amx_tile"}
"""Flags of processors that multiply bf16 matrices themselves."""


INSTRUCTIONS = ("amx_tile", "avx512_bf16", "avx512f", "avx2")
"""Flags of vector instructions, the widest first."""


def has_gpu_driver() -> bool:
    """Whether there may be a GPU; where this is False, there is none for torch."""
    if sys.platform != "linux":
        return True
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def cpu_has_bf16(root: Path = Path("/")) -> bool | None:
    """Whether the processor multiplies bf16 matrices itself, as Linux tells; None where it does not.

    Args:
        root: of the file system that ``proc`` is mounted in.
    """
    flags = _flags(root)
    return None if flags is None else bool(BF16 & flags)


def processor_class(root: Path = Path("/")) -> str:
    """What rounding depends on: the architecture, and the widest instructions that libraries of algebra may take."""
    flags = _flags(root) or set()
    widest = next((flag for flag in INSTRUCTIONS if flag in flags), "")
    return " ".join(filter(None, (platform.machine(), widest)))


def _flags(root: Path) -> set[str] | None:
    """Flags of the first processor, as Linux tells; None where it does not."""
    for line in text_of(root / "proc/cpuinfo").splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return set(flags.split())
    return None
