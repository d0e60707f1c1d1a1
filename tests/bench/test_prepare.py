"""Preparing beside ffmpeg processes that do the same, one per core, through files, in turns in one run."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio_ffmpeg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.unit.data.media.referee import ffmpeg
from xdcbench.cli.preparation_output import originals
from xdcbench.cli.request import Request
from xdcbench.config.data import ShardSettings
from xdcbench.data.preparation.prepare import Build, prepare
from xdcbench.data.preparation.staging import order, stage
from xdcbench.data.preparation.video import PARAMS

ROUNDS = 8
VIDEOS = 64
ROOT = Path(__file__).parents[2]
MEMORY = """
import resource, sys
from xdcbench.data.preparation.staging import stage
assert stage(sys.argv[1])["ok"]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Kinetics is passed on: ten seconds of 340x256 H.264, the encoder's own keyframes, AAC."""
    return make(tmp_path_factory.mktemp("video") / "video.mp4", 10)


@pytest.fixture
def one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def make(path: Path, seconds: int) -> Path:
    video_filter = f"testsrc2=s=340x256:r=30:d={seconds},scroll=h=0.01:v=0.007,noise=alls=6:allf=t"
    audio_filter = f"anoisesrc=r=44100:d={seconds}:a=0.3"
    words = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", 2)
    ffmpeg("-f", "lavfi", "-i", video_filter, "-f", "lavfi", "-i", audio_filter, *words, path)
    return path


def task(source: Path, folder: Path) -> str:
    item = {"number": 0, "path": source.name, "bytes": source.stat().st_size, "mtime": 0}
    return order(folder, source.parent, item, "video", ShardSettings())


def same(source: Path, folder: Path) -> None:
    """What `stage` does, by the ffmpeg program."""
    settings = ShardSettings()
    words = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-threads",
        "1",
        "-i",
        str(source),
    ]
    words += [
        "-filter_threads",
        "1",
        "-vf",
        "scale=212:160:flags=bilinear",
        "-c:v",
        "libx264",
        "-threads",
        "1",
    ]
    words += ["-preset", "superfast", "-tune", "fastdecode", "-pix_fmt", "yuv420p", "-an"]
    words += [
        "-x264-params",
        PARAMS.format(settings.keyframe_interval, settings.qp),
        str(folder / "peer.mp4"),
    ]
    words += ["-vn", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le", str(folder / "peer.wav")]
    subprocess.run(words, check=True, timeout=60)


@pytest.mark.bench
@pytest.mark.usefixtures("one_core")
def test_a_process_prepares_as_fast_as_ffmpeg(
    benchmark: BenchmarkFixture, video: Path, tmp_path: Path
) -> None:
    own, peer = [], []

    def take_turns() -> None:
        # A busy machine then slows both alike.
        begun = time.perf_counter()
        stage(task(video, tmp_path))
        between = time.perf_counter()
        same(video, tmp_path)
        own.append(between - begun)
        peer.append(time.perf_counter() - between)

    benchmark.pedantic(take_turns, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    sizes = [
        (tmp_path / name).stat().st_size for name in ("00000000.mp4", "peer.mp4", "00000000.wav", "peer.wav")
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.03)
    assert sizes[2] == pytest.approx(sizes[3], rel=0.03)
    benchmark.extra_info["seconds a video"] = {"own": round(min(own), 3), "ffmpeg": round(min(peer), 3)}
    benchmark.extra_info["speed, of ffmpeg's"] = round(min(peer) / min(own), 3)
    assert min(own) <= min(peer)


@pytest.mark.bench
def test_a_dataset_is_prepared_as_fast_as_by_an_ffmpeg_on_each_core(
    benchmark: BenchmarkFixture, video: Path, tmp_path: Path
) -> None:
    """From the scan to the finished shards, hashes included; each ffmpeg process makes one video after another."""
    root, cores = tmp_path / "videos", len(os.sched_getaffinity(0))
    root.mkdir()
    for number in range(VIDEOS):
        (root / f"{number}.mp4").hardlink_to(video)
    own, peer = [], []

    def one_by_one(core: int) -> None:
        folder = tmp_path / f"core{core}"
        folder.mkdir(exist_ok=True)
        for _ in range(core, VIDEOS, cores):
            same(video, folder)

    def take_turns() -> None:
        begun = time.perf_counter()
        shards = tmp_path / f"shards{len(own)}"
        build = Build(shards, originals(Request("filelist", root)), ShardSettings())
        items = prepare(build, workers=cores, limit=60)
        between = time.perf_counter()
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(one_by_one, range(cores)))
        own.append(between - begun)
        peer.append(time.perf_counter() - between)
        assert items["ok"].sum() == VIDEOS
        shutil.rmtree(shards)

    # The first round starts the server from which processes are forked, which takes seconds whatever their number.
    benchmark.pedantic(take_turns, rounds=3, iterations=1, warmup_rounds=1)
    benchmark.extra_info["videos a second"] = {
        name: round(VIDEOS / min(times), 2) for name, times in (("own", own), ("ffmpeg", peer))
    }
    benchmark.extra_info["speed, of ffmpeg's"] = round(min(peer) / min(own), 3)
    assert min(own) <= min(peer)


@pytest.mark.bench
@pytest.mark.parametrize("seconds", [10, 1800])
def test_a_process_stays_under_1_gib(benchmark: BenchmarkFixture, tmp_path: Path, seconds: int) -> None:
    """Also with half an hour of video, of which a few frames and two minutes of audio are held at once."""
    path = make(tmp_path / "short.mp4", 10)
    if seconds > 10:
        ffmpeg("-stream_loop", seconds // 10 - 1, "-i", path, "-c", "copy", tmp_path / "video.mp4")
        path = tmp_path / "video.mp4"
    words = [sys.executable, "-c", MEMORY, task(path, tmp_path)]
    done = benchmark.pedantic(
        lambda: subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True), rounds=1
    )
    peak = int(done.stdout) * 1024
    benchmark.extra_info["peak MiB"] = peak >> 20
    assert peak < 1 << 30
