"""Reading from prepared shards beside the original file and beside bare decoders, in turns in one run."""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from av.audio.resampler import AudioResampler
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from tests.integration.helpers import one_thread, xdcbench
from tests.unit.data.media.referee import ffmpeg
from tests.unit.data.shards.prepared import members, shard_of, write_shard
from tests.unit.tiny import DATASETS
from xdcbench.config.data import ShardSettings, World
from xdcbench.config.models import AudioInput, VideoInput
from xdcbench.config.pretraining import Augment
from xdcbench.config.stages import IndexStage
from xdcbench.data import index_stage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.media import read_audio, read_clip
from xdcbench.data.shards.layout import ITEMS_FILE, PLACES, Shard, ShardsManifest, shard_name
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.synthetic import write_world

pytestmark = pytest.mark.bench
FRAMES, FPS, SECONDS, SHORT_SIDE, WINDOW, HZ = 8, 30, 10, 128, 2.0, 16_000
CLIPS, ROUNDS = 16, 12
FASTER, OVERHEAD = 12, 1.5
ITEMS = 2_000_000
NO_LOAD = "does not load on this machine"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds as Kinetics is passed on: the encoder's own keyframes, audio in AAC; in Kinetics' layout."""
    root = tmp_path_factory.mktemp("kinetics")
    video = root / "train" / "a" / "abcdefghijk.mp4"
    for path in (video, root / "val" / "a" / "bcdefghijkl.mp4"):
        path.parent.mkdir(parents=True)
        ffmpeg(
            *(
                "-f",
                "lavfi",
                "-i",
                f"testsrc2=s=340x256:r={FPS}:d={SECONDS},scroll=h=0.01:v=0.007,noise=alls=6:allf=t",
            ),
            *("-f", "lavfi", "-i", f"anoisesrc=r=44100:a=0.1:d={SECONDS}", "-shortest"),
            *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23", "-c:a", "aac", path),
        )
    return video


@pytest.fixture(scope="module")
def shards(original: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    folder = tmp_path_factory.mktemp("shards") / "kinetics400"
    done = xdcbench(
        *(
            "data",
            "prepare",
            "kinetics400",
            "--root",
            original.parents[2],
            "--output",
            folder,
            "--num-workers",
            1,
        ),
        env=one_thread(),
    )
    assert done.returncode == 0, done.stderr
    return open_shards(str(folder))


def own_clip(shards: ShardReader, start: float) -> NDArray[np.uint8]:
    member = shards.member(0, "video", "x")
    return read_clip(member, start=start, frames=FRAMES, fps=FPS, short_side=SHORT_SIDE).numpy()


def own(shards: ShardReader, start: float) -> NDArray[np.uint8]:
    """A clip, and the audio around it."""
    clip = own_clip(shards, start)
    read_audio(shards.member(0, "audio", "x"), start=start, seconds=WINDOW, sample_rate=HZ)
    return clip


def bare_clip(source: str | io.BytesIO, start: float) -> NDArray[np.uint8]:
    """One thread, one scaler, the same frames of the same size."""
    with av.open(source) as container:
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


def bare(path: str, start: float) -> NDArray[np.uint8]:
    """A clip, and the audio around it, by plain loops over the original."""
    clip = bare_clip(path, start)
    with av.open(path) as container:
        stream = container.streams.audio[0]
        container.seek(int(start / stream.time_base), stream=stream)
        resampler, samples = AudioResampler(format="s16", layout="mono", rate=HZ), 0
        for frame in container.decode(stream):
            samples += sum(part.samples for part in resampler.resample(frame))
            if samples >= WINDOW * HZ:
                break
    return clip


def in_turns(
    benchmark: BenchmarkFixture, readers: dict[str, Callable[[float], object]], starts: list[float]
) -> dict[str, float]:
    """Milliseconds per clip of each reader, the least of each start; a busy machine slows all alike."""
    times: dict[tuple[str, float], list[float]] = {(name, start): [] for name in readers for start in starts}

    def take_turns() -> None:
        for name, read in readers.items():
            for start in starts:
                began = time.perf_counter()
                read(start)
                times[name, start].append(time.perf_counter() - began)

    benchmark.pedantic(take_turns, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    each = {name: 1e3 * sum(min(times[name, s]) for s in starts) / len(starts) for name in readers}
    benchmark.extra_info["ms per clip"] = {name: round(ms, 2) for name, ms in each.items()}
    return each


@pytest.fixture(scope="module")
def starts() -> list[float]:
    """Random in time, one in each of equal parts of the time: a few at random would be early or late by chance."""
    share = (np.arange(CLIPS) + np.random.default_rng(0).random(CLIPS)) / CLIPS
    return [int(frame) / FPS + 1e-4 for frame in share * FPS * (SECONDS - WINDOW)]


def test_a_clip_beside_the_original(
    benchmark: BenchmarkFixture, original: Path, shards: ShardReader, starts: list[float]
) -> None:
    for start in starts:
        assert np.abs(own(shards, start).astype(int) - bare(str(original), start)).mean() < 12
    each = in_turns(
        benchmark, {"shards": lambda s: own(shards, s), "original": lambda s: bare(str(original), s)}, starts
    )
    benchmark.extra_info["original / shards"] = round(each["original"] / each["shards"], 2)
    assert each["original"] > FASTER * each["shards"]


def test_a_clip_beside_a_bare_decoder_of_bytes(
    benchmark: BenchmarkFixture, shards: ShardReader, starts: list[float]
) -> None:
    content = bytes(shards.member(0, "video", "x").data)
    for start in starts:
        assert np.abs(own(shards, start).astype(int) - bare_clip(io.BytesIO(content), start)).mean() < 4
    readers: dict[str, Callable[[float], object]] = {
        "shards": lambda s: own_clip(shards, s),
        "shards with audio": lambda s: own(shards, s),
        "bare": lambda s: bare_clip(io.BytesIO(content), s),
    }
    each = in_turns(benchmark, readers, starts)
    benchmark.extra_info["shards / bare"] = round(each["shards"] / each["bare"], 3)
    assert each["shards"] < OVERHEAD * each["bare"]


@pytest.mark.parametrize("library", ["torchcodec", "decord"])
def test_other_decoders_of_the_same_bytes(
    benchmark: BenchmarkFixture, shards: ShardReader, starts: list[float], library: str
) -> None:
    """Reported, not bounded."""
    content = bytes(shards.member(0, "video", "x").data)
    peer = {"torchcodec": by_torchcodec, "decord": by_decord}[library]
    try:
        module = __import__(f"{library}.decoders" if library == "torchcodec" else library, fromlist=["x"])
        assert len(peer(module, content, starts[0])) == FRAMES
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"{library} {NO_LOAD}: {' '.join(str(error).split())[:80]}")
    each = in_turns(
        benchmark,
        {"shards": lambda s: own_clip(shards, s), library: lambda s: peer(module, content, s)},
        starts,
    )
    benchmark.extra_info[f"shards / {library}"] = round(each["shards"] / each[library], 3)


def by_torchcodec(module: ModuleType, content: bytes, start: float) -> NDArray[np.uint8]:
    decoder = module.VideoDecoder(content, num_ffmpeg_threads=1, seek_mode="approximate")
    first = round(start * FPS)
    frames: NDArray[np.uint8] = decoder.get_frames_in_range(first, first + FRAMES).data.numpy()
    return frames


def by_decord(module: ModuleType, content: bytes, start: float) -> NDArray[np.uint8]:
    reader = module.VideoReader(io.BytesIO(content), num_threads=1)
    first = round(start * FPS)
    frames: NDArray[np.uint8] = reader.get_batch(range(first, first + FRAMES)).asnumpy()
    return frames


# ------------------------------------------------------------------------------------ many items


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Shards of few and of very many items, all of which lie in the same shard."""
    return {n: many(tmp_path_factory.mktemp("many"), n) for n in (2_000, ITEMS)}


def many(folder: Path, n: int) -> Path:
    (folder / "shards").mkdir()
    path = folder / "shards" / shard_name(0)
    files = {number: {"mp4": bytes(300_000), "wav": bytes(320_000)} for number in range(40)}
    table = pd.DataFrame(write_shard(path, files, 0)).iloc[np.arange(n) % 40].reset_index(drop=True)
    columns = {
        name: pa.array(table[name].to_numpy(), pa.type_for_alias(kind)) for name, kind in PLACES.items()
    }
    rng = np.random.default_rng(0)
    for kind in ("video", "audio"):
        columns[f"{kind}_sha256"] = pa.array(
            [row.tobytes() for row in rng.integers(0, 256, (n, 32), dtype=np.uint8)], pa.binary(32)
        )
    ids = pa.array([f"{number:011x}_000010_000020" for number in range(n)])
    columns |= {
        "id": ids,
        "path": ids,
        "label": pa.array(np.arange(n) % 400),
        **{name: pa.array(np.full(n, 10.0)) for name in ("duration", "video_seconds", "audio_seconds")},
        "audio_start": pa.array(np.zeros(n)),
    }
    pq.write_table(pa.table(columns), folder / ITEMS_FILE, row_group_size=131_072)
    ShardsManifest(
        name="many",
        dataset={},
        media="video",
        classes=(),
        splits=(),
        official=(),
        settings=ShardSettings(),
        source_fingerprint="",
        fingerprint="",
        items_sha256=sha256(folder / ITEMS_FILE),
        versions={},
        shards=(Shard(name=path.name, bytes=path.stat().st_size, sha256="0" * 64),),
    ).save(folder)
    return folder


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


OPENING = """
import sys, time
from pathlib import Path
import torch, pandas, pyarrow.parquet
from xdcbench.data.shards.reader import open_shards

def used(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before, began = used("VmRSS"), time.perf_counter()
shards = open_shards(sys.argv[1])
shards.places
shards.member(len(shards.places["video"].size) - 1, "video", "x")
seconds = time.perf_counter() - began
assert len(shards.rows(shards.ids[:5])) == 5
print(seconds, time.perf_counter() - began, used("VmHWM") - before)
"""


def test_opening_two_million_items(benchmark: BenchmarkFixture, sizes: dict[int, Path]) -> None:
    """Seconds to the last item's bytes, seconds with the ids looked up too, and MiB beyond those of the libraries."""

    def opened() -> tuple[float, ...]:
        words = [sys.executable, "-c", OPENING, str(sizes[ITEMS])]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return tuple(map(float, done.stdout.split()))

    found = np.array([benchmark.pedantic(opened, rounds=1), *(opened() for _ in range(2))])
    seconds, with_ids, mebibytes = found[:, 0].min(), found[:, 1].min(), found[:, 2].max()
    benchmark.extra_info |= {
        "seconds": round(seconds, 3),
        "with ids": round(with_ids, 3),
        "MiB": round(mebibytes),
    }
    assert seconds < 1 and 50 < mebibytes < 500


def test_random_access_does_not_depend_on_the_number_of_items(
    benchmark: BenchmarkFixture, sizes: dict[int, Path]
) -> None:
    readers = {n: open_shards(str(folder)) for n, folder in sizes.items()}
    rows = {n: np.random.default_rng(0).integers(n, size=200) for n in readers}
    times: dict[int, list[float]] = {n: [] for n in readers}

    def take_turns() -> None:
        for n, shards in readers.items():
            began = time.perf_counter()
            for row in rows[n]:
                shards.member(int(row), "video", "x")
            times[n].append(time.perf_counter() - began)

    benchmark.pedantic(take_turns, rounds=8, iterations=1, warmup_rounds=1)
    few, lots = (min(of) / 200 for of in times.values())
    benchmark.extra_info["microseconds"] = {"2,000": round(1e6 * few, 1), "2,000,000": round(1e6 * lots, 1)}
    assert lots < 1.3 * few


# ------------------------------------------------------------------------------------ an epoch


def small(folder: Path, world: Path, n: int, *, per_shard: int) -> ClipDataset:
    """Shards of ``n`` videos, which repeat those of a small world."""
    root, dataset = world / "kinetics400", DATASETS["kinetics400"]
    videos = [members(path, "video", audio=True) for path in sorted(root.rglob("*.mp4"))]
    (folder / "shards").mkdir(parents=True)
    rows, shards = [], []
    for begin in range(0, n, per_shard):
        path = folder / "shards" / shard_name(len(shards))
        files = {number: videos[number % len(videos)] for number in range(begin, min(n, begin + per_shard))}
        rows += write_shard(path, files, len(shards))
        shards.append(shard_of(path))
    names = [f"item{number}" for number in range(n)]
    items = pd.DataFrame({"id": names, "path": names, "group": names, "label": 0, "bytes": 1, "reason": ""})
    items = items.assign(
        ok=True, video=True, audio=True, duration=2.5, video_seconds=2.5, audio_start=0.0, audio_seconds=2.5
    )
    items = items.assign(**{"split:official": "train"})
    pd.concat([items, pd.DataFrame(rows)], axis=1).to_parquet(folder / ITEMS_FILE, index=False)
    manifest = ShardsManifest(
        **dict.fromkeys(("source_fingerprint", "fingerprint"), ""),
        items_sha256=sha256(folder / ITEMS_FILE),
        **{
            "name": "kinetics400",
            "dataset": {},
            "media": "video",
            "settings": ShardSettings(),
            "versions": {},
        },
        **{"classes": ("a",), "splits": dataset.splits, "official": (), "shards": tuple(shards)},
    )
    manifest.save(folder)
    reader, run = open_shards(str(folder)), folder.with_name(f"{folder.name}-index")
    run.mkdir()
    config = IndexStage(name="kinetics400", dataset=dataset, fingerprint="")
    index_stage.run(config, {}, run, Context("bench", roots={"kinetics400": reader}))
    video = VideoInput(frames=4, size=16, fps=8, short_side=(16, 20))
    return ClipDataset(Index.load(run), reader, video=video, audio=AudioInput(seconds=0.8))


def test_an_epoch_grows_with_its_items_alone(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds of an epoch by items, workers and shard size; bounded in processor time, which no neighbor moves."""
    write_world(World(classes=2, size=24, seconds=2.5, kinetics_train=8, kinetics_val=1), tmp_path / "world")
    big, few, parts = (
        small(tmp_path / f"{n}-{per}", tmp_path / "world", n, per_shard=per)
        for n, per in ((5000, 1000), (1250, 1000), (5000, 50))
    )
    took: dict[str, float] = {}
    busy: dict[str, float] = {}

    def epoch(name: str, clips: ClipDataset, workers: int) -> None:
        specs = training_clips(np.arange(len(clips)), augment=Augment(), seed=0, epoch=0)
        began, used = time.perf_counter(), sum(os.times()[:4])
        read = sum(len(batch.rows) for batch in batches(clips, specs, size=64, workers=workers))
        took[name] = min(took.get(name, np.inf), time.perf_counter() - began)
        busy[name] = min(busy.get(name, np.inf), sum(os.times()[:4]) - used)
        assert read == len(clips)

    def take_turns() -> None:
        epoch("5000 items, 1 worker, shards of 1000", big, 1)
        epoch("1250 items, 1 worker, shards of 1000", few, 1)
        epoch("5000 items, 1 worker, shards of 50", parts, 1)
        epoch("5000 items, 2 workers, shards of 1000", big, 2)

    benchmark.pedantic(take_turns, rounds=2, iterations=1)
    benchmark.extra_info["seconds"] = {name: round(seconds, 2) for name, seconds in took.items()}
    benchmark.extra_info["of processors"] = {name: round(seconds, 2) for name, seconds in busy.items()}
    whole, quarter, split, two = busy.values()
    assert 3 < whole / quarter < 5 and split < 1.3 * whole and two < 1.5 * whole
