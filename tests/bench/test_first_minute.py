"""What keeps `smoke` short: datasets that are decoded once, and stages side by side. Each is left out in turn."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.utils.cores import available_cores

pytestmark = pytest.mark.bench
WAYS = {"default": (), "decoded again": ("--decoded-bytes", "0"), "one job": ("--jobs", "1")}
OF_THE_MOMENT = ("seconds",)


def smoke(out: Path, *words: str) -> None:
    command = ["run", "--suite", "smoke", "--device", "cpu", "--results", str(out), *words]
    subprocess.run([sys.executable, "-m", "xdcbench", *command], check=True, capture_output=True)


def numbers(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of every run, by its key."""
    return {
        path.parent.name: [
            {name: value for name, value in row.items() if name not in OF_THE_MOMENT}
            for row in json.loads(path.read_text())
        ]
        for path in sorted(out.glob("runs/*/records.json"))
    }


@pytest.mark.benchmark(group="smoke")
def test_smoke_without_each(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Records are equal with and without decoded items; on two cores, two jobs take at most 0.75 of the time of one."""
    took: dict[str, float] = {}

    def take_turns() -> None:
        for name, words in WAYS.items():
            begun = time.perf_counter()
            smoke(tmp_path / name, *words)
            took[name] = time.perf_counter() - begun

    benchmark.pedantic(take_turns, rounds=1)
    benchmark.extra_info |= {name: round(seconds, 1) for name, seconds in took.items()}
    kept, again = numbers(tmp_path / "default"), numbers(tmp_path / "decoded again")
    assert len(kept) > 50
    assert kept == again
    if available_cores() > 1:
        assert took["default"] <= 0.75 * took["one job"]
