"""What `bench gpu` measures, with bounds: beside torchvision's reference training, matrix products, and reading.

docs/explanation/speed.md says what was measured.
"""

from dataclasses import asdict

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.pipeline.costs.gpu import SpeedTest, kmeans_speed, matmul_peak
from xdcbench.pipeline.costs.gpu_benchmark import Sweep, usual_plan
from xdcbench.pipeline.costs.loading import data_wait, synthetic_sources, xdc_learner, xdc_step

pytestmark = pytest.mark.bench
PLAN = usual_plan(quick=True, readers=None)
BOUNDS: dict[str, float] = {"own": 1.6, "own, compiled": 2.0}


@pytest.fixture
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.mark.parametrize("sweep", PLAN.sweeps, ids=["8 frames", "32 frames"])
def test_training(benchmark: BenchmarkFixture, gpu: torch.device, sweep: Sweep) -> None:
    """Bounds: 1.6 times the clips/s of torchvision's reference training with its AMP; compiled, twice as many."""
    peak = matmul_peak(PLAN.matmul, gpu, dtype=torch.bfloat16)
    test = SpeedTest(gpu, peak, PLAN.step_seconds)
    rates: dict[str, float] = {}

    def measure() -> None:
        for what in (*BOUNDS, "reference, AMP"):
            found = test.training(what, sweep.models.video, sweep.usual)
            benchmark.extra_info[what] = asdict(found)
            rates[what] = found.clips_per_second or 0.0

    benchmark.pedantic(measure, rounds=1)
    ratios = {what: rates[what] / rates["reference, AMP"] for what in BOUNDS}
    benchmark.extra_info |= {f"{what} to AMP": round(ratio, 2) for what, ratio in ratios.items()}
    assert all(ratios[what] >= least for what, least in BOUNDS.items())


@pytest.mark.parametrize("sweep", PLAN.sweeps, ids=["8 frames", "32 frames"])
def test_reading(benchmark: BenchmarkFixture, gpu: torch.device, sweep: Sweep) -> None:
    """Bound: XDC learns 95 % of the clips/s from shards, with 16 cores, that it learns from memory."""
    with synthetic_sources(PLAN.world, workers=PLAN.readers, settings=PLAN.shards) as sources:
        index, root = sources["shards"]
        learner = xdc_learner(index, root, sweep.models, batch=sweep.usual, device=gpu, readers=PLAN.readers)
        test = SpeedTest(gpu, 1.0, PLAN.step_seconds)
        memory = test.speed("XDC", sweep.models.video, sweep.usual, lambda: xdc_step(learner), 0)
        wait = benchmark.pedantic(lambda: data_wait(learner, "shards", seconds=PLAN.wait_seconds), rounds=1)
    benchmark.extra_info |= asdict(wait) | {"in memory": memory.clips_per_second}
    assert wait.clips_per_second >= 0.95 * (memory.clips_per_second or 0.0)


def test_kmeans(benchmark: BenchmarkFixture, gpu: torch.device) -> None:
    """Bound: a quarter of the time goes into the products that k-means cannot do without."""
    found = benchmark.pedantic(lambda: kmeans_speed(*PLAN.kmeans, gpu), rounds=1)
    benchmark.extra_info |= asdict(found)
    assert found.matmul_share >= 0.25
