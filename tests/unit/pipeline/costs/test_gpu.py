"""What `bench gpu` measures, at tiny sizes on the CPU."""

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.unit.tiny import CPU, MODELS
from xdcbench.config.data import ShardSettings, World
from xdcbench.data.index import Index
from xdcbench.data.shards.reader import ShardReader
from xdcbench.errors import UserError
from xdcbench.pipeline.costs import gpu as bench
from xdcbench.pipeline.costs import gpu_benchmark, loading
from xdcbench.pipeline.costs.gpu import KMeansSpeed, Speed, SpeedTest
from xdcbench.pipeline.costs.gpu_benchmark import (
    BenchmarkPlan,
    GpuBenchmark,
    Sweep,
    bench_lines,
    markdown,
    usual_plan,
)
from xdcbench.pipeline.costs.loading import DataWait, data_wait, synthetic_sources, xdc_learner, xdc_step

Sources = Mapping[str, tuple[Index, Path | ShardReader]]
WORLD = World(classes=2, size=24, seconds=1.5, kinetics_train=2)
SHARDS = ShardSettings(short_side=20, fps=8)
TEST = SpeedTest(CPU, peak=1e9, seconds=0.01)


class Tiny(nn.Module):
    """A classifier in place of the reference's, which takes seconds on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, bench.CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.linear(x.mean(dim=(2, 3, 4)))
        return scores


def modules_of(step: bench.Work) -> list[nn.Module]:
    found = inspect.getclosurevars(step).nonlocals.values()
    return [module for module in found if isinstance(module, nn.Module)]


def test_own_step_trains_encoder_and_head() -> None:
    step = bench.STEPS["own"](MODELS.video, 2, CPU)
    modules = modules_of(step)
    before = [{name: p.clone() for name, p in module.state_dict().items()} for module in modules]
    step()
    assert len(modules) == 2
    for module, old in zip(modules, before, strict=True):
        assert any(not torch.equal(p, old[name]) for name, p in module.state_dict().items())


def test_compiled_step_compiles_encoder_and_head(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    bench.STEPS["own, compiled"](MODELS.video, 2, CPU)
    assert compiled == ["R2Plus1D", "Heads"]


@pytest.mark.parametrize("amp", [False, True])
def test_reference_step_trains(amp: bool) -> None:
    net = Tiny()
    before = net.linear.weight.detach().clone()
    step = bench.reference_step(MODELS.video, 2, CPU, amp=amp, net=net)
    for _ in range(20):  # the first scales of fp16's loss may be too large
        step()
    assert not torch.equal(net.linear.weight, before)


def test_reference_is_torchvisions() -> None:
    (net,) = modules_of(bench.reference_step(bench.clip_model(1, 8), 1, CPU, amp=False))
    assert type(net).__name__ == "VideoResNet" and sum(p.numel() for p in net.parameters()) == 31_505_325


def test_speeds_count_clips_and_flop() -> None:
    calls: list[int] = []
    found = TEST.speed("x", MODELS.video, 5, lambda: lambda: calls.append(1), 1)
    assert found.what == "x" and (found.frames, found.batch) == (4, 5)
    assert found.clips_per_second and found.clips_per_second > 0
    assert found.peak_share == pytest.approx(1e-9 * found.clips_per_second)
    assert len(calls) > bench.WARM_UP


def test_too_little_memory_is_a_result() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError

    found = TEST.speed("x", MODELS.video, 5, lambda: full, 1)
    assert found.clips_per_second is None


def test_encoding_and_training_have_speeds() -> None:
    assert (TEST.encoding(MODELS.video, 2).clips_per_second or 0) > 0
    before = torch.backends.cudnn.benchmark
    assert TEST.training("own", MODELS.video, 2).peak_share > 0
    assert torch.backends.cudnn.benchmark == before


def test_seconds_are_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls: list[int] = []
    # One call takes 2 s by this clock; in 18 s there are three series of three calls.
    assert bench.seconds_per_call(lambda: calls.append(1), CPU, seconds=18.0) == pytest.approx(2 / 3)
    assert len(calls) == 1 + 3 * 3


def test_peak_and_kmeans() -> None:
    assert bench.matmul_peak(64, CPU, dtype=torch.float32, seconds=0.01) > 0
    found = bench.kmeans_speed(200, 8, 4, CPU)
    assert (found.points, found.features, found.k) == (200, 8, 4)
    assert found.seconds > 0 and found.matmul_share > 0


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    with synthetic_sources(WORLD, workers=1, settings=SHARDS) as found:
        yield found
        folder = found["files"][1]
    assert isinstance(folder, Path) and not folder.exists(), "nothing is left behind"


@pytest.fixture
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "EPOCH_STEPS", 2)


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.parametrize("source", ["files", "shards"])
def test_xdc_learns_from_what_is_read(sources: Sources, source: str) -> None:
    index, root = sources[source]
    learner = xdc_learner(index, root, MODELS, batch=4, device=CPU, readers=1)
    before = learner.encoders["audio"].state_dict()["conv1.weight"].clone()
    step = xdc_step(learner)
    for _ in range(11):  # one of which looks at the losses
        step()
    assert not torch.equal(learner.encoders["audio"].state_dict()["conv1.weight"], before)
    wait = data_wait(learner, source, seconds=0.1)
    assert (wait.source, wait.frames, wait.batch, wait.readers) == (source, 4, 4, 1)
    assert 0 <= wait.loop_share < 1 and wait.clips_per_second > 0 and wait.read_per_second > 0


def test_the_usual_plan_fits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, readers in ((1, 1), (2, 1), (8, 6), (64, 16)):
        monkeypatch.setattr(gpu_benchmark, "available_cores", lambda cores=cores: cores)
        assert usual_plan(quick=False, readers=None).readers == readers
    assert usual_plan(quick=False, readers=3).readers == 3
    plan, quick = (usual_plan(quick=quick, readers=1) for quick in (False, True))
    assert [sweep.models.video.input.frames for sweep in plan.sweeps] == [8, 32]
    assert all(sweep.usual in sweep.batches for sweep in plan.sweeps)
    assert plan.compiled and plan.kmeans == (1_000_000, 512, 1024)
    assert not quick.compiled and all(sweep.batches == (sweep.usual,) for sweep in quick.sweeps)


@pytest.mark.usefixtures("short_epochs")
def test_a_whole_report(tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_benchmark, "synthetic_sources", lambda *_, **__: nullcontext(sources))
    monkeypatch.setattr(bench, "r2plus1d_18", lambda **_: Tiny())
    plan = BenchmarkPlan(
        sweeps=(Sweep(MODELS, (2, 4), usual=4),),
        readers=1,
        compiled=False,
        matmul=64,
        kmeans=(200, 8, 4),
        step_seconds=0.05,
        wait_seconds=0.1,
        world=WORLD,
        shards=SHARDS,
        sources=("files",),
    )
    lines = list(bench_lines("cpu", tmp_path / "new" / "bench", plan))
    assert lines[0].startswith("cpu, ") and lines[-1].endswith("gpu.md")
    kept = json.loads((tmp_path / "new" / "bench" / "gpu.json").read_text())
    speeds = [(s["what"], s["batch"]) for s in kept["training"]]
    assert speeds == [("own", 4), ("reference, AMP", 4), ("reference", 4), ("own", 2)]
    assert all(s["clips_per_second"] > 0 for s in kept["training"] + kept["encoding"] + kept["xdc"])
    assert len(kept["waits"]) == 1 and kept["kmeans"]["k"] == 4 and kept["seconds"] > 0
    page = (tmp_path / "new" / "bench" / "gpu.md").read_text()
    assert page.startswith("# cpu\n") and page.count("|:--") >= 5


def test_a_report_that_was_interrupted_holds_what_was_measured() -> None:
    report = GpuBenchmark(
        "NVIDIA Z1", cores=4, precision="bf16", versions={"torch": "2"}, matmul_tflops=100.0
    )
    report.training += [
        Speed("own", 8, 64, 200.0, peak_share=0.1),
        Speed("own, compiled", 8, 64, 300.0),
        Speed("reference", 8, 64, None),
        Speed("reference, AMP", 8, 64, 100.0),
        Speed("own", 8, 128, None),
    ]
    assert report.ratio("own", 8, 64) == 2.0 and report.ratio("own, compiled", 8, 64) == 3.0
    assert report.ratio("own", 8, 128) is None
    page = markdown(report)
    assert page.startswith("# NVIDIA Z1") and "K-means" not in page
    (row,) = [line for line in page.splitlines() if line.startswith("| 8        | 64")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["8", "64", "200", "300", "100", "out of memory", "2.00", "3.00", "10.0%", "0.0"]
    report.xdc.append(Speed("XDC", 8, 64, 200.0))
    report.waits.append(DataWait("shards", 8, 64, 14, 900.0, 150.0, loop_share=0.25))
    (row,) = [line for line in markdown(report).splitlines() if line.startswith("| shards")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["shards", "8", "64", "14", "900", "150", "75.0%", "25.0%"]
    done = replace(report, kmeans=KMeansSpeed(1, 2, 3, 4.0, 0.5))
    assert "50.0%" in markdown(done)
    assert json.loads(json.dumps(asdict(done)))["kmeans"]["seconds"] == 4.0


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--output .*file.*: .* Try: another folder"):
        list(bench_lines("cpu", tmp_path / "file" / "below", usual_plan(quick=True, readers=1)))
