"""Each frame where ffmpeg shows it, by codec, B-frames and container; the whole grid is in tests/nightly."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.media.counted import CODECS, FPS, FRAMES, Counted, index, write
from tests.unit.data.media.referee import decode_video, distances, ffmpeg
from tests.unit.data.media.videos import index_of, numbered_frame
from xdcbench.config.data import ShardSettings
from xdcbench.data.media import read_clip
from xdcbench.data.preparation import video as prepared

STARTS = ((-0.3, 12, FPS), (0.02, FRAMES, FPS), (0.93, 9, 7.3), (1.21, 2, FPS), (2.2, 9, FPS))
"""Start, frames and rate of clips."""
WITH_AUDIO = ("xvid_1.avi", "xvid_2.avi", "h264_3.avi", "mpeg4_3.avi", "mpeg1_2.avi", "h264_2.mp4")
OTHERS = ("h264_3.mkv", "mpeg4_2.mov", "mpeg1_2.mpg", "mpeg2_3.mpg", "h264_2.ts", "mpeg2_1.ts", "h264_2.flv")
NO_B = ("h264_0.asf", "wmv2_0.asf", "msmpeg4_0.avi", "mjpeg_0.mov")
FAULTY = ("xvid_2.mkv", "xvid_1.ts", "xvid_3.mp4", "xvid_1.asf")
"""B-frames packed as AVI needs it, in containers that state times: these run backwards."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def counted(folder: Path, name: str) -> Counted:
    (codec, b_frames), container = name.split(".")[0].split("_"), name.split(".")[1]
    return Counted.of(write(folder, codec, int(b_frames), container))


@pytest.mark.parametrize("name", [*WITH_AUDIO, *OTHERS, *NO_B, *FAULTY])
def test_every_frame_is_where_ffmpeg_shows_it(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = counted(folder, name)
    assert len(of.times) > FRAMES - 4
    for clip in STARTS:
        of.assert_clip(*clip)
    of.assert_kept(*STARTS)
    of.assert_all_distinct()
    of.assert_prepared(tmp_path)
    of.assert_hashed(monkeypatch)
    of.assert_audio()
    if name not in FAULTY:
        assert len(set(of.indices)) > FRAMES - 4
        of.assert_inspected()


@pytest.mark.parametrize("name", ["mpeg1_2.m1v", "mpeg2_0.m2v", "mpeg4_2.m4v", "h264_2.h264"])
def test_bare_streams_count_their_frames(folder: Path, tmp_path: Path, name: str) -> None:
    """They state no times; those that FFmpeg makes up for some are not believed."""
    codec, container = name.split("_")[0], name.split(".")[1]
    path = folder / name
    frames = write(folder, codec, int(name.split("_")[1][0]), "mov")
    ffmpeg("-i", frames, "-c", "copy", "-an", *(("-f", "h264") if container == "h264" else ()), path)
    of = Counted.of(path)
    for clip in STARTS:
        of.assert_clip(*clip)
    of.assert_all_distinct()
    of.assert_prepared(tmp_path)
    of.assert_inspected()


@pytest.mark.parametrize("rate", ["24000/1001", "30", "30000/1001", "48"])
def test_a_rounding_clock_loses_no_frame_at_the_videos_own_rate(tmp_path: Path, rate: str) -> None:
    """From any frame on, in clips and in shards, in milliseconds, copies of them, and ticks of 90 kHz."""
    (tmp_path / "frames.rgb").write_bytes(b"".join(numbered_frame(i).tobytes() for i in range(FRAMES)))
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", rate, "-i", tmp_path / "frames.rgb")
    ffmpeg(*raw, *CODECS["h264"], "-pix_fmt", "yuv420p", "-g", 12, tmp_path / "a.mkv")
    for name in ("a.mkv", "a.mp4", "a.ts"):
        if name != "a.mkv":
            ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", tmp_path / name)
        for first in (0, 15, 31):
            clip = read_clip(
                tmp_path / name,
                start=float(first / Fraction(rate)),
                frames=FRAMES - first,
                fps=float(Fraction(rate)),
                short_side=48,
            )
            assert [index_of(frame) for frame in clip] == list(range(first, FRAMES)), name
        kept = prepared.encode_video(
            tmp_path / name, ShardSettings(short_side=48, fps=50), tmp_path / "kept.mp4"
        )
        assert kept.fps == Fraction(rate)
        shown = decode_video(tmp_path / "kept.mp4").frames
        assert [index(frame) for frame in shown] == list(range(FRAMES)), name


def test_videos_of_trials(trial_media: Path) -> None:
    """By their pixels: 100 frames of testsrc2 in the shape of genuine UCF101 and HMDB51 files."""
    for name in ("xvid_bframes.avi", "h264_bframes.avi"):
        path = trial_media / name
        truth = decode_video(path)
        for start in (-0.2, 0.0, 0.51, 1.33, 2.02, 3.1, 3.9):
            assert max(distances(path, truth, start=start, frames=30, fps=25)) < 0.2
        side = min(truth.frames.shape[1:3])
        clip = read_clip(path, start=0.02, frames=30, fps=25, short_side=side).numpy()
        assert len({frame.tobytes() for frame in clip}) == 30
        assert np.abs(clip.astype(int) - truth.frames[:30]).mean((1, 2, 3)).max() < 0.2
