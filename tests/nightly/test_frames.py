"""Each frame where ffmpeg shows it: every codec with every number of B-frames in every container."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.media.counted import (
    AUDIO_CODECS,
    CODECS,
    FPS,
    FRAMES,
    REFUSED,
    UNREADABLE,
    WITHOUT_B,
    Counted,
    write,
)
from tests.unit.data.media.referee import ffmpeg

pytestmark = pytest.mark.nightly

B_FRAMES = range(4)
RATES = ((20, FPS), (9, 7.3), (1, 1.0), (2, FPS), (12, 61.0))
"""Frames and rate of clips."""
STARTS = (-0.3, 0.0, 0.02, *np.arange(0.1, 2.5, 0.17), 5.0)
REMUXED = ("mp4", "mkv", "mov", "asf", "avi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def assert_like_ffmpeg(of: Counted, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in STARTS:
        for frames, rate in RATES:
            of.assert_clip(float(start), frames, rate)
    of.assert_clip(0.02, FRAMES, FPS)
    of.assert_all_distinct()
    of.assert_prepared(folder)
    of.assert_hashed(monkeypatch)
    of.assert_audio()


@pytest.mark.parametrize("container", AUDIO_CODECS)
@pytest.mark.parametrize("b_frames", B_FRAMES)
@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_is_where_ffmpeg_shows_it(
    folder: Path, codec: str, b_frames: int, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (codec, container) in REFUSED or (b_frames and codec in WITHOUT_B):
        with pytest.raises(AssertionError, match="Nothing was written into output file"):
            write(folder, codec, b_frames, container)
        return
    path = write(folder, codec, b_frames, container)
    if (codec, container) in UNREADABLE:
        with pytest.raises(AssertionError):
            Counted.of(path)
        return
    of = Counted.of(path)
    assert len(of.times) > FRAMES - 4
    assert_like_ffmpeg(of, folder, monkeypatch)


@pytest.mark.parametrize("container", REMUXED)
@pytest.mark.parametrize("codec", ["xvid", "h264", "mpeg4"])
def test_avi_remuxed_by_copying_its_packets(
    folder: Path, codec: str, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times that a remuxer makes up for B-frames of AVI are wrong; ffmpeg then falls back on the others."""
    path = folder / f"copy_{codec}.{container}"
    ffmpeg("-fflags", "+genpts", "-i", write(folder, codec, 2, "avi"), "-c", "copy", path)
    assert_like_ffmpeg(Counted.of(path), folder, monkeypatch)
