"""Reading a clip beside a bare PyAV loop that seeks and decodes the same frames, in turns in one run."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from tests.unit.data.media.referee import ffmpeg
from xdcbench.data.media import read_clip

FRAMES, FPS, SECONDS, SHORT_SIDE = 8, 30, 10, 128
CLIPS, ROUNDS = 6, 12
KINDS = {
    "h264.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23"),
    "xvid.avi": ("-s", "320x240", "-c:v", "mpeg4", "-q:v", "5"),
}
"""A video as Kinetics is passed on, with the encoder's own keyframes, and one as UCF101's."""

BOUNDS = {"h264.mp4": 1.1, "xvid.avi": 1.3}
"""The one more frame that tells how long the last is shown weighs more where a seek lands near."""


@pytest.fixture(scope="module", params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of moving detail and some noise."""
    path = tmp_path_factory.mktemp("media") / request.param
    source = f"testsrc2=s=340x256:r={FPS}:d={SECONDS},scroll=h=0.01:v=0.007,noise=alls=6:allf=t"
    ffmpeg("-f", "lavfi", "-i", source, *KINDS[request.param], path)
    return path


def own(path: Path, start: float) -> NDArray[np.uint8]:
    return read_clip(path, start=start, frames=FRAMES, fps=FPS, short_side=SHORT_SIDE).numpy()


def bare(path: Path, start: float) -> NDArray[np.uint8]:
    """One thread, one scaler, the same frames of the same size; the file is known to be an easy one."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(start / stream.time_base), stream=stream)
        scaler, clip = VideoReformatter(), []
        width = round(stream.width * SHORT_SIDE / stream.height)
        for frame in container.decode(stream):
            if frame.time > start - 0.5 / FPS:
                scaled = scaler.reformat(frame, width=width, height=SHORT_SIDE, format="rgb24", threads=1)
                clip.append(scaled.to_ndarray())
                if len(clip) == FRAMES:
                    break
    return np.stack(clip)


@pytest.mark.bench
def test_a_random_clip_beside_a_bare_loop(benchmark: BenchmarkFixture, path: Path) -> None:
    """The same frames in little more time; the ratio is reported in ``extra_info``."""
    starts = [frame / FPS + 1e-4 for frame in random.Random(0).sample(range(FPS * SECONDS - FRAMES), CLIPS)]
    readers: dict[str, Callable[[Path, float], NDArray[np.uint8]]] = {"own": own, "bare": bare}
    for start in starts:
        # The loop's plain scaler places colors between pixels a little otherwise.
        assert np.abs(own(path, start).astype(int) - bare(path, start)).mean() < 4
    times: dict[tuple[str, float], list[float]] = {(name, start): [] for name in readers for start in starts}

    def take_turns() -> None:
        # A busy machine then slows both alike.
        for start in starts:
            for name, read in readers.items():
                started = time.perf_counter()
                read(path, start)
                times[name, start].append(time.perf_counter() - started)

    benchmark.pedantic(take_turns, rounds=ROUNDS, iterations=1)
    total = {name: sum(min(times[name, start]) for start in starts) for name in readers}
    benchmark.extra_info["ms per clip"] = {name: round(1e3 * t / CLIPS, 2) for name, t in total.items()}
    benchmark.extra_info["own / bare"] = round(total["own"] / total["bare"], 3)
    assert total["own"] < BOUNDS[path.name] * total["bare"]
