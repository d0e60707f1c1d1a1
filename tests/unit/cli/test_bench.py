from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from xdcbench.cli.main import app
from xdcbench.errors import UserError
from xdcbench.pipeline.costs import gpu_benchmark
from xdcbench.pipeline.costs.gpu_benchmark import BenchmarkPlan


def test_options_reach_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path, BenchmarkPlan]] = []

    def bench_lines(device: str, output: Path, plan: BenchmarkPlan) -> Iterator[str]:
        asked.append((device, output, plan))
        yield "a line"

    monkeypatch.setattr(gpu_benchmark, "bench_lines", bench_lines)
    options = ["--output", "here", "--device", "cuda:1", "--quick", "--num-workers", "3"]
    said = CliRunner().invoke(app, ["bench", "gpu", *options])
    assert said.exit_code == 0 and said.output == "a line\n"
    ((device, output, plan),) = asked
    assert (device, output, plan.readers, plan.compiled) == ("cuda:1", Path("here"), 3, False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="no CUDA device is what is tested")
def test_no_gpu_is_told(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["bench", "gpu", "--output", str(tmp_path / "bench")])
    assert isinstance(said.exception, UserError) and "no CUDA device is visible" in str(said.exception)
    assert not (tmp_path / "bench").exists()
