"""Shards behind a server: ranges alone are asked for, trouble is borne with for a while, and the cache stays small."""

import errno
import fcntl
import importlib.util
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.shards.prepared import write_dataset
from tests.unit.data.shards.servers import ASKED, S3, TROUBLE, Shaky, s3
from tests.unit.tiny import DATASETS, MODELS
from xdcbench.config.pretraining import Augment
from xdcbench.config.stages import IndexStage
from xdcbench.data import index_stage
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import training_clips
from xdcbench.data.context import Context
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.media.byte_ranges import Stream, Stretch
from xdcbench.data.shards import remote
from xdcbench.data.shards.cache import Cache
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.shards.remote import LocalFiles, RemoteFiles
from xdcbench.errors import MediaUnreachableError, UserError

VIDEO, AUDIO = MODELS.video.input, MODELS.audio.input
NO_S3 = "s3fs is not installed"
has_s3 = pytest.mark.skipif(importlib.util.find_spec("s3fs") is None, reason=NO_S3)


@pytest.fixture(scope="module")
def folder(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_dataset(folder / "kinetics400", world / "kinetics400", "kinetics400", DATASETS["kinetics400"])
    return folder


@pytest.fixture(autouse=True)
def shaky() -> Iterator[None]:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    TROUBLE.clear()
    ASKED.clear()
    yield
    TROUBLE.clear()


def patient(folder: Path, cache: Cache | None = None) -> RemoteFiles:
    """Files that are given up after two seconds."""
    return RemoteFiles(f"shaky://{folder}", cache, attempts=3, silence=0.6, pause=0.01)


def index_of(shards: ShardReader, run: Path) -> Index:
    run.mkdir()
    config = IndexStage(
        name="kinetics400", dataset=DATASETS["kinetics400"], fingerprint=shards.manifest.fingerprint
    )
    index_stage.run(config, {}, run, Context("tests", roots={"kinetics400": shards}))
    return Index.load(run)


# ------------------------------------------------------------------------------------------ any server


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_from_afar_are_those_from_here(folder: Path, tmp_path: Path, workers: int) -> None:
    """fsspec has asked in this process before others are forked, which its thread does not survive."""
    near = open_shards(str(folder / "kinetics400"))
    far = open_shards(f"shaky://{folder}/kinetics400", Cache(tmp_path / "cache"))
    runs = {"near": near, "far": far}
    clips = [
        ClipDataset(index_of(s, tmp_path / name), s, video=VIDEO, audio=AUDIO) for name, s in runs.items()
    ]
    specs = training_clips(np.arange(len(clips[0])), augment=Augment(), seed=1, epoch=0)
    for ours, theirs in zip(*(batches(c, specs, size=5, workers=workers) for c in clips), strict=True):
        assert not ours.failed and not theirs.failed
        assert torch.equal(ours.video.pixels, theirs.video.pixels)  # type: ignore[union-attr]
        assert torch.equal(ours.audio, theirs.audio)  # type: ignore[arg-type]
    assert not active_children()


def test_only_ranges_of_shards_are_asked_for(folder: Path) -> None:
    shards = open_shards(f"shaky://{folder}/kinetics400")
    places = shards.places["video"]
    ASKED.clear()
    member = shards.member(5, "video", "x")
    offset, size = int(places.offset[5]), int(places.size[5])
    assert len(member.data) == size
    assert [(Path(path).name, start, end) for path, start, end in ASKED] == [
        (f"{places.shard[5]:06d}.tar", offset - 512, offset + size)
    ]


@pytest.mark.parametrize("trouble", ["fail", "stall", "cut"])
def test_trouble_that_passes_is_borne_with(folder: Path, trouble: str) -> None:
    files = patient(folder)
    TROUBLE.extend([trouble, trouble])
    path = "kinetics400/shards.json"
    assert files.read(path, 3, 20) == LocalFiles(folder).read(path, 3, 20)
    assert len(ASKED) == 3


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("fail", "503 slow down"), ("stall", "no answer in time"), ("cut", "19 of 20 bytes came")],
)
def test_trouble_that_stays_ends_with_shard_and_address(folder: Path, trouble: str, words: str) -> None:
    TROUBLE.extend([trouble] * 9)
    began = time.monotonic()
    shard = "kinetics400/shards/000001.tar"
    with pytest.raises(UserError, match=rf"^shaky://{folder}/{shard}: {words} after 3 attempts; "):
        patient(folder).read(shard, 512, 20)
    assert len(ASKED) == 3 and time.monotonic() - began < 5


def test_a_server_that_fails_ends_the_stage_not_its_items(folder: Path, tmp_path: Path) -> None:
    shards = open_shards(f"shaky://{folder}/kinetics400")
    clips = ClipDataset(index_of(shards, tmp_path / "run"), shards, video=VIDEO)
    quick = replace(shards, files=patient(folder / "kinetics400"))
    quick.__dict__["places"] = shards.places
    clips.root = quick
    TROUBLE.extend(["fail"] * 99)  # the forked process has its own
    specs = training_clips(np.arange(8), augment=Augment(), seed=1, epoch=0)
    with pytest.raises(UserError, match=r"^shaky://\S+/shards/\d+\.tar: 503 slow down after 3 attempts"):
        list(batches(clips, specs, size=4, workers=1))
    assert not active_children()


def test_what_is_not_there_is_asked_for_again_once_it_was_known(folder: Path) -> None:
    """A look for shards is answered at once; a shard that its manifest lists may be away for a moment."""
    files = patient(folder)
    assert files.has("kinetics400/shards.json") and not files.has("kinetics400/none.json")
    assert not ASKED
    gone = r"shards/9\.tar: is not there after 3 attempts; run `xdcbench data prepare` again, or check"
    with pytest.raises(MediaUnreachableError, match=gone):
        files.read("shards/9.tar", 0, 5)
    assert len(ASKED) == 3


@pytest.mark.parametrize("url", ["nosuch://bucket/store", "adl://bucket/store"])
def test_an_address_that_nothing_reads_is_refused(url: str) -> None:
    with pytest.raises(UserError, match=rf"^{url}: .*; mend the address, or install what reads it"):
        open_shards(url)


@given(offset=st.integers(0, 4000), size=st.integers(0, 4000), whence=st.sampled_from([0, 1, 2]))
@settings(max_examples=50, deadline=None)
def test_a_stream_of_ranges_reads_as_a_file(folder: Path, offset: int, size: int, whence: int) -> None:
    path = "kinetics400/items.parquet"
    with (folder / path).open("rb") as file:
        files = LocalFiles(folder)
        reader = Stream(Stretch(partial(files.read, path), 0, files.size(path)))
        for one in (reader, file):
            one.read(7)
            one.seek(-offset if whence == 2 else offset, whence)
        assert reader.tell() == file.tell()
        assert reader.read(size) == file.read(size)
        assert reader.read() == file.read()


# ------------------------------------------------------------------------------------------ the cache


def test_a_range_is_asked_for_once(folder: Path, tmp_path: Path) -> None:
    shards = open_shards(f"shaky://{folder}/kinetics400", Cache(tmp_path))
    first = shards.member(3, "video", "x")
    ASKED.clear()
    again = open_shards(f"shaky://{folder}/kinetics400", Cache(tmp_path))
    assert bytes(again.member(3, "video", "x").data) == bytes(first.data)
    assert not [path for path, *_ in ASKED if path.endswith(".tar")]


def test_another_edition_of_a_shard_is_asked_for_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    file = tmp_path / "a"
    for content, mark in ((b"one", "1"), (b"two", "2"), (b"two", "1")):
        file.write_bytes(content)
        expected = b"one" if mark == "1" else b"two"
        assert patient(tmp_path, cache).read("a", 0, 3, mark) == expected
    assert patient(tmp_path, cache).read("a", 0, 3) == b"two"
    assert len(ASKED) == 3


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("??/*"))


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)

    def get(name: str) -> bool:
        asked: list[str] = []
        content = name.encode() * 86  # and 4 bytes of its sum
        assert cache.get(name, 86, lambda: asked.append(name) or content) == content  # type: ignore[func-returns-value]
        time.sleep(0.002)
        return not asked

    assert not any(get(name) for name in "abcdefghijk")  # 990 bytes
    assert get("a") and not get("l")  # the last does not fit
    assert disk(tmp_path) <= 900
    assert get("a") and get("l") and get("k")
    assert not get("b")


@given(sizes=st.lists(st.integers(1, 130), max_size=40), limit=st.integers(0, 1200))
@settings(max_examples=40, deadline=None)
def test_the_cache_never_outgrows_its_limit(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int
) -> None:
    cache = Cache(tmp_path_factory.mktemp("cache"), limit)
    for number, size in enumerate(sizes):
        content = bytes([number]) * size
        for _ in range(2):
            assert cache.get(str(number), size, lambda content=content: content) == content  # type: ignore[misc]
        assert disk(cache.folder) <= limit


def fill(folder: str, seed: int) -> int:
    """Read 120 ranges of 50 through a cache that holds 18 of them; runs in a process of its own."""
    cache = Cache(Path(folder), 2000)
    for name in np.random.default_rng(seed).integers(50, size=120):
        content = bytes([name]) * 100
        assert cache.get(str(name), 100, lambda content=content: content) == content  # type: ignore[misc]
    return os.getpid()


def test_processes_share_a_cache(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        list(pool.map(fill, [str(tmp_path)] * 3, range(3)))
    assert 0 < disk(tmp_path) <= 2000
    assert int((tmp_path / "bytes").read_text()) >= disk(tmp_path)


def test_what_a_killed_process_left_is_not_taken_for_whole(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10_000)
    cache.get("a", 100, lambda: b"a" * 100)
    (kept,) = tmp_path.glob("??/*")
    kept.write_bytes(b"a" * 40)
    assert cache.get("a", 100, lambda: b"b" * 100) == b"b" * 100
    (tmp_path / "bytes").write_text("")  # cut while it was written
    assert cache.get("c", 100, lambda: b"c" * 100) == b"c" * 100
    assert cache.get("c", 100, lambda: b"") == b"c" * 100


@pytest.mark.parametrize("damage", ["zero", "half", "bit", "cut", "gone"])
def test_a_damaged_range_is_asked_for_again(tmp_path: Path, damage: str) -> None:
    cache, content = Cache(tmp_path, 10_000), bytes(range(1, 101))
    cache.get("a", 100, lambda: content)
    (kept,) = tmp_path.glob("??/*")
    whole = kept.read_bytes()
    kept.write_bytes(
        {
            "zero": bytes(len(whole)),
            "half": whole[:50].ljust(len(whole), b"\0"),
            "bit": bytes([whole[0] ^ 1]) + whole[1:],
            "cut": whole[:60],
            "gone": b"",
        }[damage]
    )
    assert cache.get("a", 100, lambda: content) == content
    assert cache.get("a", 100, lambda: b"") == content, "and kept"


@pytest.mark.parametrize("count", [None, "", "\0\0", "many"])
def test_a_lost_count_is_made_again_from_what_is_there(tmp_path: Path, count: str | None) -> None:
    cache = Cache(tmp_path, 10_000)
    cache.get("a", 100, lambda: b"a" * 100)
    (tmp_path / "bytes").unlink()
    if count is not None:
        (tmp_path / "bytes").write_text(count)
    cache.get("b", 200, lambda: b"b" * 200)
    assert int((tmp_path / "bytes").read_text()) == disk(tmp_path) == 308


def test_a_cache_without_locks_keeps_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    assert Cache(tmp_path).get("a", 3, lambda: b"abc") == b"abc"
    assert "nothing is kept" in caplog.text and "XDCBENCH_LOCKS=off" in caplog.text
    assert not list(tmp_path.glob("??/*"))


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level("WARNING"):
        assert Cache(tmp_path / "file").get("a", 3, lambda: b"abc") == b"abc"
    assert "nothing is kept (Not a directory)" in caplog.text


# ------------------------------------------------------------------------------------------ S3


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A bucket, and the environment that S3's client looks into."""
    with s3(folder) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


@has_s3
@pytest.mark.parametrize("workers", [0, 2])
def test_s3_serves_the_same_clips_by_ranges_alone(
    folder: Path, tmp_path: Path, server: S3, workers: int
) -> None:
    near = open_shards(str(folder / "kinetics400"))
    far = open_shards("s3://store/kinetics400", Cache(tmp_path / "cache"))
    runs = {"near": near, "far": far}
    clips = [ClipDataset(index_of(s, tmp_path / name), s, video=VIDEO) for name, s in runs.items()]
    specs = training_clips(np.arange(len(clips[0])), augment=Augment(), seed=1, epoch=0)
    for ours, theirs in zip(*(batches(c, specs, size=5, workers=workers) for c in clips), strict=True):
        assert torch.equal(ours.video.pixels, theirs.video.pixels)  # type: ignore[union-attr]
    shards = [request for request in server.asked if ".tar" in request[1]]
    assert len(shards) == len(specs)
    assert all(method == "GET" and span.startswith("bytes=") for method, _, span in shards)
    assert not [path for _, path, _ in server.asked if "list-type" in path or "prefix" in path]
    assert not active_children()


@has_s3
@pytest.mark.parametrize("trouble", ["fail", "stall", "cut"])
def test_s3_in_trouble_is_borne_with_then_named(server: S3, trouble: str) -> None:
    files = RemoteFiles("s3://store/kinetics400", attempts=2, pause=0.01)
    files.read("shards/000000.tar", 512, 4000)  # makes the client, which takes its time on a busy machine
    files.silence = 2.0
    server.trouble.append(trouble)
    assert len(files.read("shards/000000.tar", 512, 4000)) == 4000
    server.trouble.extend([trouble] * 30)
    began = time.monotonic()
    with pytest.raises(
        UserError, match=r"^s3://store/kinetics400/shards/000000\.tar: .* after 2 attempts; run"
    ):
        files.read("shards/000000.tar", 512, 4000)
    assert time.monotonic() - began < 10


@has_s3
def test_an_answer_that_is_cut_short_is_no_refusal() -> None:
    from aiohttp.client_exceptions import ClientPayloadError
    from aiohttp.http_exceptions import ContentLengthError

    cut = ClientPayloadError("Response payload is not completed")
    cut.__cause__ = ContentLengthError("2000 of 4000 bytes")
    assert not remote._final(cut)


@has_s3
def test_s3_without_the_shards_says_so(server: S3) -> None:
    with pytest.raises(UserError, match=r"^s3://store/none/shards\.json: is not there; "):
        open_shards("s3://store/none")


@has_s3
@pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="moto is not installed")
def test_moto_serves_the_same_members(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The referee of what S3 is: an implementation by others."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="store")
        for path in folder.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "store", path.relative_to(folder).as_posix())
        near, far = open_shards(str(folder / "kinetics400")), open_shards("s3://store/kinetics400")
        assert far.manifest == near.manifest and far.items().equals(near.items())
        for row in range(0, len(near.items(["id"])), 3):
            assert bytes(far.member(row, "video", "x").data) == bytes(near.member(row, "video", "x").data)
    finally:
        moto.stop()
