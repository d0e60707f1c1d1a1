"""The C library's memory on the CPU: kept from step to step, not given back and fetched anew."""

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's <malloc.h>
NEVER = -1


@cache
def keep_memory() -> bool:
    """Let this process, and those forked later, keep freed memory for what they allocate next.

    By default glibc maps every large tensor on its own and unmaps it when freed, and the kernel zeroes its
    pages at the next use. A training step on the CPU allocates gigabytes so and spends a fifth of its time
    there (docs/speed.md). The process then stays as large as it once was.

    Returns:
        Whether the C library is one that can be told so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
