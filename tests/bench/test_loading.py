"""The loader beside bare decoding of the same specs, and two workers beside one, in the same run."""

import os
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from tests.unit.tiny import make_index
from xdcbench.config.data import World
from xdcbench.config.models import AudioInput, VideoInput
from xdcbench.config.pretraining import Augment
from xdcbench.data.clip_dataset import ClipDataset, crop_box
from xdcbench.data.clips import ClipSpec, training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.media import read_audio, read_clip
from xdcbench.data.synthetic import write_world

pytestmark = pytest.mark.bench
VIDEO, AUDIO = VideoInput(fps=4), AudioInput()
WORLD = World(classes=4, size=160, fps=8, seconds=2.5, kinetics_train=8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """Clips of 8 x 112 x 112 and 2 s from H.264 of 160 x 160 at 8 fps: cheap to decode, so that the rest shows."""
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    index = Index.load(make_index(tmp_path_factory.mktemp("runs") / "index", root, "kinetics400"))
    return ClipDataset(index, root / "kinetics400", video=VIDEO, audio=AUDIO)


@pytest.fixture(scope="module")
def specs() -> list[ClipSpec]:
    return training_clips(np.arange(32), augment=Augment(), seed=0, epoch=0, clips=256)


def load(clips: ClipDataset, specs: list[ClipSpec], *, workers: int) -> None:
    for _ in batches(clips, specs, size=32, workers=workers):
        pass


def bare(clips: ClipDataset, specs: list[ClipSpec]) -> None:
    """The decoders' own calls, one after another, and nothing else."""
    for spec in specs:
        path, short_side = clips.path(spec), crop_box(VIDEO, spec.scale)[0]
        spare = float(clips.durations[spec.row]) - AUDIO.seconds
        start = spec.place * spare
        read_clip(path, start=start, frames=VIDEO.frames, fps=VIDEO.fps, short_side=short_side)
        read_audio(path, start=start, seconds=AUDIO.seconds, sample_rate=AUDIO.sample_rate)


def turns(benchmark: BenchmarkFixture, clock: Callable[[], float], **ways: Callable[[], None]) -> list[float]:
    """The least time of each way, over rounds in which they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}

    def take_turns() -> None:
        for name, way in ways.items():
            started = clock()
            way()
            times[name].append(clock() - started)

    benchmark.pedantic(take_turns, rounds=3)
    best = {name: min(of) for name, of in times.items()}
    benchmark.extra_info |= {f"{name} s": round(value, 3) for name, value in best.items()}
    return list(best.values())


def cpu() -> float:
    """Processor time of this process and of those that it has started and seen end, seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def test_everything_but_decoding(
    benchmark: BenchmarkFixture, clips: ClipDataset, specs: list[ClipSpec]
) -> None:
    """Under 15 % of one worker's time is not decoding: processor time of all processes, start included."""
    decoding, whole = turns(
        benchmark, cpu, bare=lambda: bare(clips, specs), loader=lambda: load(clips, specs, workers=1)
    )
    benchmark.extra_info["share of the rest"] = round(1 - decoding / whole, 3)
    assert decoding > 0.85 * whole


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor")
def test_two_workers_beside_one(
    benchmark: BenchmarkFixture, clips: ClipDataset, specs: list[ClipSpec]
) -> None:
    """At least 1.7 times as fast, on an idle machine of two processors."""
    one, two = turns(
        benchmark,
        time.perf_counter,
        one=lambda: load(clips, specs, workers=1),
        two=lambda: load(clips, specs, workers=2),
    )
    benchmark.extra_info["one / two"] = round(one / two, 2)
    assert one / two >= 1.7
