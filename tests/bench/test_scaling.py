"""Two processes of one thread each beside one, through the training loop as torchrun starts it.

Every process makes its share of the same batches from nothing, so that only computing and exchange are timed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.config.pretraining import Schedule
from xdcbench.data.clip_dataset import Batch, CropBoxes
from xdcbench.data.context import Context
from xdcbench.models.encoders import encode, to_device
from xdcbench.models.heads import Heads
from xdcbench.models.weights import build_encoder
from xdcbench.training import Trainer, sgd
from xdcbench.utils import distributed
from xdcbench.utils.processes import start, stop

# Epochs are short, so that the fastest are those beside which nothing else ran.
CPU, BATCH, CLIPS, EPOCHS, CLASSES = torch.device("cpu"), 32, 128, 16, 10
MODEL = VideoModel(width=24, blocks=(1, 1, 1, 1), input=VideoInput(frames=8, size=48))


def batches() -> Iterator[Batch]:
    declared = MODEL.input
    for begin in range(0, CLIPS, BATCH):
        rows = torch.tensor(distributed.shard(range(begin, begin + BATCH)))
        pixels = torch.randint(256, (len(rows) * declared.frames * declared.size**2 * 3,), dtype=torch.uint8)
        boxes = CropBoxes(pixels, (declared.size,) * len(rows), declared.frames, (False,) * len(rows))
        yield Batch(rows, rows, boxes, None, ())


def train(work: Path) -> list[dict[str, float]]:
    """Means of each epoch, of all processes together."""
    torch.set_num_threads(1)
    encoder = to_device(build_encoder(MODEL, seed=0), CPU)
    heads = Heads(encoder.features, {"a": CLASSES})
    schedule = Schedule(epochs=EPOCHS, lr=0.01, warmup_epochs=0)

    def loss_of(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        scores = heads(encode(encoder, batch, device=CPU))["a"].float()
        loss = cross_entropy(scores, batch.rows % CLASSES)
        return loss, {"a_loss": loss.detach()}

    trainer = Trainer(
        modules=nn.ModuleDict({"video": encoder, "video_heads": heads}),
        optimizer=sgd([(encoder, 0.01), (heads, 0.01)], schedule),
        schedule=schedule,
        precision="fp32",
        device=CPU,
        work=work,
        batch=BATCH,
        context=Context("bench"),
        label="scaling",
    )
    history, _ = trainer.fit(lambda _epoch, _done: (CLIPS, batches()), loss_of)
    return history


def clips_per_second(processes: int, work: Path) -> float:
    """Of the fastest epoch after the first."""
    work.mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command = [*torchrun, str(processes), "-m", "tests.bench.test_scaling", str(work)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    history = json.loads((work / "history.json").read_text())
    return float(max(row["clips_per_second"] for row in history[1:]))


@pytest.mark.bench
def test_two_processes_beside_one(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Bound: at least 1.7 times the clips/s, on two idle cores."""
    rates: dict[int, list[float]] = {1: [], 2: []}

    def take_turns() -> None:
        for processes, found in rates.items():
            found.append(clips_per_second(processes, tmp_path / f"{processes}-{len(found)}"))

    benchmark.pedantic(take_turns, rounds=2)
    ratio = max(rates[2]) / max(rates[1])
    benchmark.extra_info |= {f"{n} processes, clips/s": round(max(r), 1) for n, r in rates.items()}
    benchmark.extra_info["two to one"] = round(ratio, 2)
    assert ratio >= 1.7


if __name__ == "__main__":
    start()
    found = train(Path(sys.argv[1]))
    if distributed.is_main_process():
        Path(sys.argv[1], "history.json").write_text(json.dumps(found))
    stop()
