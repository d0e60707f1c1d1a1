"""The estimate beside the planning that it ends, and rates of encoding beside training, in the same run."""

import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.config.models import Models, VideoInput, VideoModel
from xdcbench.pipeline.costs.estimate import cost_lines
from xdcbench.pipeline.costs.flops import forward_flop, training_flop
from xdcbench.pipeline.costs.rates import measure_rates
from xdcbench.pipeline.launch import Request, plan_launch

pytestmark = pytest.mark.bench
SEEDS = (0, 1, 2)


def test_an_estimate_beside_planning(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Over 1,000 stages, sizes by lists; the estimate takes less time than the plan."""
    request = Request(suite="full", seeds=SEEDS, results=tmp_path, device="cpu", precision="fp32")
    times: dict[str, list[float]] = {"plan": [], "estimate": []}
    stages = 0

    def take_turns() -> None:
        nonlocal stages
        begun = time.perf_counter()
        launch = plan_launch(request, write=False)
        planned = time.perf_counter()
        assert list(cost_lines(launch))
        times["plan"].append(planned - begun)
        times["estimate"].append(time.perf_counter() - planned)
        stages = len(launch.plan.stages)

    benchmark.pedantic(take_turns, rounds=4, iterations=1)
    ratio = min(times["estimate"]) / min(times["plan"])
    benchmark.extra_info |= {"estimate / plan": round(ratio, 3), "stages": stages}
    benchmark.extra_info |= {f"{name} s": round(min(of), 3) for name, of in times.items()}
    assert stages > 1000
    assert ratio < 1


def test_training_costs_about_three_forward_passes(benchmark: BenchmarkFixture) -> None:
    """What lets rates be carried over: FLOP/s of encoding and of training are of one size."""
    video = VideoModel(width=16, input=VideoInput(size=56, short_side=(56, 72)))
    models = Models(video=video)
    found: list[float] = []

    def measure() -> None:
        rates = measure_rates("cpu", "fp32", models=models, seconds=0.5).per_second
        found.append(rates["train video"] / rates["encode video"])

    benchmark.pedantic(measure, rounds=3, iterations=1)
    benchmark.extra_info["train / encode, FLOP/s"] = round(sorted(found)[1], 3)
    assert training_flop(video) < 3 * forward_flop(video)
    assert 0.3 < sorted(found)[1] < 2
