"""Local files: what the file system refuses is tried again, and then no fault of the content."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from tests.unit.data.media.videos import write
from xdcbench.data.media import Indexed, local_file, probe, read_audio, read_clip
from xdcbench.data.media.inspect import inspect
from xdcbench.data.media.local_file import FileState, LocalFile, patiently, state_of
from xdcbench.errors import MediaChangedError, MediaError, MediaUnreachableError

REFUSALS = (
    errno.ENOENT,
    errno.EIO,
    errno.ESTALE,
    errno.EACCES,
    errno.EMFILE,
    errno.ENFILE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_file, "PAUSES", (0.02, 0.05, 0.4))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Over 128 KB, so that FFmpeg reads it in several parts."""
    wave = np.random.default_rng(0).uniform(-1, 1, 88_200).astype(np.float32)  # which no codec makes small
    return write(tmp_path_factory.mktemp("video") / "a.mkv", audio="pcm_s16le", wave=wave)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, after: int, times: int) -> None:
    """Let a function of ``os`` fail some times after some calls."""
    real, calls = getattr(os, name), 0

    def call(*values: object) -> object:
        nonlocal calls
        calls += 1
        if after < calls <= after + times:
            raise OSError(code, os.strerror(code))
        return real(*values)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("name", ["open", "pread"])
def test_a_refusal_that_passes_changes_nothing(
    video: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = probe(video)
    failing(monkeypatch, name, code, after=0, times=2)
    assert probe(video) == before


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("name", ["open", "pread"])
def test_a_refusal_that_stays_is_no_media_error(
    video: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, name, code, after=0, times=10**6)
    with pytest.raises(
        MediaUnreachableError, match=f"media not reachable: {video} \\({os.strerror(code)}\\)"
    ):
        probe(video)


READS: dict[str, Callable[[Path], object]] = {
    "clip": lambda path: read_clip(path, start=0.2, frames=8, fps=10, short_side=16),
    "audio": lambda path: read_audio(path, start=0.1, seconds=1.0, sample_rate=16_000),
    "inspect": inspect,
}


@pytest.mark.parametrize("kind", READS)
def test_a_part_that_cannot_be_read_is_not_the_end_of_the_file(
    video: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg itself freezes the last frame, or hears silence, from there on."""
    reads = 0
    real = os.pread

    def count(*values: int) -> bytes:
        nonlocal reads
        reads += 1
        return real(*values)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", count)
        READS[kind](video)
    assert reads > 1
    for after in range(reads):
        with monkeypatch.context() as patch:
            failing(patch, "pread", errno.EIO, after=after, times=10**6)
            with pytest.raises(MediaUnreachableError):
                READS[kind](video)


def test_a_folder_that_is_away_for_a_moment(video: Path, tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    away.mkdir()
    (away / "a.mkv").write_bytes(video.read_bytes())
    back = Timer(0.1, lambda: away.rename(here))
    back.start()
    assert probe(here / "a.mkv") == probe(video)
    back.join()


def test_what_a_decoder_refuses_stays_a_media_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing" * 100)
    with pytest.raises(MediaError, match="Invalid data"):
        probe(tmp_path / "a.mp4")


def test_a_file_of_other_size_or_time_is_named(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(video.read_bytes())
    state = state_of(path)
    assert probe(Indexed(path, state)) == probe(video)
    os.utime(path, ns=(0, state.mtime + 1))  # a nanosecond
    with pytest.raises(MediaChangedError, match=f"changed since they were indexed: {path} .*another time"):
        probe(Indexed(path, state))
    with pytest.raises(MediaChangedError, match=f"holds {state.size} bytes, and held 5"):
        probe(Indexed(path, FileState(5, state.mtime)))


def test_a_file_cut_short_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    with LocalFile(path) as content:
        os.truncate(path, 50)
        with pytest.raises(MediaChangedError):
            content[0:100]


def test_no_descriptor_stays_open(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe(video)
    with pytest.raises(MediaChangedError):
        probe(Indexed(video, FileState(1, 1)))
    failing(monkeypatch, "pread", errno.EIO, after=0, times=10**6)
    with pytest.raises(MediaUnreachableError):
        probe(video)
    opened = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert str(video) not in opened


def test_only_the_file_system_is_tried_again() -> None:
    calls = []
    with pytest.raises(ZeroDivisionError):
        patiently(Path("a"), lambda: calls.append(1) or 1 // 0)
    assert len(calls) == 1
