"""What a command sets up in its process: threads that wait, their number, memory that is kept."""

import os
import subprocess
import sys

import pytest

from xdcbench.utils import process_setup
from xdcbench.utils.process_setup import SPINS, limit_spinning


def waiting(monkeypatch: pytest.MonkeyPatch, **set_by_user: str) -> str | None:
    """What OpenMP would be told by a command, beside what the user tells it."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)
    limit_spinning()
    return os.environ.get("GOMP_SPINCOUNT")


def test_threads_that_wait_sleep_soon_unless_the_user_has_his_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting(monkeypatch) == str(SPINS)
    assert waiting(monkeypatch, GOMP_SPINCOUNT="7") == "7"
    assert waiting(monkeypatch, OMP_WAIT_POLICY="active") is None


def test_openmp_is_told_before_it_is_loaded() -> None:
    """GNU's OpenMP says what it goes by when torch brings it in."""
    code = "from xdcbench.cli import main as cli; cli.app = lambda: __import__('torch'); cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
        | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in done.stderr


@pytest.mark.parametrize(
    ("cores", "affine", "told"), [(2, 48, "2"), (48, 48, None), (1, 2, "1")], ids=["quota", "none", "one"]
)
def test_threads_are_no_more_than_cores(
    cores: int, affine: int, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_setup, "available_cores", lambda: cores)
    monkeypatch.setattr(process_setup, "affinity", lambda: affine)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    process_setup.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "7", "the user's own"
    monkeypatch.delenv("OMP_NUM_THREADS")
    process_setup.limit_threads()
    assert os.environ.get("OMP_NUM_THREADS") == told


PROGRAM = """
import resource, sys, torch
from xdcbench.utils.process_setup import keep_memory

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
