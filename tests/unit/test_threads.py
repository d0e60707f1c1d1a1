"""Threads that wait: what OpenMP is told, and that it hears it."""

import os
import subprocess
import sys

import pytest

from xdcbench import threads
from xdcbench.threads import SPINS, wait_briefly


def waiting(monkeypatch: pytest.MonkeyPatch, **set_by_user: str) -> str | None:
    """What OpenMP would be told by a command, beside what the user tells it."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    return os.environ.get("GOMP_SPINCOUNT")


def test_threads_that_wait_sleep_soon_unless_the_user_has_his_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting(monkeypatch) == str(SPINS)
    assert waiting(monkeypatch, GOMP_SPINCOUNT="7") == "7"
    assert waiting(monkeypatch, OMP_WAIT_POLICY="active") is None


def test_openmp_is_told_before_it_is_loaded() -> None:
    """GNU's OpenMP says what it goes by when torch brings it in."""
    code = "from xdcbench import cli; cli.app = lambda: __import__('torch'); cli.main()"
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
    monkeypatch.setattr(threads, "available_cores", lambda: cores)
    monkeypatch.setattr(threads, "affinity", lambda: affine)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    threads.fit_cores()
    assert os.environ["OMP_NUM_THREADS"] == "7", "the user's own"
    monkeypatch.delenv("OMP_NUM_THREADS")
    threads.fit_cores()
    assert os.environ.get("OMP_NUM_THREADS") == told
