"""Time to plan the full suite; a bound of the design, reported with the number of its stages."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.config.load import load_suite
from xdcbench.data.context import Source
from xdcbench.pipeline.plan import Plan, make_plan

pytestmark = pytest.mark.bench

BOUND = 3.0
"""Seconds."""


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
