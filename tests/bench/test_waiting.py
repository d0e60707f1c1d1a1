"""Share of a training step's time that waits for data, at the suites' own settings with one reading process.

XDC's rounds are run as a user runs them; seconds are those that the training loop counts, validation apart.
docs/explanation/speed.md says what was measured.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.bench
CORES = 2


def xdcbench(*options: str) -> None:
    """Run a command with as many threads as the bounds are for."""
    done = subprocess.run(
        [sys.executable, "-m", "xdcbench", *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(CORES)},
    )
    assert done.returncode == 0, done.stderr


def data_wait(out: Path, *options: str) -> float:
    """Seconds that waited, of all seconds of all epochs of all rounds."""
    only = ["--methods", "xdc", "--filter", "round*", "--num-workers", "1", "--results", str(out)]
    xdcbench("run", *options, *only)
    lines = [line for path in out.glob("runs/round*/metrics.jsonl") for line in path.read_text().splitlines()]
    rows = [row for row in map(json.loads, lines) if "data_wait" in row and "steps" not in row]
    assert len(rows) >= 12
    took: list[float] = [1 / row["clips_per_second"] for row in rows]  # epochs have the same number of clips
    waited: float = sum(t * row["data_wait"] for t, row in zip(took, rows, strict=True))
    return waited / sum(took)


def least(benchmark: BenchmarkFixture, out: Path, *options: str) -> float:
    """Of two runs; both are kept beside the benchmark's times."""
    found: list[float] = []
    benchmark.pedantic(lambda: found.append(data_wait(out / str(len(found)), *options)), rounds=2)
    benchmark.extra_info["share waiting"] = [round(share, 3) for share in found]
    return min(found)


def test_smoke(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Bound: 5 %, most of it the first batch of a round."""
    assert least(benchmark, tmp_path, "--suite", "smoke") < 0.05


def test_real_small_from_shards(benchmark: BenchmarkFixture, tmp_path: Path, shared_data: Path) -> None:
    """Bound: 5 %."""
    data, shards = ("--data-root", str(shared_data)), tmp_path / "shards"
    settings = ("--short-side", "72", "--fps", "25", "--num-workers", "1")
    xdcbench("data", "prepare", "grid", *data, "--output", str(shards / "grid"), *settings)
    share = least(benchmark, tmp_path, "--suite", "real-small", *data, "--shards", str(shards))
    assert share < 0.05


def test_real_small(benchmark: BenchmarkFixture, tmp_path: Path, shared_data: Path) -> None:
    """Bound: 5 %, from original files."""
    share = least(benchmark, tmp_path, "--suite", "real-small", "--data-root", str(shared_data))
    assert share < 0.05
