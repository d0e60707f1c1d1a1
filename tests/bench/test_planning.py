"""Time to plan the full suite; a bound of the design, reported with the number of its stages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.config.load import load_suite
from xdcbench.data.context import Source
from xdcbench.pipeline.plan import Plan, make_plan

pytestmark = pytest.mark.bench

BOUND = 3.0
"""Seconds."""

DRY_RUN = 10.0
"""Processor seconds of the command, whose plan has two datasets of 65 million items."""


def plan_full() -> Plan:
    suite = load_suite("full", seeds=(0, 1, 2))
    plan = make_plan(suite, {name: Source(f"of-{name}") for name in suite.datasets})
    assert not any(stage.reason for stage in plan.stages)
    return plan


@pytest.mark.benchmark(group="planning")
def test_full_suite_with_three_seeds_and_all_data(benchmark: BenchmarkFixture) -> None:
    plan = benchmark.pedantic(plan_full, rounds=5, warmup_rounds=1)
    assert len(plan.stages) > 1000
    benchmark.extra_info["stages"] = len(plan.stages)
    assert benchmark.stats is not None
    assert benchmark.stats.stats.min < BOUND


def test_the_dry_run_of_the_full_suite(tmp_path: Path) -> None:
    before = os.times()
    words = ("run", "--suite", "full", "--dry-run", "--device", "cpu", "--results", str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-m", "xdcbench", *words], capture_output=True, text=True, check=True
    )
    after = os.times()
    assert "ig_kinetics 65 M, ig_random 65 M" in done.stdout + done.stderr
    seconds = sum(after[2:4]) - sum(before[2:4])
    assert seconds < DRY_RUN
