"""Memory that is kept: a large tensor that is freed and made again costs no page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from xdcbench.memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 << 20)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = sys.argv[1] == "keep" and keep_memory()
faults(), faults()  # the heap settles
print(kept, faults())
"""


def third_time(mode: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_memory_is_not_fetched_anew() -> None:
    kept, faults = third_time("keep")
    assert kept == "True"
    _, by_default = third_time("default")
    assert faults < 100, "a tensor alone has 16,384 pages"
    assert by_default > 100 * max(faults, 1)
