"""The functions that measure a GPU do their work on the CPU too, at tiny sizes."""

import pytest
import torch

from tests.bench import test_gpu as bench
from xdcbench.schema import VideoInput, VideoModel

CPU = torch.device("cpu")
MODEL = VideoModel(width=4, blocks=(1, 1, 1, 1), input=VideoInput(frames=4, size=16))
SHAPE = bench.Shape(batch=2, frames=4, size=16)


def test_own_step_trains() -> None:
    step = bench.own_step(MODEL, SHAPE, CPU)
    optimizer = step.__closure__  # type: ignore[attr-defined]
    weights = [c.cell_contents for c in optimizer if isinstance(c.cell_contents, torch.nn.Module)]
    before = [p.detach().clone() for module in weights for p in module.parameters()]
    step()
    after = [p for module in weights for p in module.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_plain_step_and_extraction_take_time() -> None:
    steps = (bench.plain_step(SHAPE, CPU, amp=False), bench.extraction(MODEL, SHAPE, CPU))
    assert all(0 < bench.seconds(step, CPU, repeats=1) < 60 for step in steps)


def test_seconds_leaves_out_the_first_call() -> None:
    calls: list[int] = []
    bench.seconds(lambda: calls.append(1), CPU, repeats=3)
    assert len(calls) == 4


def test_rates_of_matrices_and_clusters() -> None:
    assert bench.matrix_peak(64, CPU, dtype=torch.float32) > 0
    assert 0 < bench.kmeans_share(200, 8, 4, CPU) < 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="no CUDA device is what is tested")
def test_without_a_gpu_it_skips() -> None:
    with pytest.raises(pytest.skip.Exception, match="no CUDA device"):
        bench.gpu.__wrapped__()
