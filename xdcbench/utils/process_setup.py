"""Process-wide settings of memory and threads, made once by the command line before torch is imported."""

import ctypes
import os
import sys
from functools import cache

from xdcbench.utils.cores import affinity, available_cores

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's <malloc.h>
NEVER = -1

SPINS = 6000
"""Turns for which a thread asks for work before it sleeps; GNU's OpenMP takes 300,000, some milliseconds."""


def set_up_process() -> None:
    """Set up memory and threads; OpenMP reads its environment once, as torch is imported."""
    limit_spinning()
    limit_threads()
    keep_memory()


def limit_spinning() -> None:
    """Let waiting threads sleep soon, so that reading processes get their cores.

    Where training and reading share cores, threads that spin take the time in which the next batch would be read
    (docs/explanation/speed.md). A user's ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` stays. Other OpenMP libraries
    than GNU's do not know this variable.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def limit_threads() -> None:
    """Compute in as many threads as cores may be used; a user's ``OMP_NUM_THREADS`` stays.

    OpenMP knows the affinity of the process, and neither control groups nor Slurm.
    """
    cores = available_cores()
    if cores < affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


@cache
def keep_memory() -> bool:
    """Let this process, and those forked later, keep freed memory for what they allocate next.

    By default glibc maps every large tensor on its own and unmaps it when freed, and the kernel zeroes its pages at
    the next use. A training step on the CPU allocates gigabytes so and spends a fifth of its time there
    (docs/explanation/speed.md). The process then stays as large as it once was.

    Returns:
        Whether the C library is one that can be told so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
